#!/usr/bin/env bash
# Inside User-Mode Linux (tests/lab/uml.sh), whose kernel has everything as modules: looking loads none of them, PREPARE
# does, and the devices that come with the module ifb go again with the fault, also after a crash. Speaks TAP.
#
#   uml_modules.sh BUILD-DIRECTORY
set -uo pipefail
build=$(cd "$1" && pwd)
squalld=$build/agent/squalld squall=$build/controller/squall
work=/run/squall-modules
number=0
failures=0

tap() { # tap RESULT NAME
    number=$((number + 1))
    if [[ $1 == 0 ]]; then
        echo "ok $number - $2"
        return
    fi
    echo "not ok $number - $2"
    sed 's/^/#   /' "$work/output" "$work/agent.log" "$work/difference"
    failures=$((failures + 1))
}
wait_for() { # wait_for COMMAND...
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.05
    done
    return 1
}
here() { # the modules and interfaces that are here
    cut -d ' ' -f 1 /proc/modules | sort
    ip -o link | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | sort
}
is_as_before() {
    here | diff "$work/before" - >"$work/difference"
}
unload() {
    local module
    for module in act_mirred cls_bpf cls_u32 cls_matchall act_gact sch_netem ifb sch_ingress nf_tables nfnetlink; do
        rmmod "$module" 2>/dev/null
    done
    here >"$work/before"
    ! grep -qx 'ifb\|sch_netem\|cls_bpf\|sch_ingress\|act_mirred\|ifb0' "$work/before"
}

# The kernel's own loading, without the numifbs=0 that systemd brings along.
mkdir -p "$work/no-options"
chmod 755 "$work"
printf '#!/bin/sh\nexec modprobe -C %s -d /run/kernel "$@"\n' "$work/no-options" >"$work/modprobe"
chmod 755 "$work/modprobe"
echo "$work/modprobe" >/proc/sys/kernel/modprobe

ip netns add peer
ip link add eth0 type veth peer name eth0 netns peer
ip addr add 10.9.0.1/24 dev eth0
ip link set eth0 up
ip -n peer addr add 10.9.0.2/24 dev eth0
ip -n peer link set eth0 up
cat >"$work/agent.yaml" <<END
listen: ["ipc://$work/run/agent.sock"]
policy: $work/policy.yaml
run: $work/run
user: nobody
END
echo 'allow: ["network.*"]' >"$work/policy.yaml"
echo "hosts: [{name: here, agent: \"ipc://$work/run/agent.sock\"}]" >"$work/hosts.yaml"
cat >"$work/experiment.yaml" <<END
title: A delay
parameters: {duration: 500ms, interface: eth0}
method:
- name: delay
  fault: network.latency
  targets: {hosts: [here]}
  with: {direction: both, to: [10.9.0.2], delay: 20ms}
  duration: "\${duration}"
limits: {max-hosts: 100%}
lease: 10s
END
touch "$work/agent.log" "$work/output" "$work/difference"
experiment() { # experiment VERB ARGUMENT...
    local verb=$1
    shift
    "$squall" "$verb" --hosts "$work/hosts.yaml" "$@" "$work/experiment.yaml" >"$work/output" 2>&1
}
serves() { "$squall" hosts --hosts "$work/hosts.yaml"; }

unload
tap $? 'nothing is loaded'
"$squalld" --check --config "$work/agent.yaml" >"$work/output" 2>&1
grep -q 'network.latency.*possible, allowed' "$work/output" && is_as_before
tap $? '--check loads and makes nothing'
"$squalld" --config "$work/agent.yaml" >"$work/agent.log" 2>&1 &
agent=$!
wait_for serves && is_as_before
tap $? 'neither does a start, nor a HELLO'
serves >"$work/output" 2>&1
grep -q 'network.latency' "$work/output"
tap $? 'squall hosts names the delay'
experiment plan && grep -q 'loads kernel modules.* ifb' "$work/output" && is_as_before
tap $? 'a plan says what is going to be loaded, and loads nothing'

experiment run --yes --record "$work/record.jsonl" &
run=$!
wait_for ip link show ifb1 && wait_for ip link show squall-0-out
tap $? 'PREPARE loads the modules, and ifb0 and ifb1 come with them'
wait "$run"
tap $? 'the run completes'
grep -q 'nothing left' "$work/output" && grep -q proved "$work/record.jsonl"
tap $? 'nothing is left, which is proved'
! ip -o link show type ifb | grep . && [[ $(tc qdisc show dev eth0) != *clsact* ]]
tap $? 'ifb0 and ifb1 are gone'

# What somebody has put to use is left to them, and after SIGKILL the log is enough.
for used in no yes; do
    unload
    tap $? "nothing is loaded again, used: $used"
    experiment run --yes --record "$work/record.jsonl" --set duration=60s &
    run=$!
    wait_for ip link show squall-0-in && wait_for ip link show ifb1
    tap $? 'the delay is in'
    [[ $used == no ]] || ip link set ifb1 up
    kill -KILL "$agent"
    wait "$agent" 2>/dev/null
    kill -KILL "$run"
    wait "$run" 2>/dev/null
    "$squalld" --recover --config "$work/agent.yaml" >"$work/output" 2>&1
    tap $? 'recovery from the log succeeds'
    [[ $(ip -o link show type ifb | wc -l) == $([[ $used == no ]] && echo 0 || echo 1) ]]
    tap $? "what loading made is gone but for what is used: $used"
    "$squalld" --config "$work/agent.yaml" >"$work/agent.log" 2>&1 &
    agent=$!
    wait_for serves
done
ip link del ifb1

# An IFB from before is somebody's, also where nothing tells that the module is there.
ip link add ifb0 type ifb
mount -t tmpfs none /sys/module
experiment run --yes --record "$work/record.jsonl" && [[ $(ip -o link show type ifb | wc -l) == 1 ]]
tap $? 'an unused ifb0 from before stays'
umount /sys/module
kill "$agent"
wait "$agent"
tap $? 'the agent ends'
echo "1..$number"
exit $((failures > 0))
