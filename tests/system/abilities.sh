#!/usr/bin/env bash
# What --check and `squall hosts` say of netem is what the kernel then does, from whatever it is told; and where nothing
# tells, they say so and do not guess. The sources are hidden one after the other in a mount namespace. Speaks TAP.
#
#   abilities.sh BUILD-DIRECTORY
set -uo pipefail
build=$(cd "$1" && pwd)
work=$(mktemp -d /dev/shm/squall-abilities.XXXXXX)
agent=
cleanup() {
    [[ -z $agent ]] || kill -KILL "$agent" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
chmod 755 "$work"
number=0
failures=0

tap() { # tap RESULT NAME
    number=$((number + 1))
    if [[ $1 == 0 ]]; then
        echo "ok $number - $2"
        return
    fi
    echo "not ok $number - $2"
    sed 's/^/#   /' "$work/output"
    failures=$((failures + 1))
}

cat >"$work/agent.yaml" <<END
listen: ["ipc://$work/run/agent.sock"]
policy: $work/policy.yaml
run: $work/run
user: nobody
END
echo 'allow: [network.*]' >"$work/policy.yaml"
echo "hosts: [{name: here, agent: \"ipc://$work/run/agent.sock\"}]" >"$work/hosts.yaml"
cat >"$work/experiment.yaml" <<END
title: A delay
method:
- name: delay
  fault: network.latency
  targets: {hosts: [here]}
  with: {direction: out, to: [192.0.2.1], interface: lo, delay: 1ms}
  duration: 1s
limits: {max-hosts: 100%}
END

release=$(uname -r)
hide() { # hide KIND: in this mount namespace
    local path
    case $1 in
    nothing) ;;
    configuration)
        for path in /proc/config.gz "/boot/config-$release" "/lib/modules/$release/config"; do
            [[ ! -e $path ]] || mount --bind /dev/null "$path"
        done
        ;;
    everything)
        hide configuration
        mount --bind /dev/null /proc/kallsyms
        mount -t tmpfs none /sys/module
        [[ ! -d /lib/modules ]] || mount -t tmpfs none /lib/modules
        ;;
    esac
}
said() { # said KIND: what --check says when that is hidden
    unshare --mount --propagation unchanged bash -c "release=$release
$(declare -f hide)
mount --make-rprivate / 2>/dev/null
hide $1
$build/agent/squalld --check --config $work/agent.yaml" >"$work/output" 2>&1
    sed -n 's/^network.latency *\(.*\), allowed$/\1/p' "$work/output"
}

truth='NOT possible'
if unshare --net sh -c 'ip link add ifb9 type ifb && tc qdisc add dev ifb9 root netem delay 1ms' 2>/dev/null; then
    truth=possible
fi
[[ $(said nothing) == "$truth" ]]
tap $? "--check says what the kernel does: $truth"
[[ $(said configuration) == "$truth" ]]
tap $? 'and so it does without a configuration'
[[ $(said everything) == 'perhaps possible' ]] && grep -q 'cannot be told here' "$work/output"
tap $? 'without anything to tell from it says that it cannot tell'

unshare --mount --propagation unchanged bash -c "release=$release
$(declare -f hide)
mount --make-rprivate / 2>/dev/null
hide everything
exec $build/agent/squalld --config $work/agent.yaml" >"$work/agent.log" 2>&1 &
agent=$!
for ((tries = 0; tries < 200; tries++)); do
    if "$build/controller/squall" hosts --hosts "$work/hosts.yaml" >"$work/output" 2>&1; then break; fi
    sleep 0.02
done
grep -q 'network.latency?' "$work/output" && grep -q 'network.latency: perhaps: whether the kernel has' "$work/output"
tap $? 'squall hosts shows it with a question mark, and why'
"$build/controller/squall" plan --hosts "$work/hosts.yaml" "$work/experiment.yaml" >"$work/output" 2>&1
grep -q 'cannot be told here' "$work/output" && grep -q 'loads kernel modules' "$work/output"
tap $? 'a plan warns of it'
kill "$agent"
wait "$agent"
tap $? 'the agent ends'
agent=
echo "1..$number"
exit $((failures > 0))
