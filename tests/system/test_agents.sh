#!/usr/bin/env bash
# Agents that let a run down: not there, hanging, speaking another version, refusing after others agreed.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

stop_process() { # shellcheck disable=SC2046
    kill -STOP $(agent_processes "$1")
}
continue_process() { # shellcheck disable=SC2046
    kill -CONT $(agent_processes "$1")
}

agent_not_there() {
    agent_stop web2
    write_experiment 'hosts=[web1, web2, web3]'
    sq_run "$experiment"
    verdict 'run: an agent is not there' 4 'web2' '10\.77\.0\.12:7433' 'connection refused'
    sq plan "$experiment"
    verdict 'plan: an agent is not there' 4 'web2' 'connection refused'
    sq hosts
    verdict 'hosts: an agent is not there' 4 'web1' 'web2.*' 'connection refused'
    sq hosts --json
    verdict 'hosts --json: an agent is not there' 4 '"web2"' 'connection refused'
    agent_start web2
    sq hosts
    verdict 'hosts: it is back' 0 'web2'
}

agent_hangs() {
    stop_process web2
    sq_run "$experiment"
    verdict 'run: an agent hangs before anything is prepared' 4 'web2' 'answer|hangs'
    continue_process web2
    wait_until 5 agent_listens web2
}

agent_hangs_in_the_middle() {
    write_experiment 'hosts=[web1, web2]' duration=20s lease=1s
    sq_start "$experiment"
    wait_injected web2
    stop_process web2
    sq_wait 40
    expect 'web2 is clean though its agent hangs: the kernel ended it' host_is_free web2
    continue_process web2
    # Whoever cannot ask the agent cannot confirm that the rest was removed.
    verdict 'run: an agent hangs during the fault' '4|6' 'web2'
}

nobody_listens() { ! agent_listens "$1"; }

another_version() {
    agent_stop web3
    # shellcheck disable=SC2016 # for the shell over there
    host-exec web3 sh -c 'echo $$ >"$1"; shift; exec "$@"' sh "$work/odd.pid" odd_agent version tls+tcp://0.0.0.0:7433 \
        "$LAB_DIR"/certificates/{web3.pem,web3.key,controllers-ca.pem} >"$work/odd.log" 2>&1 &
    wait_until 5 agent_listens web3 || true
    write_experiment 'hosts=[web1, web2, web3]'
    sq_run "$experiment"
    verdict 'run: an agent speaks another version' 4 'web3' 'version'
    sq hosts
    verdict 'hosts: an agent speaks another version' 4 'web3' 'version'
    host-exec web3 kill "$(cat "$work/odd.pid")"
    wait_until 5 nobody_listens web3
    agent_start web3
}

# The agents agree in the preview; while squall asks for the go-ahead, the policy of one changes.
refusal_in_prepare() {
    write_experiment 'hosts=[web1, web2, web3]'
    cp "$LAB_DIR/web2/policy.yaml" "$work/policy.yaml"
    mkfifo "$work/answer"
    script -qfec "squall run --record $work/run.jsonl $experiment" "$output" <"$work/answer" >/dev/null 2>&1 &
    running=$!
    exec 7>"$work/answer"
    expect 'run asks before it injects' wait_until 10 grep -qE '\[y/N\]|[Gg]o ahead|yes' "$output"
    echo 'allow: [process.kill]' >"$LAB_DIR/web2/policy.yaml"
    kill -HUP "$(agent_injector web2)"
    sleep 0.3
    echo yes >&7
    sq_wait 30
    exec 7>&-
    verdict 'run: one agent refuses in prepare after the others agreed' 3 'web2' 'does not allow network.partition'
    expect 'nothing was injected anywhere' never_injected
    cp "$work/policy.yaml" "$LAB_DIR/web2/policy.yaml"
    kill -HUP "$(agent_injector web2)"
    sleep 0.3
}

second_experiment() {
    local first
    write_experiment 'title=The first one' duration=6s
    sq_start "$experiment"
    first=$running
    wait_injected web2
    write_experiment 'title=The second one' 'hosts=[web1, web2]' "file=$work/second.yaml"
    status=0
    timeout 60 squall run --yes --record "$work/second.json" "$work/second.yaml" >"$work/second-output" 2>&1 </dev/null ||
        status=$?
    local second_status=$status
    expect 'the first experiment still applies' host_is_cut web2
    expect 'the second one touched nobody' host_is_free web1
    running=$first
    sq_wait 30
    verdict 'run: the first of two experiments is not disturbed' 0
    cp "$work/second-output" "$output"
    status=$second_status
    verdict 'run: a second experiment on a host that has one' 3 'web2' 'The first one'
}

# gather BYTES: 2,000 connections to web2's port, each of which says that much (printf) and no more.
gather() {
    rm -f "$work/gathered"
    # shellcheck disable=SC2016 # for the shell in between
    bash -c 'ulimit -n 4096
        for ((i = 0; i < 2000; i++)); do
            exec {fd}<>/dev/tcp/10.77.0.12/7433
            # shellcheck disable=SC2059 # escapes are meant
            [[ -z $1 ]] || printf "$1" >&"$fd"
        done
        : >"$2"
        exec sleep 60' - "$1" "$work/gathered" 2>"$work/crowd" &
    crowd=$!
    wait_until 20 test -e "$work/gathered"
}

# A run goes on and renews, and whoever comes is served.
crowd_at_the_port() {
    write_experiment duration=5s lease=1s probe=none
    sq_start "$experiment"
    wait_injected web2
    expect "2,000 $1 connections are there" gather "$2"
    expect "squall hosts is served beside 2,000 $1 connections" timeout 10 squall hosts
    expect "the fault is still in" host_is_cut web2
    sq_wait 30
    verdict "run: 2,000 $1 connections do not end it" 0
    kill "$crowd"
    wait "$crowd" 2>/dev/null || true
}

agent_not_there
agent_hangs
agent_hangs_in_the_middle
another_version
refusal_in_prepare
second_experiment
crowd_at_the_port silent ''
crowd_at_the_port stalled '\x16\x03\x01\x02\x00\x01\x00'
expect 'the agent says whom it dropped' grep -qE 'a connection from 10\.77\.[0-9.]+ was dropped' "$LAB_DIR/web2/log/squalld.log"
tap_end
