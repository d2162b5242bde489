#!/usr/bin/env bash
# When did the hypothesis hold? What used to end with 0 although nobody had looked, or had seen it broken.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

prometheus_signal() { host-exec mon kill "-$1" "$(host-exec mon cat /run/service-prometheus.pid)"; }
prometheus_answers() { curl -s -m 1 'http://10.77.0.20:9090/-/ready' | grep -q Ready; }
web2='http: http://10.77.0.12/'

# A partition of the very host that is probed, shorter than the probe's rhythm.
slow_probe() {
    write_experiment "probe=$web2" 'to=[10.77.0.0/24]' every=30s 'also=timeout: 2s' duration=8s
    sq_run "$experiment"
    verdict 'a 30 s probe of a host that is cut off for 8 s' 1 'missed 1 time in "cut off", where 0 of 2 may miss'
    expect 'the record tells what the verdict rests on' \
        grep -qE '"type": ?"judged".*"step": ?"cut off".*"samples": ?[12], ?"evidence": ?0, ?"misses": ?[12],?' "$work/run.jsonl"
    write_experiment "probe=$web2" 'to=[10.77.0.0/24]' every=30s duration=8s
    sq validate "$experiment"
    verdict 'with its timeout of 10 s the step is too short' 2 \
        'experiment.yaml:13:13: "cut off" is too short to show that probe "the probe" holds: it lasts 8s, where 10s'
    sq_run "$experiment"
    verdict 'and it is not run either' 2 'too short'
    expect 'nothing was injected' never_injected
}

row_that_never_comes() {
    write_experiment "probe=$web2" 'to=[10.77.0.0/24]' every=1s misses=100 duration=7s
    sq validate "$experiment"
    verdict 'a row that cannot come is warned of' 0 'experiment.yaml:13:13: warning: .* no row of 100 misses'
    sq_run "$experiment"
    verdict 'seven misses of seven, where a hundred in a row would be needed' 1 'missed 3 times in "cut off", where 2 of [678] may miss' 'warning: '
}

# Two measurements cannot be had; of four one may miss.
nobody_looked() {
    write_experiment "probe=promql: 'vector(1)'" "tolerance='>= 1'" every=1s 'also=lag: 0s, timeout: 300ms' duration=3s
    sq_start "$experiment"
    wait_injected web2
    prometheus_signal STOP
    sq_wait 20
    prometheus_signal CONT
    wait_until 10 prometheus_answers
    verdict 'Prometheus hangs during nearly all of the fault' 4 'in "cut off"' 'it could not be measured'
}

# Nobody has lied about it, and nobody could have seen it.
too_soon() {
    write_experiment "probe=promql: 'vector(1)'" "tolerance='>= 1'" 'also=lag: 3s' duration=2s
    sq_run "$experiment"
    verdict 'a query that looks back further than the step lasts' 2 'lag \(3s\)'
    # The lab's Prometheus looks every second, which it says itself.
    write_experiment "probe=promql: 'vector(1)'" "tolerance='>= 1'" duration=1s
    sq validate "$experiment"
    verdict 'what Prometheus alone knows, validate does not ask' 0
    sq plan "$experiment"
    verdict 'plan does' 2 'lasts 1s, where 1s200ms are needed' 'lag \(1s, as Prometheus says'
    sq_run "$experiment"
    verdict 'and so does run' 2 'as Prometheus says'
    expect 'nothing was injected' never_injected
}

no_step() {
    cat >"$experiment" <<END
title: A look
steady-state-hypothesis:
  probes:
  - {name: the probe, http: http://10.77.0.10/}
method: []
END
    sq_run "$experiment"
    verdict 'a hypothesis without a step' 0 'completed: measured, nothing injected'
    expect 'the record does not call it verified' grep -qE '"verified": ?false' "$work/run.jsonl"
    sed -i 's,10.77.0.10/,10.77.0.10/\, tolerance: {status: 404},' "$experiment"
    sq_run "$experiment"
    verdict 'one that does not hold' 3 'out of tolerance before anything was injected'
}

no_hypothesis() {
    write_experiment probe=none duration=1s
    sq_run "$experiment"
    verdict 'a step without a hypothesis' 0 'completed: .*nothing was verified'
    expect 'the record does not call it verified' grep -qE '"verified": ?false' "$work/run.jsonl"
}

neither() {
    local verb content
    for content in 'title: T' $'title: T\nmethod: []'; do
        echo "$content" >"$experiment"
        for verb in validate plan 'run --yes'; do
            # shellcheck disable=SC2086 # a verb and its option
            sq $verb "$experiment"
            verdict "$verb of a file with neither a step nor a hypothesis" 2 'nothing to do'
        done
    done
}

slow_probe
row_that_never_comes
nobody_looked
too_soon
no_step
no_hypothesis
neither
tap_end
