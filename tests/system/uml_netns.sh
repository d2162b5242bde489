#!/usr/bin/env bash
# Inside User-Mode Linux (tests/lab/uml.sh): runs netns test programs of a build directory on that kernel.
#
#   uml_netns.sh BUILD netem    those that need netem; a run in which all of them were skipped has failed, since that
#                               kernel is here because it has netem
#   uml_netns.sh BUILD packets  those that send packets past filters, to which kernels make a difference
#   uml_netns.sh BUILD kernel   others to which they do: identities, stressors in control groups of version 2, the agent as
#                               a whole; with SQ_UML_ALL=yes all that are left
#
# Prints each program's output, then one line "uml: NAME ok|failed|skipped, SECONDS s"; exits with the number of failures.
set -uo pipefail
build=$1
part=$2
failures=0
passed=0

part_of() {
    case $1 in
    test_network_latency* | test_network_loopback | test_network_together) echo netem ;;
    test_network_loss | test_network_partition | test_network_partition_foreign | test_network_ways | test_tc) \
        echo packets ;;
    test_network_detour_refused | test_network_identity | test_network_protected | test_network_vanished | \
        test_classifier | test_stressor | test_memory_stress | test_stress_group | test_agent) echo kernel ;;
    *) if [ "${SQ_UML_ALL:-no}" = yes ]; then echo kernel; fi ;;
    esac
}

for program in "$build"/tests/netns/test_*; do
    { [ -f "$program" ] && [ -x "$program" ]; } || continue
    name=$(basename "$program")
    [ "$(part_of "$name")" = "$part" ] || continue
    started=$SECONDS
    timeout 300 "$program"
    status=$?
    case $status in
    0)
        result=ok
        passed=$((passed + 1))
        ;;
    77) result=skipped ;;
    *)
        result="failed with status $status"
        failures=$((failures + 1))
        ;;
    esac
    echo "uml: $name $result, $((SECONDS - started)) s"
done
if [ "$passed" = 0 ]; then
    echo "uml: not one test of $part passed"
    failures=$((failures + 1))
fi
exit "$failures"
