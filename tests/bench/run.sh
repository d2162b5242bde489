#!/usr/bin/env bash
# run.sh BUILD OUTPUT: takes every figure, in about a quarter of an hour (./check --bench). BUILD has squall, squalld and the
# programs of this folder; OUTPUT gets the samples, figures.json and a log of each part. Writes docs/figures.md.
# Exit status 1 if something could not be measured; no figure fails by its value.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$1" && pwd)
mkdir -p "$2"
output=$(cd "$2" && pwd)
readonly root build output here=$root/tests/bench programs=$build/tests/bench
samples=$output/samples
export PATH=$PATH:/usr/sbin:/sbin
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
missing=()
cd "$root"

# For sockets and the agent's files: a short path, and a tmpfs of the part's own.
work=$(mktemp -d /tmp/squall-bench.XXXXXX)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# part NAME COMMAND...: its standard output is samples.
part() {
    local name=$1 started=$SECONDS
    shift
    printf '  %-40s' "$name"
    local log=$output/${name// /-}.log
    if "$@" 2>"$log" >"$output/part"; then
        cat "$output/part" >>"$samples"
        printf '%4d s\n' "$((SECONDS - started))"
    else
        printf 'could not be measured (%s)\n' "${log#"$root"/}"
        tail -n 3 "$log" | sed 's/^/    /'
        missing+=("$name")
    fi
    rm -f "$output/part"
}

# alone COMMAND...: in network, mount and pid namespaces of its own, whose end ends everything in it.
alone() {
    # shellcheck disable=SC2016 # for the shell inside
    unshare --net --mount --pid --fork --kill-child --mount-proc \
        sh -c 'mount -t tmpfs -o mode=755 tmpfs "$0" && ip link set lo up && exec "$@"' "$work" "$@"
}

in_uml() {
    # Its root is this machine's file system, but for /tmp.
    "$root/tests/lab/uml.sh" --timeout 120 -- "$programs/measure_packets" 2500 100 uml
}

in_lab() { "$root/tests/lab/lab.sh" run "$output/lab" "$build" "$here/rollback.sh" "$1"; }

stress() { "$programs/measure_stress_figures" "$@"; }

main() {
    : >"$samples"
    part 'switching' alone "$programs/measure_switch" "$build/agent/squalld" "$work" 100
    part 'three hosts over TLS' in_lab 10
    part 'rollback of many hosts' alone "$here/rollback_many.sh" "$build" "$work" 5
    part 'the idle agent' alone "$here/idle.sh" "$build" "$work" 5 10
    part 'packets' alone "$programs/measure_packets" 1500 200 veth
    part 'packets in User-Mode Linux' in_uml
    part 'CPU stress' stress 3 10 cpu
    part 'memory stress' stress 5 0 memory
    part 'the run record' alone "$programs/measure_record" "$work" 3
    part 'an experiment that does nothing' alone "$here/launch.sh" "$build" "$work" 60
    part '1,000 agents' alone "$here/many.sh" "$build" "$work" 10
    "$here/report.sh" "$samples" "$output/figures.json" "$root/docs/figures.md"
    printf '\n%s, %s\n' "${output#"$root"/}/figures.json" docs/figures.md
    if ((${#missing[@]} > 0)); then
        printf 'could not be measured: %s\n' "${missing[*]}" >&2
        exit 1
    fi
}

main
