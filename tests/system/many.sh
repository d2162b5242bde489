#!/usr/bin/env bash
# many.sh BUILD: more hosts than the shell's limit of open files. Those that are there all answer; those that are not are
# told so, at once and at little cost; what the hard limit does not allow is said.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$1" && pwd)
if [[ -z ${SQUALL_ALONE:-} ]]; then
    SQUALL_ALONE=yes exec unshare --net --mount --pid --fork --kill-child --mount-proc "${BASH_SOURCE[0]}" "$build"
fi
ip link set lo up
work=$(mktemp -d /tmp/squall-many.XXXXXX)
trap 'rm -rf "$work"' EXIT
squall=$build/controller/squall

number=0
failures=0
tap() { # tap NAME COMMAND...
    local name=$1
    shift
    number=$((number + 1))
    if "$@"; then
        echo "ok $number - $name"
        return
    fi
    echo "not ok $number - $name"
    head -n 5 "$work/output" | sed 's/^/#   /'
    failures=$((failures + 1))
}

# ask SOFT HARD INVENTORY: `squall status` under these limits; its words are in $work/output, its seconds of CPU in $cpu_s.
ask() {
    local times
    times=$(
        TIMEFORMAT='%U %S'
        ulimit -Sn "$1" && ulimit -Hn "$2"
        { time timeout 30 "$squall" status --hosts "$3" >"$work/output" 2>&1; } 2>&1 || true
    )
    cpu_s=$(awk '{ print $1 + $2 }' <<<"$times")
}
says() { grep -cE -- "$1" "$work/output" || true; }

"$root/tests/lab/certificates.sh" "$work" controller op >"$work/log" 2>&1
{
    echo 'tls: {certificate: op.pem, key: op.key, agents: agents-ca.pem}'
    echo 'hosts:'
    for ((i = 0; i < 1200; i++)); do
        echo "- {name: host$i, agent: \"tls+tcp://127.1.$((i / 250)).$((i % 250 + 1)):7433\"}"
    done
} >"$work/gone.yaml"

ask 256 4096 "$work/gone.yaml"
tap 'each of 1,200 hosts that are not there says why' test "$(says 'connection refused')" = 1200
tap 'no limit of open files stood in the way' test "$(says 'open files')" = 0
tap "that cost at most a second of CPU: $cpu_s" awk -v cpu="$cpu_s" 'BEGIN { exit !(cpu <= 1) }'
ask 256 512 "$work/gone.yaml"
tap 'what the hard limit does not allow is said' test "$(says '1200 hosts take 1456 open files, and 512 are allowed')" = 1

mkdir "$work/agents"
"$build/tests/bench/play_agents" "$work/agents" 300 >"$work/played" &
for ((i = 0; i < 200; i++)); do
    if grep -q ready "$work/played"; then break; fi
    sleep 0.1
done
ask 128 4096 "$work/agents/hosts.yaml"
tap '300 hosts all answer under a limit of 128 open files' test "$(says '^host[0-9]+: nothing')" = 300
echo "1..$number"
exit $((failures > 0))
