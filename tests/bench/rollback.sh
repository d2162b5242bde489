#!/usr/bin/env bash
# rollback.sh RUNS: from the probe that used up the allowed misses until the last of three hosts is clean, over mutual
# TLS, as its record has it. Runs inside the lab (tests/lab/lab.sh run). In turn with it, what a person would do who sits
# ready with a shell on each host: the same filters deleted with tc on all three at once.
#
# Samples in milliseconds: rollback.squall, rollback-removed.squall (everything removed, too), rollback.tc.
set -euo pipefail
readonly runs=$1
# shellcheck source=tests/lab/library.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/library.sh"
experiment=$LAB_DIR/rollback.yaml record=$LAB_DIR/run.jsonl

cat >"$experiment" <<'END'
title: A hypothesis that breaks
steady-state-hypothesis:
  title: Customers are served
  probes:
  - {name: success, promql: 'probe_success{job="shop"}', tolerance: "== 1", every: 200ms, abort-after-misses: 2}
  hold-before: 0s
  recover-within: 30s
method:
- name: cut every web host off
  fault: network.partition
  targets: {labels: {role: web}}
  with: {direction: both, to: [10.77.0.10]}
  duration: 60s
limits: {max-hosts: 100%}
END

# Milliseconds from the deciding miss to the moment $1.
since_miss() {
    jq -er --arg moment "$1" '
        def ms: capture("^(?<s>[^.]*)[.](?<ms>[0-9]{3})Z$") | ((.s + "Z" | fromdate) * 1000 + (.ms | tonumber));
        (.moments[$moment] | ms) - (.moments.last_allowed_miss | ms)' <(squall report --format json "$record")
}

measure_squall() {
    local status=0
    squall run --yes --record "$record" "$experiment" >"$LAB_DIR/output" 2>&1 </dev/null || status=$?
    [[ $status == 1 ]] || {
        echo "rollback.sh: the run ended with $status, not with a deviation: $(tail -n 5 "$LAB_DIR/output")" >&2
        return 1
    }
    echo "rollback.squall $(since_miss clean)"
    echo "rollback-removed.squall $(since_miss removed)"
}

make_with_tc() {
    local host bytecode='1,6 0 0 4294967295'
    for host in "${LAB_WEB_HOSTS[@]}"; do
        host-exec "$host" tc qdisc add dev eth0 clsact
        host-exec "$host" tc filter add dev eth0 ingress bpf direct-action bytecode "$bytecode"
        host-exec "$host" tc filter add dev eth0 egress bpf direct-action bytecode "$bytecode"
    done
}

# Shells that wait on the hosts for a word, so that nothing but tc itself is measured.
measure_tc() {
    local host began_ns shells=() go=$LAB_DIR/go
    make_with_tc
    rm -f "$go" && mkfifo "$go"
    exec 9<>"$go"
    for host in "${LAB_WEB_HOSTS[@]}"; do
        # shellcheck disable=SC2016 # for the shell over there
        host-exec "$host" sh -c 'read -r word <"$0"; exec tc qdisc del dev eth0 clsact' "$go" &
        shells+=($!)
    done
    sleep 0.3
    began_ns=$(prober now)
    printf 'go\ngo\ngo\n' >&9
    for host in "${shells[@]}"; do wait "$host"; done
    echo "rollback.tc $(awk -v from="$began_ns" -v to="$(prober now)" 'BEGIN { printf "%.3f\n", (to - from) / 1e6 }')"
    exec 9>&-
}

main() {
    local i
    for ((i = 0; i < runs; i++)); do
        measure_squall
        measure_tc
    done
}

main
