#!/usr/bin/env bash
# crash.sh all|controller|front|injector [PART PARTS]: SIGKILL in the middle of a partition, at $SQ_CRASHES (20) seeded
# random moments, with leases of 500 ms to 2 s; of several parts each takes its share of the same moments. Runs inside a
# lab of one host (tests/crash/CMakeLists.txt).
#
# Measured from outside: when the first fresh datagram gets through again. Whoever is left, or else
# `squalld --recover`, must leave links, qdiscs and filters as they were.
set -euo pipefail
readonly kind=$1 part=${2:-1} parts=${3:-1} crashes=${SQ_CRASHES:-20} seed=${SQ_SEED:-20261120} victim_host=web1 slack_ms=50
# shellcheck source=tests/lab/library.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/library.sh"
experiment=$LAB_DIR/crash.yaml
datagrams=$LAB_DIR/datagrams
run_output=$LAB_DIR/run-output
watcher=
controller=
on_tcx=no
lease_ms=
moment_ms=

write_experiment() {
    cat >"$experiment" <<'END'
title: A partition that something dies in
parameters: {lease: 1s, duration: 60s}
method:
- name: cut off
  fault: network.partition
  targets: {labels: {role: web}}
  with: {direction: both, to: [10.77.0.0/24]}
  duration: "${duration}"
limits: {max-hosts: 100%}
lease: "${lease}"
END
}

stop_watching() {
    [[ -z $watcher ]] || { kill "$watcher" && wait "$watcher"; } 2>/dev/null || true
    watcher=
}

flows() { [[ $(tail -n 1 "$datagrams") == flows* ]]; }
cut_off() { [[ $(tail -n 1 "$datagrams") == cut* ]]; }
as_before() { diff "$LAB_DIR/before" <(hosts_snapshot); }
controller_is_gone() { ! kill -0 "$controller"; }

# The processes to kill.
victims() {
    case $kind in
    all) echo "$controller $(agent_processes "$victim_host")" ;;
    controller) echo "$controller" ;;
    front) agent_front "$victim_host" ;;
    injector) agent_injector "$victim_host" ;;
    *) return 1 ;;
    esac
}

# What is left behind when nobody but the kernel ended the fault, and how it is removed. Of what stood on tcx: nothing.
check_recovery() {
    if [[ $on_tcx == no ]] && as_before >/dev/null; then
        echo "nothing was left for --recover, though nobody was alive to remove it"
        return 1
    fi
    agent_is_gone "$victim_host" || wait_until 5 agent_is_gone "$victim_host" || {
        echo 'a squalld process lives on'
        return 1
    }
    agent_recover "$victim_host" >"$LAB_DIR/recover-output" 2>&1 || {
        echo "squalld --recover failed: $(tail -n 2 "$LAB_DIR/recover-output" | tr '\n' ' ')"
        return 1
    }
    as_before >"$LAB_DIR/difference" || {
        echo "after --recover something is left: $(grep '^[<>]' "$LAB_DIR/difference" | head -n 3 | tr '\n' ' ')"
        return 1
    }
}

check_removed_by_agent() {
    wait_until 5 as_before || {
        echo "the agent left something: $(as_before | grep '^[<>]' | head -n 3 | tr '\n' ' ')"
        return 1
    }
}

