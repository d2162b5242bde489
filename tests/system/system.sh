# shellcheck shell=bash
# Sourced by every system test, which runs inside a lab of its own (CMakeLists.txt): experiments and assertions.
# shellcheck source=tests/lab/library.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lab/library.sh"

work=$LAB_DIR/work
rm -rf "$work"
mkdir -p "$work"
output=$work/output
# shellcheck disable=SC2034 # for the tests
experiment=$work/experiment.yaml
status=0

# write_experiment [KEY=VALUE...]: a partition of web2 from the load balancer, short enough for a test, with a probe of
# the shop's front page. Keys: title, hosts, to, duration, lease, probe (what a probe measures, or none), tolerance,
# every, misses, also (further keys of the probe), hold, recover, file.
write_experiment() {
    local title='A test' hosts='[web2]' to='[10.77.0.10]' duration=2s lease=2s probe='http: http://10.77.0.10/'
    local tolerance='{status: 200}' every=200ms misses=3 also='' hold=0s recover=10s file=$experiment setting
    for setting in "$@"; do local "$setting"; done
    {
        echo "title: $title"
        if [[ $probe != none ]]; then
            echo 'steady-state-hypothesis:'
            echo '  title: Customers are served'
            echo '  probes:'
            echo "  - {name: the probe, $probe, tolerance: $tolerance, every: $every, abort-after-misses: $misses${also:+, $also}}"
            echo "  hold-before: $hold"
            echo "  recover-within: $recover"
        fi
        echo 'method:'
        echo '- name: cut off'
        echo '  fault: network.partition'
        echo "  targets: {hosts: $hosts}"
        echo "  with: {direction: both, to: $to}"
        echo "  duration: $duration"
        echo 'limits: {max-hosts: 100%}'
        echo "lease: $lease"
    } >"$file"
}

# Run squall, bounded; its output is in $output and its exit status in $status.
sq() {
    status=0
    timeout 60 squall "$@" >"$output" 2>&1 </dev/null || status=$?
}
sq_run() {
    injections_before=$(injections)
    sq run --yes --record "$work/run.jsonl" "$@"
}

# The same in the background: $running is its process. Ends are taken by `sq_wait`.
sq_start() {
    injections_before=$(injections)
    setsid env --default-signal=INT,QUIT squall run --yes --record "$work/run.jsonl" "$@" >"$output" 2>&1 </dev/null &
    running=$!
}
sq_wait() {
    status=0
    wait_until "$1" sq_has_ended || kill -KILL "$running"
    wait "$running" || status=$?
}
sq_has_ended() { ! kill -0 "$running" || [[ $(cut -d' ' -f3 "/proc/$running/stat") == Z ]]; }

# By what the agents say; in a lab without a shop, too.
something_is_injected() { squall status | grep -q INJECTED; }

wait_injected() { wait_until 10 host_is_cut "$1"; }
# The partition of write_experiment applies: the host's own HTTP no longer reaches the load balancer.
host_is_cut() { ! host-exec "$1" timeout 0.3 bash -c ': </dev/tcp/10.77.0.10/80'; }
host_is_free() { host-exec "$1" timeout 0.3 bash -c ': </dev/tcp/10.77.0.10/80'; }

hosts_snapshot >"$work/before"
hosts_as_before() { diff "$work/before" <(hosts_snapshot); }

explain() {
    echo "# exit status $status; it said:"
    sed 's/^/#   /' "$output" | tail -n 15
}

# verdict NAME STATUS[|STATUS] [REGEX...]: the exit status, the message, and that nothing is left on any host.
verdict() {
    local name=$1 statuses=$2 regex
    shift 2
    if [[ "|$statuses|" != *"|$status|"* ]]; then
        explain
        tap_fail "$name: exit status $status instead of $statuses"
        return
    fi
    for regex in "$@"; do
        if ! grep -qE -- "$regex" "$output"; then
            explain
            tap_fail "$name: the message lacks /$regex/"
            return
        fi
    done
    if ! wait_until 3 hosts_as_before; then
        hosts_as_before | sed 's/^/#   /' | head -n 20
        tap_fail "$name: the hosts are not as before"
        return
    fi
    tap_ok "$name"
}

# How often an agent injected anything, by their own logs.
injections() { cat "$LAB_DIR"/web*/log/squalld.log | grep -c ': injected' || true; }
injections_before=0

# Since the last sq_run, sq_start or `injections_before=$(injections)`.
never_injected() { [[ $(injections) == "$injections_before" ]]; }

# expect NAME COMMAND...: one assertion more.
expect() {
    local name=$1
    shift
    if "$@" >"$work/expect-output" 2>&1; then
        tap_ok "$name"
    else
        sed 's/^/#   /' "$work/expect-output" | tail -n 5
        tap_fail "$name"
    fi
}
