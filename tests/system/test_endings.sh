#!/usr/bin/env bash
# Every way a person can end a run leads through the rollback: exit status 5, and nothing left.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

begin() {
    write_experiment duration=60s
    sq_start "$experiment"
    wait_injected web2
}

by_signal() {
    local signal
    for signal in INT TERM HUP QUIT TSTP; do
        begin
        kill "-$signal" "$running"
        sq_wait 10
        expect "SIG$signal: traffic flows" host_is_free web2
        verdict "SIG$signal ends a run" 5
    done
}

by_two_signals() {
    begin
    kill -INT "$running"
    kill -INT "$running" || true
    sleep 0.01
    kill -INT "$running" 2>/dev/null || true
    sq_wait 10
    verdict 'a second SIGINT does not cut the rollback short' 5
}

before_injection() {
    write_experiment duration=60s hold=30s
    sq_start "$experiment"
    sleep 1.5
    kill -INT "$running"
    sq_wait 10
    verdict 'SIGINT while the steady state is verified' 5
    expect 'nothing was injected' never_injected
}

closed_pipe() {
    write_experiment duration=60s
    mkfifo "$work/pipe"
    setsid squall run --yes --record "$work/run.jsonl" "$experiment" >"$work/pipe" 2>"$output" </dev/null &
    running=$!
    # shellcheck disable=SC2217 # it holds the pipe open and reads nothing
    sleep 60 <"$work/pipe" &
    local reader=$!
    wait_injected web2
    kill "$reader" 2>/dev/null || true
    sq_wait 20
    expect 'a closed pipe: traffic flows' host_is_free web2
    verdict 'a closed pipe ends a run' 5
}

lost_terminal() {
    write_experiment duration=60s
    setsid script -qfec "squall run --yes --record $work/run.jsonl $experiment" /dev/null >/dev/null 2>&1 </dev/null &
    running=$!
    wait_injected web2
    kill -KILL "$running"
    wait "$running" 2>/dev/null || true
    expect 'a lost terminal: traffic flows again' wait_until 3 host_is_free web2
    status=5
    : >"$output"
    verdict 'a lost terminal leaves nothing' 5
    expect 'the run record says so' wait_until 3 grep -q '"aborted"' "$work/run.jsonl"
}

by_halt() {
    begin
    local first=$running
    sq status
    if grep -q web2 "$output" && grep -q 'network.partition' "$output"; then
        tap_ok 'status shows what is injected where'
    else
        explain
        tap_fail 'status shows what is injected where'
    fi
    expect "status shows when the fault ends, not its lease" grep -qE 'INJECTED, ends in [1-9][0-9](\.[0-9]+)?s' "$output"
    expect 'and the lease beside it' grep -qE 'lease ends in ([0-9.]+m?s)' "$output"
    sq status --json
    expect 'status --json is JSON' grep -qE '^[[{]' "$output"
    sq halt
    local halt_status=$status
    expect 'halt: traffic flows' host_is_free web2
    cp "$output" "$work/halt-output"
    running=$first
    sq_wait 10
    # The run's own output was overwritten by status and halt; its exit status counts.
    verdict 'halt ends a run from elsewhere' 5
    status=$halt_status
    cp "$work/halt-output" "$output"
    verdict 'halt says what it ended' 0 web2
    sq status
    verdict 'status afterwards: nothing' 0
    sq halt
    verdict 'halt with nothing to end' 0
}

by_local_halt() {
    begin
    expect 'squalld --halt' host-exec web2 "$LAB_SQUALLD" --config "$LAB_DIR/web2/agent.yaml" --halt
    expect 'squalld --halt: traffic flows' host_is_free web2
    sq_wait 10
    verdict 'squalld --halt ends a run on its host' 5
}

agent_is_told_to_stop() {
    begin
    agent_stop web2
    expect 'an agent that stops: traffic flows' host_is_free web2
    sq_wait 20
    verdict 'an agent that is stopped during the fault' '4|5|6'
    agent_start web2
}

# Longer than the lease: the agents end what nobody renews, and squall says whose doing it was.
stopped_controller() {
    begin
    kill -STOP "$running"
    expect 'a stopped controller: the lease ends the fault' wait_until 4 host_is_free web2
    sleep 1
    kill -CONT "$running"
    sq_wait 10
    verdict 'a controller that was stopped says so' 4 'squall itself stood still for .*longer than the lease of 2s'
}

# The lease is far shorter than the fault: without the spared control connection it would end early.
everybody_cut_off() {
    write_experiment 'to=["0.0.0.0/0", "::/0"]' duration=5s lease=1s
    local begun=$SECONDS
    sq_start "$experiment"
    wait_injected web2
    sleep 3.5
    expect 'a partition from everybody still applies after three leases' host_is_cut web2
    sq_wait 30
    verdict 'the control connection survives a partition from 0.0.0.0/0 and ::/0' 0
    expect 'it lasted as long as was asked for' test $((SECONDS - begun)) -ge 5
}

# Not only the controller that ordered it is heard: the agent's own port is spared, of everybody.
halted_by_a_colleague() {
    write_experiment 'to=["0.0.0.0/0", "::/0"]' duration=60s
    sq plan "$experiment"
    expect 'the plan says so' grep -q "the agent's own TCP port 7433, of everybody" "$output"
    sq_start "$experiment"
    wait_injected web2
    expect 'a halt from a host that the partition cuts off arrives' host-exec web1 timeout 10 squall halt
    expect 'it ended the fault' host_is_free web2
    sq_wait 10
    verdict 'a colleague ends a run that cuts off everybody' 5
}

by_signal
by_two_signals
before_injection
closed_pipe
lost_terminal
by_halt
by_local_halt
agent_is_told_to_stop
stopped_controller
everybody_cut_off
halted_by_a_colleague
tap_end
