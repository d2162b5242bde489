#!/usr/bin/env bash
# What others do to a host while a fault is in: their own changes are told and spoil nothing; taking the fault away, or
# getting in front of it, fails the run, and the report says when it was last seen.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

# Each text stands in the record of the run; jq need not be there.
# shellcheck disable=SC2317  # called by expect
in_record() {
    local text
    for text in "$@"; do grep -qF -- "$text" "$work/run.jsonl" || return 1; done
}

is_in() { [[ $(injections) -gt $injections_before ]]; }

write_experiment probe=none duration=3s to='[10.77.0.11]'
sq_start "$experiment"
wait_until 10 is_in
host-exec web2 tc qdisc add dev eth0 clsact 2>/dev/null || true
host-exec web2 tc filter add dev eth0 egress prio 7 bpf bytecode '1,6 0 0 4294967295' direct-action
sq_wait 20
host-exec web2 tc qdisc del dev eth0 clsact
verdict 'a filter that somebody adds meanwhile spoils nothing' 0 'changed by others: nothing left' 'foreign.*egress filters'
expect 'the record says so' in_record '"proof":"changed by others"' '"proved":false'

write_experiment probe=none duration=60s to='[10.77.0.11]'
sq_start "$experiment"
wait_until 10 is_in
# On clsact by its filters; on tcx by whoever holds them, a child of the injector that is not the front.
if ! host-exec web2 tc qdisc del dev eth0 clsact 2>/dev/null; then
    for guard in $(pgrep -P "$(agent_injector web2)"); do
        [[ $guard == "$(agent_front web2)" ]] || kill -KILL "$guard"
    done
fi
sq_wait 20
verdict 'a fault that somebody takes away fails the run' 4 'web2: "cut off"' 'somebody' 'was last seen in place at'
expect 'the record says when it was seen' in_record '"state":"FAILED"' '"seen":"20'
tap_end
