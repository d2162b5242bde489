#!/usr/bin/env bash
# snapshot.sh machine [LAB_DIR] | processes LAB_DIR | services | host: what a machine's state is, as text; two of them are compared with diff.
#   machine   network devices, qdiscs, filters, namespaces, mounts, and processes in the lab of LAB_DIR
#   processes those in the lab of LAB_DIR
#   services  what is enabled to start by itself
#   host      one host of the lab (host-exec HOST snapshot.sh host): devices, addresses, qdiscs, filters, squall's state
set -euo pipefail
lab=${2:-}
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin

devices() { ip -o link show | sed -E 's/^[0-9]+: ([^:]+).*/\1/'; }

filters() {
    local device hook
    for device in $(devices | sed 's/@.*//'); do
        for hook in ingress egress; do
            tc filter show dev "$device" "$hook" 2>/dev/null | sed "s/^/$device $hook: /"
        done
    done
}

network() {
    echo "== ip link"
    # Counters of carrier changes and the operational state are the machine's own business.
    ip -o link show | sed -E 's/ state [A-Z]+//; s/,?(LOWER_UP|NO-CARRIER)//g'
    echo "== tc qdisc"
    tc qdisc show
    echo "== tc filter"
    filters
}

processes() {
    local process
    [[ -e $lab/namespaces ]] || return 0
    for process in $(find /proc/[0-9]*/ns -printf '%h %l\n' 2>/dev/null | grep -F -f "$lab/namespaces" |
        cut -d/ -f3 | sort -nu); do
        echo "$process $(cat "/proc/$process/comm" 2>/dev/null || true) in a namespace of the lab"
    done
}

machine() {
    network
    echo "== ip netns"
    ip netns list
    echo "== mounts"
    sort -k5 /proc/self/mountinfo | cut -d' ' -f4-6
    echo "== processes"
    processes
    echo "== /run"
    find /run -maxdepth 1 -iname '*squall*'
}

services() {
    local folder
    for folder in /etc/systemd/system /etc/systemd/user; do
        [[ ! -d $folder ]] || find "$folder" -mindepth 2 -type l | sort
    done
    find /etc/rc[0-6S].d -type l -name 'S*' 2>/dev/null | sort || true
}

host() {
    network
    echo "== ip address"
    ip -o address show | sed -E 's/ (tentative|valid_lft.*)//g'
    echo "== guards"
    { cat /proc/[0-9]*/comm 2>/dev/null || true; } | grep -x squall-tcx || true
    echo "== /sys/fs/bpf"
    find /sys/fs/bpf -mindepth 1 2>/dev/null || true
}

case ${1:-} in
machine | processes | services | host) "$1" ;;
*)
    echo "usage: snapshot.sh machine [LAB_DIR] | processes LAB_DIR | services | host" >&2
    exit 2
    ;;
esac