# Prints what is wrong, or nothing. $1: lease, $2: duration of the fault (both ms), $3: when to strike after the cut.
crash_once() {
    local lease_ms=$1 duration_ms=$2 moment_ms=$3 killed_ns flows_ns last_cut_ns cut_ns begun_ns limit_ms
    squall run --yes --record "$LAB_DIR/run.jsonl" --set "lease=${lease_ms}ms" --set "duration=${duration_ms}ms" \
        "$experiment" >"$run_output" 2>&1 </dev/null &
    controller=$!
    wait_until 10 cut_off || {
        echo "no partition came about: $(tail -n 2 "$run_output" | tr '\n' ' ')"
        return
    }
    sleep "$(printf '%d.%03d' $((moment_ms / 1000)) $((moment_ms % 1000)))"
    local doomed
    doomed=$(victims)
    [[ -n $doomed ]] || {
        echo "there is no process of this kind to kill"
        return
    }
    on_tcx=no
    if stands_on_tcx "$victim_host"; then on_tcx=yes; fi
    # shellcheck disable=SC2086 # a list of numbers
    kill -KILL $doomed 2>/dev/null || true # the front dies with the injector
    killed_ns=$(prober now)                # not before: on a busy machine, the last renewal may come in between
    if [[ $kind == all || $kind == controller ]]; then wait "$controller" 2>/dev/null || true; fi
    wait_until 15 flows || {
        echo 'datagrams do not flow again'
        return
    }
    read -r flows_ns last_cut_ns < <(sed -n 's/^flows //p' "$datagrams" | tail -n 1)
    read -r cut_ns _ < <(sed -n 's/^cut //p' "$datagrams" | tail -n 1)
    # A new front lets the controller go on renewing, so that the fault may last as long as was asked for.
    begun_ns=$killed_ns
    limit_ms=$lease_ms
    if [[ $kind == front ]]; then
        begun_ns=$cut_ns
        limit_ms=$duration_ms
    fi
    measured_ms=$(((flows_ns - begun_ns) / 1000000))
    # What proves it is a datagram that was sent too late and lost, not that none was sent in time on a busy machine.
    if (((last_cut_ns - begun_ns) / 1000000 > limit_ms + slack_ms)); then
        echo "a datagram was lost after $(((last_cut_ns - begun_ns) / 1000000)) ms, later than $limit_ms ms"
        return
    fi
    if [[ $kind == all || $kind == injector ]]; then check_recovery; else check_removed_by_agent; fi || return 0
    check_ending
}

# What the controller, if it lives, says of it: a new front is no reason to fail, a dead injector is.
check_ending() {
    local ending=0 allowed
    if [[ $kind != front && $kind != injector ]]; then return 0; fi
    wait_until 20 controller_is_gone || {
        echo "squall run is still there: $(tail -n 1 "$run_output")"
        return
    }
    case $kind in
    front) allowed='0' ;;
    injector) allowed='4|6' ;;
    esac
    wait "$controller" || ending=$?
    [[ "|$allowed|" == *"|$ending|"* ]] || echo "squall run ended with $ending: $(tail -n 2 "$run_output" | tr '\n' ' ')"
}

draw_moment() {
    lease_ms=$((500 + RANDOM % 1501))
    moment_ms=$((RANDOM % (lease_ms * 3 / 2)))
}

one_moment() {
    local duration_ms=60000 wrong name
    [[ $kind != front ]] || duration_ms=$((moment_ms + lease_ms + 500))
    if [[ $kind == all || $kind == injector ]]; then agent_hold_down "$victim_host"; fi
    measured_ms=-
    crash_once "$lease_ms" "$duration_ms" "$moment_ms" >"$LAB_DIR/wrong"
    wrong=$(tail -n 1 "$LAB_DIR/wrong")
    name="SIGKILL of $kind $moment_ms ms into a partition, lease $lease_ms ms: free after $measured_ms ms"
    if [[ -z $wrong ]]; then
        tap_ok "$name"
        echo "$measured_ms" >>"$LAB_DIR/measured"
    else
        echo "# $wrong"
        tap_fail "$name"
    fi
    kill -KILL "$controller" 2>/dev/null || true
    wait "$controller" 2>/dev/null || true
    if [[ -n $wrong ]]; then # a clean slate for the next moment
        agent_stop "$victim_host" || true
        agent_recover "$victim_host" >/dev/null 2>&1 || true
    fi
    agent_start "$victim_host" || tap_fail 'the agent starts again'
}

main() {
    write_experiment
    : >"$LAB_DIR/measured"
    RANDOM=$(((seed + $(cksum <<<"$kind" | cut -d' ' -f1)) % 32768))
    hosts_snapshot >"$LAB_DIR/before"
    prober watch "$(web_address "$victim_host")" 7000 >"$datagrams" &
    watcher=$!
    trap stop_watching EXIT
    wait_until 5 flows || { tap_fail 'datagrams flow at first'; tap_end; }
    local i
    echo "# seed $seed"
    for ((i = 0; i < crashes; i++)); do
        draw_moment
        if ((i % parts == part - 1)); then one_moment; fi
    done
    sort -n "$LAB_DIR/measured" | awk '
        { value[NR] = $1 }
        END { if (NR) print "# free again after " value[1] " to " value[NR] " ms, median " value[int((NR + 1) / 2)] }'
    tap_end
}

main
