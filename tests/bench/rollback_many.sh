#!/usr/bin/env bash
# rollback_many.sh BUILD DIRECTORY RUNS: from the probe that used up the allowed misses until the last of 3, 100 and 1,000
# agents is clean, over Unix sockets, as the run record has it, to the millisecond. The agents are played by one process
# (play_agents.c), so that what is measured is the controller, nng, and the little that they do.
# Samples in milliseconds: rollback-many.squall.{3,100,1000}.
set -euo pipefail
readonly build=$1 directory=$2 runs=$3
readonly programs=$build/tests/bench port=9180
agents='' page=''

stop() {
    for process in $agents $page; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    agents='' page=''
}
trap stop EXIT

# ready FILE: what was started says that it is.
ready() {
    local i
    for ((i = 0; i < 200; i++)); do
        if grep -qs '^ready' "$1"; then return 0; fi
        sleep 0.05
    done
    echo "rollback_many.sh: $(basename "$1") is not ready" >&2
    return 1
}

write_experiment() {
    cat >"$directory/rollback.yaml" <<END
title: A hypothesis that breaks
steady-state-hypothesis:
  title: The page is there
  probes: [{name: page, http: "http://127.0.0.1:$port/", tolerance: {status: 200}, every: 200ms, abort-after-misses: 2}]
  hold-before: 0s
  recover-within: 100ms
method:
- name: cut all of them off
  fault: network.partition
  targets: {labels: {role: web}}
  with: {direction: both, to: [10.77.0.10]}
  duration: 60s
limits: {max-hosts: 100%}
END
}

# Wait until the faults are in, and let the page break.
break_page() {
    local i
    for ((i = 0; i < 600; i++)); do
        if grep -qs 'faults are in' "$directory/output"; then break; fi
        sleep 0.05
    done
    sleep 0.5
    kill -USR1 "$page"
}

measure() {
    local count=$1 status=0 home=$directory/$1 record=$directory/run.json
    rm -rf "$home" "$record" && mkdir "$home"
    "$programs/play_agents" "$home" "$count" >"$directory/agents" &
    agents=$!
    "$programs/play_page" "$port" >"$directory/page" &
    page=$!
    ready "$directory/agents"
    ready "$directory/page"
    : >"$directory/output"
    break_page &
    local breaker=$!
    "$build/controller/squall" run --yes --hosts "$home/hosts.yaml" --record "$record" "$directory/rollback.yaml" \
        >"$directory/output" 2>&1 </dev/null || status=$?
    wait "$breaker"
    stop
    [[ $status == 1 ]] || {
        echo "rollback_many.sh: the run ended with $status, not with a deviation: $(tail -n 5 "$directory/output")" >&2
        return 1
    }
    "$build/controller/squall" report --format json "$record" | jq -er --arg count "$count" '
        def ms: capture("^(?<s>[^.]*)[.](?<ms>[0-9]{3})Z$") | ((.s + "Z" | fromdate) * 1000 + (.ms | tonumber));
        "rollback-many.squall.\($count) \((.moments.clean | ms) - (.moments.last_allowed_miss | ms))"'
}

main() {
    local i count
    write_experiment
    for ((i = 0; i < runs; i++)); do
        for count in 3 100 1000; do measure "$count"; done
    done
}

main
