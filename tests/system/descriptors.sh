#!/usr/bin/env bash
# An agent that may open few files: what would not fit is refused by the plan with numbers, the rest works, and a soft
# limit that is lower than it need be is raised. Speaks TAP.
#
#   descriptors.sh BUILD-DIRECTORY
set -uo pipefail
build=$(cd "$1" && pwd)
work=$(mktemp -d /dev/shm/squall-descriptors.XXXXXX)
agent=
victims=()
cleanup() {
    kill -KILL ${agent:+"$agent"} "${victims[@]}" 2>/dev/null
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
    sed 's/^/#   /' "$work/output" "$work/agent.log"
    failures=$((failures + 1))
}

cat >"$work/agent.yaml" <<END
listen: ["ipc://$work/run/agent.sock"]
policy: $work/policy.yaml
run: $work/run
user: nobody
END
echo 'allow: [process.kill]' >"$work/policy.yaml"
echo "hosts: [{name: here, agent: \"ipc://$work/run/agent.sock\"}]" >"$work/hosts.yaml"
cp "$(command -v sleep)" "$work/victim"

write_experiment() { # write_experiment COUNT: so many kills of 40 processes, at different times
    {
        echo 'title: Many victims'
        echo 'method:'
        for ((i = 0; i < $1; i++)); do
            cat <<END
- name: kill $i
  fault: process.kill
  at: $((i * 600))ms
  targets: {hosts: [here]}
  with: {executable: $work/victim, signal: SIGTERM, percent: 100%}
  duration: 400ms
END
        done
        echo 'limits: {max-hosts: 100%}'
    } >"$work/experiment.yaml"
}

start_agent() { # start_agent SOFT HARD
    prlimit --nofile="$1:$2" "$build/agent/squalld" --config "$work/agent.yaml" >"$work/agent.log" 2>&1 &
    agent=$!
    for ((tries = 0; tries < 200; tries++)); do
        if "$build/controller/squall" hosts --hosts "$work/hosts.yaml" >"$work/output" 2>&1; then return; fi
        sleep 0.02
    done
    tap 1 'the agent serves'
}
stop_agent() {
    kill "$agent"
    wait "$agent" 2>/dev/null
    agent=
}
alive() { jobs -rp | grep -cxF -f <(printf '%s\n' "${victims[@]}"); }
plan() {
    write_experiment "$1"
    "$build/controller/squall" plan --hosts "$work/hosts.yaml" "$work/experiment.yaml" >"$work/output" 2>&1
}

for ((i = 0; i < 40; i++)); do
    "$work/victim" 600 &
    victims+=($!)
done
start_agent 64 160
plan 1
tap $? 'the soft limit is raised: 40 victims fit into a hard limit of 160'
plan 4
[[ $? == 3 ]] && grep -q 'file descriptors' "$work/output" && grep -q LimitNOFILE "$work/output"
tap $? '160 victims do not, and the plan says so, with numbers'
sed -n 's/^squall:/# &/p' "$work/output"
[[ $(alive) == 40 ]]
tap $? 'nobody was killed'
stop_agent
start_agent 1024 1024
plan 4
tap $? '160 victims fit into 1024'
"$build/controller/squall" run --yes --hosts "$work/hosts.yaml" --record "$work/record.jsonl" "$work/experiment.yaml" \
    >"$work/output" 2>&1
[[ $? == 0 && $(alive) == 0 ]]
tap $? 'and are killed'
stop_agent
echo "1..$number"
exit $((failures > 0))
