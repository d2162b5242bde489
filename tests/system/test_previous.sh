#!/usr/bin/env bash
# One protocol version apart they work together: the agents and the controller of the version before this one, each with
# the other side of this one; and a log that the old agent wrote is undone by the new one. The lab has web1 and web2 alone.
set -euo pipefail
previous=$("$(dirname "${BASH_SOURCE[0]}")/../lab/previous.sh" 2>&1) || {
    echo "not ok 1 - the version before this one is there ($previous)"
    echo 1..1
    exit 1
}
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
new_squalld=$LAB_SQUALLD
old_squalld=$previous/agent/squalld

# use_agent SQUALLD: from now on web1 runs this one.
use_agent() {
    agent_stop web1 || tap_fail "web1's agent stops"
    sed -i "s|'$LAB_SQUALLD'|'$1'|" "$LAB_DIR/web1/services/squalld"
    LAB_SQUALLD=$1
    agent_start web1
}

# The same as sq, by the controller of the version before.
sq_old() {
    status=0
    timeout 60 "$previous/controller/squall" "$@" >"$output" 2>&1 </dev/null || status=$?
}

web1_reaches_web2() { host-exec web1 timeout 0.3 bash -c ': </dev/tcp/10.77.0.12/80'; }
web1_is_cut() { ! web1_reaches_web2; }

# run_and_look NAME CONTROLLER: cut web1 off from web2 for two seconds, and see that it was.
run_and_look() {
    local running
    write_experiment "hosts=[web1]" "to=[10.77.0.12]" probe=none
    timeout 60 "$2" run --yes --record "$work/run.jsonl" "$experiment" >"$output" 2>&1 </dev/null &
    running=$!
    expect "$1: the fault is in" wait_until 10 web1_is_cut
    status=0
    wait "$running" || status=$?
    verdict "$1: runs to its end" 0 'completed'
    expect "$1: and is gone" web1_reaches_web2
}

policy() {
    cat >"$LAB_DIR/web1/policy.yaml"
    kill -HUP "$(agent_injector web1)"
    sleep 0.3
}

old_agent() {
    use_agent "$old_squalld"
    sq hosts
    verdict 'an old agent: hosts shows what it speaks' 0 '0\.1\.0 \(protocol 1, here 2\)'
    run_and_look 'an old agent' squall
    policy <<<'allow: [process.kill]'
    sq_run "$experiment"
    verdict 'an old agent: what it forbids is named' 3 'does not allow network.partition'
    policy <<<'allow: ["*"]'
}

old_controller() {
    use_agent "$new_squalld"
    sq_old hosts
    verdict 'an old controller: is answered' 0 'web1'
    run_and_look 'an old controller' "$previous/controller/squall"
    policy <<<'allow: [process.kill]'
    sq_old run --yes --record "$work/run.jsonl" "$experiment"
    verdict 'an old controller: what is forbidden is named' 3 'does not allow network.partition'
    policy <<<'allow: ["*"]'
    write_experiment "hosts=[web1]" "to=[10.77.0.12]" probe=none duration=30s
    "$previous/controller/squall" run --yes --record "$work/run.jsonl" "$experiment" >"$output" 2>&1 </dev/null &
    running=$!
    wait_until 10 web1_is_cut || tap_fail 'an old controller: the fault is in'
    policy <<<'allow: []'
    status=0
    wait "$running" || status=$?
    verdict 'an old controller: a reason that it does not know reaches it in words' 4 \
        'web1 ended "cut off" by itself: failed: the policy .* does not allow network.partition'
    policy <<<'allow: ["*"]'
}

# Killed with a partition in, the old agent leaves its log, and the new one is all that is there to read it.
old_log() {
    use_agent "$old_squalld"
    write_experiment "hosts=[web1]" "to=[10.77.0.12]" probe=none duration=60s
    "$previous/controller/squall" run --yes --record "$work/run.jsonl" "$experiment" >"$output" 2>&1 </dev/null &
    running=$!
    wait_until 10 web1_is_cut || tap_fail 'an old log: the fault is in'
    agent_hold_down web1
    # shellcheck disable=SC2046 # a list of numbers
    kill -KILL "$running" $(agent_processes web1)
    wait "$running" 2>/dev/null || true
    expect 'an old log: the old agent left something' is_injected_on web1
    LAB_SQUALLD=$new_squalld
    status=0
    agent_recover web1 >"$output" 2>&1 || status=$?
    verdict 'an old log: the new agent undoes it' 0 'undone: fault 0 of experiment .*network\.partition'
    status=0
    agent_recover web1 >"$output" 2>&1 || status=$?
    verdict 'an old log: once' 0
    sed -i "s|'$old_squalld'|'$new_squalld'|" "$LAB_DIR/web1/services/squalld"
    agent_start web1
}

old_agent
old_controller
old_log
tap_end
