#!/usr/bin/env bash
# lab.sh: a shop on three web hosts behind HAProxy, watched by Prometheus, with a squall agent on each web host.
#
#   lab.sh run DIR BUILD COMMAND...   make the lab, run COMMAND in it, take it down; exits as COMMAND does
#   lab.sh up DIR BUILD               make the lab and leave it up in the background
#   lab.sh enter DIR [COMMAND...]     run COMMAND (or a shell) where the controller stands, in a lab that is up
#   lab.sh down DIR                   take it down
#
# With LAB_ONLY="web1 web2" in the environment only these hosts are made.
# DIR gets every configuration file, certificate and log; BUILD is a CMake build directory with squall and squalld.
#
#   10.77.0.1   the controller (where COMMAND runs)    10.77.0.11-13  web1, web2, web3: nginx and squalld
#   10.77.0.10  lb: HAProxy, the shop's front door     10.77.0.20     mon: Prometheus, blackbox exporter
#
# All of it lives in namespaces below one process: the machine's own network, mounts and processes are not touched,
# and when that process dies, in whatever way, the kernel removes everything at once.
set -euo pipefail
LAB_SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly LAB_SOURCE
: "${LAB_SQUALLD:=}" "${LAB_DIR:=}"

lab_say() { printf 'lab: %s\n' "$*" >&2; }
lab_die() {
    printf 'lab: %s\n' "$*" >&2
    exit 1
}

# shellcheck source=tests/lab/configs.sh
source "$LAB_SOURCE/configs.sh"

