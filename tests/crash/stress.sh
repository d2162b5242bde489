#!/usr/bin/env bash
# stress.sh all|controller|injector: SIGKILL in the middle of a CPU and memory stress, at $SQ_STRESS_CRASHES (8) seeded
# random moments, with leases of 500 ms to 2 s. Runs inside a lab of one host (tests/crash/CMakeLists.txt).
#
# Seen from outside: no stressor is left when the lease has ended, whoever died; and `squalld --recover` finds nothing that
# it could not undo.
set -euo pipefail
readonly kind=$1 crashes=${SQ_STRESS_CRASHES:-8} seed=${SQ_SEED:-20261120} victim_host=web1 slack_ms=100
# shellcheck source=tests/lab/library.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/library.sh"
experiment=$LAB_DIR/stress.yaml
run_output=$LAB_DIR/run-output
controller=

write_experiment() {
    cat >"$experiment" <<'END'
title: A stress that something dies in
parameters: {lease: 1s}
method:
- name: burn
  fault: cpu.stress
  targets: {labels: {role: web}}
  with: {percent: 10%}
  duration: 60s
- name: hold
  fault: memory.stress
  targets: {labels: {role: web}}
  with: {bytes: 200MiB, rate: 100MiB}
  duration: 60s
  at: 0s
limits: {max-hosts: 100%}
lease: "${lease}"
END
}

# Killed already, even if on a busy machine it has not had the processor yet to go: SIGKILL pending, exiting, or dead.
is_killed() {
    local line
    read -r line 2>/dev/null <"/proc/$1/stat" || return 0
    # shellcheck disable=SC2086 # fields, from the third on
    set -- ${line##*) }
    [[ $1 == [ZX] ]] || (($7 & 0x4 || ${29} & 0x100))
}

# The stressors of the host, by name and network namespace.
stressors() {
    local process
    for process in $(pgrep -x 'squall-cpu|squall-mem'); do
        if [[ /proc/$process/ns/net -ef /proc/$(<"$LAB_DIR/$victim_host/pid")/ns/net ]] && ! is_killed "$process"; then
            echo "$process"
        fi
    done
}
stressors_are_there() { [[ -n $(stressors) ]]; }
no_stressor_is_left() { # nor one that is killed and not gone
    local process
    for process in $(pgrep -x 'squall-cpu|squall-mem'); do
        [[ ! /proc/$process/ns/net -ef /proc/$(<"$LAB_DIR/$victim_host/pid")/ns/net ]] || return 1
    done
}

# squalld's own processes: the stressors run the same file.
agents() {
    local process
    for process in $(agent_processes "$victim_host"); do
        [[ $(cat "/proc/$process/comm" 2>/dev/null) == squall-* ]] || echo "$process"
    done
}

# Sets last_seen_ns: a look takes its time on a busy machine, and who is seen in it was there when it began.
watch_them_go() {
    local look_ns
    last_seen_ns=$killed_ns
    while look_ns=$(prober now) && stressors_are_there; do
        last_seen_ns=$look_ns
        ((look_ns < killed_ns + 15000000000)) || return 1
    done
}

victims() {
    case $kind in
    all) echo "$controller $(agents | tr "\n" " ")" ;;
    controller) echo "$controller" ;;
    injector)
        local found
        found=$(agents)
        echo "${found%%$'\n'*}" # the front's parent comes first
        ;;
    *) return 1 ;;
    esac
}

# Prints what is wrong, or nothing. $1: lease, $2: when to strike (both ms).
crash_once() {
    local lease_ms=$1 moment_ms=$2 killed_ns last_seen_ns doomed
    squall run --yes --record "$LAB_DIR/run.jsonl" --set "lease=${lease_ms}ms" "$experiment" >"$run_output" 2>&1 </dev/null &
    controller=$!
    wait_until 10 stressors_are_there || {
        echo "no stressor came: $(tail -n 2 "$run_output" | tr '\n' ' ')"
        return
    }
    sleep "$(printf '%d.%03d' $((moment_ms / 1000)) $((moment_ms % 1000)))"
    doomed=$(victims)
    [[ -n $doomed ]] || {
        echo 'there is no process of this kind to kill'
        return
    }
    # shellcheck disable=SC2086 # a list of numbers
    kill -KILL $doomed 2>/dev/null || true # the front dies with the injector
    killed_ns=$(prober now)                # not before: on a busy machine, the last renewal may come in between
    watch_them_go || {
        echo "stressors live on: $(stressors | tr '\n' ' ')"
        return
    }
    measured_ms=$(((last_seen_ns - killed_ns) / 1000000))
    ((measured_ms <= lease_ms + slack_ms)) || echo "they were there after $measured_ms ms, later than $lease_ms ms"
    wait_until 15 no_stressor_is_left || echo 'a stressor that was killed does not go'
    [[ $kind != controller ]] || return 0
    wait_until 5 agent_is_gone "$victim_host" || echo 'a squalld process lives on'
    agent_recover "$victim_host" >"$LAB_DIR/recover-output" 2>&1 ||
        echo "squalld --recover failed: $(tail -n 2 "$LAB_DIR/recover-output" | tr '\n' ' ')"
}

one_moment() {
    local lease_ms=$((500 + RANDOM % 1501)) moment_ms wrong name
    moment_ms=$((RANDOM % (lease_ms * 3 / 2)))
    if [[ $kind != controller ]]; then agent_hold_down "$victim_host"; fi
    measured_ms=-
    crash_once "$lease_ms" "$moment_ms" >"$LAB_DIR/wrong"
    wrong=$(tail -n 1 "$LAB_DIR/wrong")
    name="SIGKILL of $kind $moment_ms ms into a stress, lease $lease_ms ms: last seen after $measured_ms ms"
    if [[ -z $wrong ]]; then
        tap_ok "$name"
    else
        echo "# $wrong"
        tap_fail "$name"
    fi
    kill -KILL "$controller" 2>/dev/null || true
    wait "$controller" 2>/dev/null || true
    if [[ $kind == controller ]]; then return; fi
    agent_start "$victim_host" || tap_fail 'the agent starts again'
}

main() {
    write_experiment
    RANDOM=$(((seed + $(cksum <<<"$kind" | cut -d' ' -f1)) % 32768))
    echo "# seed $seed"
    local i
    for ((i = 0; i < crashes; i++)); do one_moment; done
    tap_end
}

main
