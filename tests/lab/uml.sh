#!/usr/bin/env bash
# Runs one command inside User-Mode Linux: Debian's 6.1 kernel as a process, on this machine's own root file system.
# It has what this machine's kernel may lack (netem, every scheduler and classifier, cgroup v2 with its controllers).
#
#   uml.sh [--memory 1G] [--timeout SECONDS] [--disk IMAGE] [--power-cut FILE] -- COMMAND [ARGUMENT...]
#
# The command's output is passed on, its exit status is ours. 125: the machine did not come up or gave no verdict.
# Inside, /proc, /sys and /dev are the guest's own, /run and /tmp (unless we stand below it) are fresh tmpfs, cgroup2 is
# on /sys/fs/cgroup, IMAGE is /dev/ubda. As soon as FILE is there, the machine is killed outright: that is success, and
# a machine that ends before is not.
#
# On processors with AMX it starts only with uml_ptrace.c preloaded, which changes nothing on others. For the test of
# that: UML_PRELOAD names a library to load behind it, UML_PLAIN=yes leaves it out.
set -euo pipefail

memory=1G
timeout=600
disk=()
power_cut=
while [ $# -gt 0 ]; do
    case $1 in
    --memory) memory=$2; shift 2 ;;
    --timeout) timeout=$2; shift 2 ;;
    --disk) disk=("ubd0=$2"); shift 2 ;;
    --power-cut) power_cut=$2; shift 2 ;;
    --) shift; break ;;
    *) echo "uml.sh: unknown option $1; expected --memory, --timeout, --disk, --power-cut or --" >&2; exit 2 ;;
    esac
done
[ $# -gt 0 ] || { echo "uml.sh: no command given" >&2; exit 2; }
command -v linux.uml >/dev/null || { echo "uml.sh: linux.uml is missing; install the package user-mode-linux" >&2; exit 125; }

# Not below /tmp, which the guest covers with a tmpfs of its own.
work=$(mktemp -d "${UML_DIRECTORY:-/var/tmp}/squall-uml.XXXXXX")
machine=
# The machine is a session of its own below timeout(1): its helpers hold the disk and would outlive it.
session=
# shellcheck disable=SC2317  # also called by the trap
kill_machine() {
    if [ -n "$session" ]; then kill -KILL -- "-$session" 2>/dev/null || true; fi
    kill -KILL -- "-$machine" 2>/dev/null || true
}
# shellcheck disable=SC2317  # called by the trap
cleanup() {
    if [ -n "$machine" ]; then kill_machine; fi
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

{
    printf 'cd %q\n' "$PWD"
    declare -px | grep -E '^declare -x (SQ_|SQUALL_|CMOCKA_|UBSAN_)' || true
    printf 'exec'
    printf ' %q' "$@"
    printf '\n'
} >"$work/command"

case $PWD/ in
/tmp/*) cover_tmp= ;;
*) cover_tmp='mount -t tmpfs -o mode=1777 tmp /tmp' ;;
esac

cat >"$work/init" <<EOF
#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/net
[ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200
mount -t devpts devpts /dev/pts
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mount -t tmpfs shm /dev/shm
$cover_tmp
mount -t tmpfs run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
mkdir -p /run/netns /run/kernel/lib
ln -s /usr/lib/uml/modules /run/kernel/lib/modules
# Tunnels make no devices of their own, which other tests do not expect.
echo 2 >/proc/sys/net/core/fb_tunnels_only_for_init_net
for module in veth bridge ifb sch_ingress vrf vxlan ip_gre ipip sit geneve sch_netem sch_htb sch_tbf sch_prio sch_fq_codel \
    cls_bpf cls_u32 cls_matchall act_mirred act_gact tun 8021q dummy nf_tables; do
    modprobe -q -d /run/kernel \$module || echo "uml: module \$module is missing" >>$work/output
done
ip link set lo up
bash $work/command >>$work/output 2>&1 </dev/null
echo \$? >$work/status.new
mv $work/status.new $work/status
sync
echo o >/proc/sysrq-trigger
sleep 60
EOF
chmod +x "$work/init"
: >"$work/output"

preload=${UML_PRELOAD:-}
if [ "${UML_PLAIN:-no}" = no ]; then
    cc -O2 -shared -fPIC -o "$work/ptrace.so" "$(dirname "${BASH_SOURCE[0]}")/uml_ptrace.c"
    preload="$work/ptrace.so $preload"
fi

set -m
TMPDIR=/dev/shm LD_PRELOAD=$preload timeout --signal=KILL "$timeout" linux.uml "mem=$memory" rootfstype=hostfs rootflags=/ rw "init=$work/init" \
    "${disk[@]}" con=null con0=null,fd:2 con1=null,fd:1 quiet >"$work/console" 2>&1 </dev/null &
machine=$!
set +m
until session=$(pgrep -P "$machine") || ! kill -0 "$machine" 2>/dev/null; do sleep 0.01; done
if [ -n "$power_cut" ]; then
    until [ -e "$power_cut" ] || ! kill -0 "$machine" 2>/dev/null; do sleep 0.05; done
    cat "$work/output"
    if [ -e "$power_cut" ] && kill -0 "$machine"; then
        kill_machine
        wait "$machine" 2>/dev/null || true
        machine=
        exit 0
    fi
    echo "uml.sh: the machine ended before its power could be cut" >&2
    exit 125
fi
tail -n +1 -f --pid="$machine" "$work/output" 2>/dev/null || true
wait "$machine" 2>/dev/null || true
kill_machine
machine=

if [ ! -s "$work/status" ]; then
    echo "uml.sh: the machine gave no verdict within $timeout s; its console said:" >&2
    tail -n 20 "$work/console" >&2
    exit 125
fi
exit "$(cat "$work/status")"