# The first child of process $1, as /proc tells.
lab_child_of() {
    local status parent
    for status in /proc/[0-9]*/status; do
        parent=$(sed -n 's/^PPid:\t//p' "$status" 2>/dev/null || true)
        if [[ $parent == "$1" ]]; then
            status=${status#/proc/}
            echo "${status%/status}"
            return
        fi
    done
    return 1
}

# lab_wait SECONDS WHAT COMMAND...: until COMMAND succeeds.
lab_wait() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= deadline)); then
            lab_say "waited in vain for $what; the logs are below $LAB_DIR/*/log:"
            tail -n 3 "$LAB_DIR"/*/log/*.log >&2 || true
            return 1
        fi
        sleep 0.05
    done
}

# So that snapshot.sh can tell whether anything of the lab is still alive.
lab_note_namespaces() {
    local kind
    for kind in net pid mnt; do readlink "/proc/$1/ns/$kind"; done >>"$LAB_DIR/namespaces"
}

lab_namespaces=(--net --pid --mount --ipc --uts --fork --kill-child --mount-proc)

lab_start_host() {
    local host=$1 launcher pid
    rm -f "$LAB_DIR/$host/up"
    unshare "${lab_namespaces[@]}" "$LAB_SOURCE/host.sh" "$LAB_DIR" "$host" "$(lab_number "$host")" \
        </dev/null >"$LAB_DIR/$host/log/host.log" 2>&1 &
    launcher=$!
    until pid=$(lab_child_of "$launcher"); do sleep 0.01; done
    # The child is in its own network namespace before it is forked: unshare(1) unshares first.
    echo "$pid" >"$LAB_DIR/$host/pid"
    lab_note_namespaces "$pid"
    ip link add "veth-$host" type veth peer name eth0 netns "$pid"
    ip link set dev "veth-$host" master bridge0 up
}

lab_make_network() {
    ip link set dev lo up
    ip link add name bridge0 type bridge forward_delay 0 mcast_snooping 0 ||
        lab_die 'this kernel makes no bridge (module "bridge"); the lab needs one'
    ip address add 10.77.0.1/24 dev bridge0
    ip -6 address add fd77::1/64 dev bridge0 nodad 2>/dev/null || true # where there is no IPv6
    ip link set dev bridge0 up
}

lab_shop_answers() { [[ $(curl -s -m 1 "http://$(lab_address lb)/") == 'the shop, served by '* ]]; }
lab_prometheus_has() {
    curl -s -m 1 "http://$(lab_address mon):9090/api/v1/query" --data-urlencode 'query=probe_success{job="shop"}' |
        grep -q '"1"'
}
lab_agent_listens() { timeout 1 bash -c ": </dev/tcp/$(lab_address "$1")/7433"; }

lab_wait_ready() {
    local host
    for host in "${LAB_HOSTS[@]}"; do lab_wait 10 "host $host" test -e "$LAB_DIR/$host/up"; done
    if lab_has lb; then lab_wait 10 'the shop' lab_shop_answers; fi
    if lab_has mon; then lab_wait 20 'Prometheus to have samples' lab_prometheus_has; fi
    [[ -n $LAB_SQUALLD ]] || return 0
    for host in "${LAB_WEB_HOSTS[@]}"; do lab_wait 10 "squalld on $host" lab_agent_listens "$host"; done
}

# The tools that the hosts and the tests use.
lab_build_tools() {
    local tool
    mkdir -p "$LAB_BUILD/lab"
    for tool in prober bytes; do
        [[ $LAB_BUILD/lab/$tool -nt $LAB_SOURCE/$tool.c ]] ||
            cc -std=c17 -D_GNU_SOURCE -O2 -Wall -Wextra -o "$LAB_BUILD/lab/$tool" "$LAB_SOURCE/$tool.c"
    done
}

# Pid 1 of the lab. $1: `run` or `up`; then the command.
lab_init() {
    local mode=$1 host status=0
    shift
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP QUIT
    rm -f "$LAB_DIR/namespaces" "$LAB_DIR/ready"
    lab_note_namespaces self
    mount -t tmpfs -o mode=755 tmpfs /run
    lab_make_network
    lab_build_tools
    lab_write_configs
    for host in "${LAB_HOSTS[@]}"; do lab_start_host "$host"; done
    lab_wait_ready
    : >"$LAB_DIR/ready"
    if [[ $mode == run ]]; then
        "$@" || status=$?
        exit "$status"
    fi
    while :; do wait || true; done
}

lab_environment() {
    LAB_DIR=$(mkdir -p "$1" && cd "$1" && pwd)
    LAB_BUILD=$(cd "$2" 2>/dev/null && pwd) || lab_die "no build directory '$2'"
    if [[ -x $LAB_BUILD/agent/squalld ]]; then LAB_SQUALLD=$LAB_BUILD/agent/squalld; fi
    [[ -n $LAB_SQUALLD || -n ${LAB_WITHOUT_AGENTS:-} ]] || lab_die "no agent/squalld in $LAB_BUILD; build it first"
    export LAB_DIR LAB_BUILD LAB_SQUALLD
    export SQUALL_HOSTS=$LAB_DIR/hosts.yaml
    export PATH=$LAB_BUILD/controller:$LAB_BUILD/agent:$LAB_BUILD/lab:$LAB_SOURCE:$PATH:/usr/sbin:/sbin
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy # the lab has no way out
}

lab_run() {
    [[ $# -ge 3 ]] || lab_die 'usage: lab.sh run DIR BUILD COMMAND...'
    lab_environment "$1" "$2"
    shift 2
    exec unshare "${lab_namespaces[@]}" "$LAB_SOURCE/lab.sh" init run "$@"
}

lab_up() {
    [[ $# == 2 ]] || lab_die 'usage: lab.sh up DIR BUILD'
    lab_environment "$1" "$2"
    rm -f "$LAB_DIR/ready"
    setsid unshare "${lab_namespaces[@]}" "$LAB_SOURCE/lab.sh" init up </dev/null >"$LAB_DIR/lab.log" 2>&1 &
    local launcher=$!
    until [[ -e $LAB_DIR/ready ]]; do
        kill -0 "$launcher" 2>/dev/null || lab_die "the lab did not come up: $(tail -n 5 "$LAB_DIR/lab.log")"
        sleep 0.1
    done
    echo "$launcher" >"$LAB_DIR/launcher.pid"
    printf 'LAB_BUILD=%q\n' "$LAB_BUILD" >"$LAB_DIR/build"
}

lab_is_up() {
    local launcher
    launcher=$(cat "$1/launcher.pid" 2>/dev/null) || return 1
    grep -qs unshare "/proc/$launcher/comm"
}

lab_enter() {
    [[ $# -ge 1 ]] || lab_die 'usage: lab.sh enter DIR [COMMAND...]'
    lab_is_up "$1" || lab_die "no lab is up in $1"
    # shellcheck source=/dev/null
    source "$1/build"
    lab_environment "$1" "$LAB_BUILD"
    shift
    [[ $# -gt 0 ]] || set -- "${SHELL:-/bin/bash}"
    exec nsenter --target "$(lab_child_of "$(cat "$LAB_DIR/launcher.pid")")" --net --pid --mount --ipc --uts \
        --root --wdns="$PWD" -- "$@"
}

lab_down() {
    [[ $# == 1 ]] || lab_die 'usage: lab.sh down DIR'
    lab_is_up "$1" || lab_die "no lab is up in $1"
    local launcher
    launcher=$(cat "$1/launcher.pid")
    kill -KILL "$(lab_child_of "$launcher")"
    while kill -0 "$launcher" 2>/dev/null; do sleep 0.05; done
    rm -f "$1/launcher.pid" "$1/ready"
}

main() {
    [[ $# -gt 0 ]] || lab_die "which command? See the head of $0"
    local command=$1
    shift
    case $command in
    run) lab_run "$@" ;;
    up) lab_up "$@" ;;
    enter) lab_enter "$@" ;;
    down) lab_down "$@" ;;
    init) lab_init "$@" ;;
    *) lab_die "'$command' is not a command; expected run, up, enter or down" ;;
    esac
}

main "$@"
