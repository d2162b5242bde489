#!/usr/bin/env bash
# Inside User-Mode Linux (tests/lab/uml.sh): runs netns test programs of a build directory on that kernel: those that need
# what this kernel has (netem, gact, virtual LANs) and what differs between kernels (traffic control, the agent as a
# whole); with SQ_UML_ALL=yes every one.
# Prints each program's output, then one line "uml: NAME ok|failed|skipped", and exits with the number of failures.
# A run in which every netem test was skipped has failed: that kernel is here because it has netem.
set -uo pipefail
build=$1
failures=0
netem_passed=0
for program in "$build"/tests/netns/test_*; do
    { [ -f "$program" ] && [ -x "$program" ]; } || continue
    name=$(basename "$program")
    if [ "${SQ_UML_ALL:-no}" != yes ]; then
        case $name in
        test_network_latency* | test_network_loss | test_network_detour_refused | test_network_partition | \
            test_network_partition_foreign | test_tc | test_agent) ;;
        *) continue ;;
        esac
    fi
    timeout 300 "$program"
    status=$?
    case $status in
    0)
        echo "uml: $name ok"
        case $name in test_network_latency* | test_network_loss*) netem_passed=$((netem_passed + 1)) ;; esac
        ;;
    77) echo "uml: $name skipped" ;;
    *)
        echo "uml: $name failed with status $status"
        failures=$((failures + 1))
        ;;
    esac
done
if [ "$netem_passed" = 0 ]; then
    echo "uml: not one test of netem passed"
    failures=$((failures + 1))
fi
exit "$failures"
