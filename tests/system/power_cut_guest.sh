#!/usr/bin/env bash
# Inside the machine of power_cut.sh:  power_cut_guest.sh fault|after BUILD-DIRECTORY WORK-DIRECTORY synced|unsynced
#
#   fault   starts an agent whose state and run directories are on the disk, delays packets, and says so in WORK/now
#   after   the same machine booted again: nothing is left, the agent starts, and a new fault comes and goes
set -euo pipefail
what=$1 build=$2 work=$3 cut=$4
disk=/run/disk
squalld=$build/agent/squalld squall=$build/controller/squall

fail() {
    echo "$what, $cut: $*"
    [[ ! -e /run/agent.log ]] || sed 's/^/  agent: /' /run/agent.log
    [[ ! -e /run/output ]] || sed 's/^/  squall: /' /run/output
    exit 1
}

wait_for() { # wait_for SECONDS COMMAND...
    local tries=$(($1 * 20))
    shift
    for ((; tries > 0; tries--)); do
        if "$@"; then return 0; fi
        sleep 0.05
    done
    return 1
}

make_network() {
    ip netns add peer
    ip link add eth0 type veth peer name eth0 netns peer
    ip addr add 10.9.0.1/24 dev eth0
    ip link set eth0 up
    ip -n peer addr add 10.9.0.2/24 dev eth0
    ip -n peer link set eth0 up
}

write_files() {
    mkdir -p /run/squall-test "$disk/state" "$disk/run"
    cat >/run/squall-test/agent.yaml <<END
listen: ["ipc:///run/squall-test/agent.sock"]
policy: /run/squall-test/policy.yaml
state: $disk/state
run: $disk/run
user: nobody
socket-mode: 0666
END
    chmod 777 /run/squall-test
    echo 'allow: ["network.*"]' >/run/squall-test/policy.yaml
    echo 'hosts: [{name: here, agent: "ipc:///run/squall-test/agent.sock"}]' >/run/squall-test/hosts.yaml
    cat >/run/squall-test/experiment.yaml <<END
title: A delay
parameters: {duration: 60s}
method:
- name: delay
  fault: network.latency
  targets: {hosts: [here]}
  with: {direction: both, to: [10.9.0.2], delay: 100ms}
  duration: "\${duration}"
limits: {max-hosts: 100%}
lease: 30s
END
}

start_agent() {
    "$squalld" --config /run/squall-test/agent.yaml >/run/agent.log 2>&1 &
    wait_for 10 serves || fail 'the agent does not serve'
}
serves() { "$squall" hosts --hosts /run/squall-test/hosts.yaml >/run/output 2>&1; }
run_experiment() {
    "$squall" run --yes --hosts /run/squall-test/hosts.yaml --record /run/record.jsonl "$@" \
        /run/squall-test/experiment.yaml >/run/output 2>&1 </dev/null
}
is_in() {
    ip link show squall-0-out >/dev/null 2>&1 &&
        "$squall" status --hosts /run/squall-test/hosts.yaml >/run/status 2>&1 && grep -qi injected /run/status
}
# ifb0 and ifb1 may be there: loading the module makes them.
nothing_left() { [[ $(ip -o link show type ifb) != *squall* && $(tc qdisc show dev eth0) != *clsact* ]]; }

mkdir -p "$disk"
mount -t ext4 /dev/ubda "$disk" || fail 'the disk cannot be mounted'
make_network
write_files
case $what in
fault)
    start_agent
    run_experiment &
    wait_for 20 is_in || fail 'no fault is in'
    [[ $cut != synced ]] || sync
    touch "$work/now"
    sleep 60
    ;;
after)
    if [[ $cut == synced ]]; then
        [[ -s $disk/run/squalld/undo.log ]] || fail 'the undo log did not survive; the test proves nothing'
        grep -q -a squall/ "$disk/run/squalld/undo.log" || fail 'the undo record did not survive; the test proves nothing'
    fi
    nothing_left || fail 'something is left after a boot'
    start_agent
    grep -i 'error\|LEFT' /run/agent.log && fail 'the agent is confused by what it found'
    run_experiment --set duration=1s || fail 'a new experiment does not complete'
    grep -q 'nothing left' /run/output || fail 'the new fault is not proved to be gone'
    kill -TERM %1
    wait %1 || fail 'the agent does not stop'
    nothing_left || fail 'something is left after a new experiment'
    "$squalld" --config /run/squall-test/agent.yaml --recover >/run/output 2>&1 || fail 'recovery fails'
    umount "$disk"
    ;;
esac
