#!/usr/bin/env bash
# Two operators on one inventory: what others have prepared or injected counts against the limits, and is named.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

# write_limited FILE HOST LIMITS TITLE: a partition of one host for 3 s.
write_limited() {
    write_experiment "file=$1" "hosts=[$2]" "title=$4" probe=none duration=3s
    sed -i "s/^limits: .*/limits: {$3}/" "$1"
}

# Two controllers at the same moment, each within the limit by itself.
at_once() {
    local round first second refused=0 completed=0 other
    write_limited "$work/first.yaml" web1 'max-hosts: 1' 'The first'
    write_limited "$work/second.yaml" web2 'max-hosts: 1' 'The second'
    for round in 1 2 3 4 5; do
        injections_before=$(injections)
        first=0 second=0
        timeout 60 squall run --yes --record "$work/first.json" "$work/first.yaml" >"$work/first.out" 2>&1 </dev/null &
        other=$!
        timeout 60 squall run --yes --record "$work/second.json" "$work/second.yaml" >"$work/second.out" 2>&1 \
            </dev/null || second=$?
        wait "$other" || first=$?
        echo "# round $round: exit statuses $first and $second, $(($(injections) - injections_before)) injected"
        [[ $first == 3 || $second == 3 ]] && refused=$((refused + 1))
        [[ $(($(injections) - injections_before)) -le 1 ]] && completed=$((completed + 1))
    done
    expect 'of two runs at once at least one refuses' test "$refused" == 5
    expect 'never are more hosts hit than the limit' test "$completed" == 5
    cat "$work/first.out" "$work/second.out" >"$output"
    expect 'the refused one says whose it is' grep -qE "'limits: max-hosts' allows 1 of the 3|disturbed" "$output"
    expect 'the hosts are as before' wait_until 3 hosts_as_before
}

one_after_the_other() {
    write_limited "$work/first.yaml" web1 'max-hosts: 3' 'The first'
    sed -i 's/duration: 3s/duration: 60s/' "$work/first.yaml"
    sq_start "$work/first.yaml"
    local first=$running
    wait_until 10 something_is_injected
    injections_before=$(injections)

    write_limited "$work/second.yaml" web2 'max-hosts: 33%' 'The second'
    sq plan "$work/second.yaml"
    expect 'plan refuses' test "$status" == 3
    expect 'plan says whose it is' grep -qE "others +web1: \"The first\" of $(id -un)@.*injected" "$output"
    sq run --yes --record "$work/second.json" "$work/second.yaml"
    expect 'run refuses' test "$status" == 3
    write_limited "$work/second.yaml" web2 'alone: yes' 'The second'
    sq plan --json "$work/second.yaml"
    expect 'alone bears no company' test "$status" == 3
    expect 'in JSON too' grep -q '"operator"' "$output"
    expect 'nothing was injected meanwhile' never_injected
    write_limited "$work/second.yaml" web2 'max-hosts: 2' 'The second'
    sq run --yes --record "$work/second.json" "$work/second.yaml"
    expect 'within the limit both run' test "$status" == 0
    running=$first
    kill -INT "$running"
    sq_wait 20
    verdict 'the first one ends as ever' 5
}

silent_host() {
    agent_stop web3
    write_limited "$work/first.yaml" web1 'max-hosts: 1' 'The first'
    sq_run "$work/first.yaml"
    verdict 'a host that does not answer counts as disturbed' 3 'web3: no answer'
    expect 'nothing was injected' never_injected
    write_limited "$work/first.yaml" web1 'max-hosts: 2' 'The first'
    sq_run "$work/first.yaml"
    verdict 'within the limit it is only said' 0 'web3: no answer, counted as disturbed'
    agent_start web3
}

at_once
one_after_the_other
silent_host
tap_end
