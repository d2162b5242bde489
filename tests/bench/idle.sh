#!/usr/bin/env bash
# idle.sh BUILD DIRECTORY STARTS SECONDS: what an agent that listens with TLS takes while nothing happens, both its
# processes, and beside it Debian's prometheus-node-exporter, listening and idle like it, at the same time.
# Runs in a network namespace of its own (run.sh).
#
# Samples: idle.WHO.mib (PSS), idle.WHO.wakeups (context switches of all threads within SECONDS), idle.squall.threads;
# WHO is squall, node-exporter, or squall-used: the agent after an experiment was run on it, and what that left on nng's
# timers has run out.
set -euo pipefail
readonly build=$1 directory=$2 starts=$3 seconds=$4 settle=12
tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
agent=
exporter=

stop() {
    # shellcheck disable=SC2086 # those that run
    [[ -z $agent$exporter ]] || kill $agent $exporter
    wait
    agent='' exporter=''
}
trap stop EXIT

write_files() {
    "$tests/lab/certificates.sh" "$directory/certificates" agent here 127.0.0.1
    "$tests/lab/certificates.sh" "$directory/certificates" controller operator
    cat >"$directory/agent.yaml" <<END
listen: ["ipc://run/agent.sock", "tls+tcp://0.0.0.0:7433"]
tls:
  certificate: certificates/here.pem
  key: certificates/here.key
  controllers: certificates/controllers-ca.pem
policy: policy.yaml
run: run
user: nobody
END
    cat >"$directory/hosts.yaml" <<END
tls: {certificate: certificates/operator.pem, key: certificates/operator.key, agents: certificates/agents-ca.pem}
hosts: [{name: here, agent: "tls+tcp://127.0.0.1:7433"}]
END
    cat >"$directory/experiment.yaml" <<END
title: Anything at all
method:
- name: cut off
  fault: network.partition
  targets: {hosts: [here]}
  with: {to: [127.0.0.9], interface: lo}
  duration: 200ms
limits: {max-hosts: 100%}
END
    echo 'allow: [network.partition]' >"$directory/policy.yaml"
}

# Not by connecting: nng looks once more, some ten seconds later, after a connection that has gone.
wait_logged() {
    local i
    for ((i = 0; i < 200; i++)); do
        if grep -qi "$1" "$2"; then return; fi
        sleep 0.05
    done
    echo "idle.sh: '$1' was not logged: $(tail -n 3 "$2")" >&2
    return 1
}

start() {
    "$build/agent/squalld" --config "$directory/agent.yaml" 2>"$directory/squalld.log" &
    agent=$!
    setpriv --reuid=65534 --regid=65534 --clear-groups prometheus-node-exporter --web.listen-address=127.0.0.1:9100 \
        2>"$directory/exporter.log" &
    exporter=$!
    wait_logged 'listening on tls+tcp' "$directory/squalld.log"
    wait_logged 'listening on' "$directory/exporter.log"
}

squall_processes() { echo "$agent $(cat "/proc/$agent/task/$agent/children")"; }

# The sum over processes of Pss, in MiB.
pss() {
    local process
    for process in "$@"; do sed -n 's/^Pss: *\([0-9]*\) kB/\1/p' "/proc/$process/smaps_rollup"; done |
        awk '{ sum += $1 } END { printf "%.3f\n", sum / 1024 }'
}

switches() {
    local process
    for process in "$@"; do cat "/proc/$process"/task/*/status; done |
        awk '/^(non)?voluntary_ctxt_switches:/ { sum += $2 } END { print sum }'
}

threads() {
    local process
    for process in "$@"; do ls "/proc/$process/task"; done | wc -l
}

measure_wakeups() {
    local -a ours theirs
    local name=$1 ours_before theirs_before
    read -r -a ours <<<"$(squall_processes)"
    theirs=("$exporter")
    ours_before=$(switches "${ours[@]}")
    theirs_before=$(switches "${theirs[@]}")
    sleep "$seconds"
    echo "idle.$name.wakeups $(($(switches "${ours[@]}") - ours_before))"
    [[ $name != squall ]] || echo "idle.node-exporter.wakeups $(($(switches "${theirs[@]}") - theirs_before))"
}

measure_memory() {
    local -a ours
    read -r -a ours <<<"$(squall_processes)"
    [[ ${#ours[@]} == 2 ]] || {
        echo "idle.sh: the agent has ${#ours[@]} processes, not two" >&2
        return 1
    }
    echo "idle.$1.mib $(pss "${ours[@]}")"
    [[ $1 != squall ]] || {
        echo "idle.squall.threads $(threads "${ours[@]}")"
        echo "idle.node-exporter.mib $(pss "$exporter")"
    }
}

main() {
    local i
    ip link set lo up
    write_files
    for ((i = 0; i < starts; i++)); do
        [[ -z $agent ]] || stop
        start
        sleep 1
        measure_memory squall
    done
    measure_wakeups squall
    "$build/controller/squall" run --hosts "$directory/hosts.yaml" --yes --record "$directory/run.jsonl" \
        "$directory/experiment.yaml" >"$directory/run.log" 2>&1 || {
        echo "idle.sh: the experiment failed: $(tail -n 5 "$directory/run.log")" >&2
        return 1
    }
    measure_memory squall-used
    sleep "$settle"
    measure_wakeups squall-used
}

main
