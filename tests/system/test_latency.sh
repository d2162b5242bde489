#!/usr/bin/env bash
# Latency where the kernel has netem. Where it has not, `squall hosts` says so, and a plan that needs it is refused.
# Loss needs none.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

has_netem() {
    unshare -n sh -c 'ip link add ifb9 type ifb && tc qdisc add dev ifb9 root netem delay 1ms' 2>/dev/null
}

for fault in 'network.latency delay: 40ms' 'network.loss percent: 10%'; do
    kind=${fault%% *}
    write_experiment duration=1s
    sed -i "s/fault: .*/fault: $kind/; s/with: {/with: {${fault#* }, /" "$experiment"
    sq validate "$experiment"
    verdict "$kind is known to validate" 0
    if has_netem || [ "$kind" = network.loss ]; then
        sq_run "$experiment"
        verdict "$kind runs" 0 'nothing left'
        continue
    fi
    sq hosts
    verdict "hosts says what is missing for $kind" 0 "$kind" 'modprobe sch_netem'
    sq plan "$experiment"
    verdict "a plan with $kind is refused with the reason" 3 'web2' 'modprobe sch_netem'
    sq_run "$experiment"
    verdict "a run with $kind is refused with the reason" 3 'modprobe sch_netem'
    expect 'nothing was injected' never_injected
done
tap_end
