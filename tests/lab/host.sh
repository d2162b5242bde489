#!/usr/bin/env bash
# host.sh LAB_DIR NAME NUMBER: pid 1 of one host of the lab, in namespaces of its own.
# Waits for its network, then keeps every script in LAB_DIR/NAME/services running, as an init system would:
# a service that died is started again, what is left of it is killed first; NAME/log/SERVICE.log has its output.
# While a file services/SERVICE.down exists, the service stays down.
set -euo pipefail
readonly dir=$1 name=$2 number=$3

set_up() {
    echo "$name" >/proc/sys/kernel/hostname
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -m 1775 /run/squall
    chgrp nogroup /run/squall
    mkdir -m 700 /run/squall-state
    until ip link show dev eth0 >/dev/null 2>&1; do sleep 0.02; done
    ip link set dev lo up
    ip address add "10.77.0.$number/24" dev eth0
    ip -6 address add "fd77::$number/64" dev eth0 nodad 2>/dev/null || true # where there is no IPv6
    ip link set dev eth0 up
}

supervise() {
    local service=$1 child
    local base=$dir/$name/services/$service pid_file=/run/service-$1.pid
    while :; do
        if [[ -e $base.down ]]; then
            sleep 0.1
            continue
        fi
        setsid "$base" </dev/null >>"$dir/$name/log/$service.log" 2>&1 &
        child=$!
        echo "$child" >"$pid_file"
        wait "$child" || true
        rm -f "$pid_file"
        kill -KILL -- "-$child" 2>/dev/null || true
        sleep 0.3
    done
}

set_up
for script in "$dir/$name"/services/*; do
    case $script in *.down) continue ;; esac
    supervise "$(basename "$script")" &
done
: >"$dir/$name/up"
while :; do wait || true; done
