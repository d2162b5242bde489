#!/usr/bin/env bash
# --json is a contract (docs/json.md): what every verb prints, its errors and early refusals too, is as its schema says.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
schemas=$root/packaging/schema
checked=" "

# holds STATUS ARGUMENTS...: standard output alone is one document of the verb's schema, and says the exit status.
holds() {
    local expected=$1 verb=$2 said
    shift
    checked+="$verb "
    status=0
    timeout 60 squall "$@" --json >"$output" 2>"$work/errors" </dev/null || status=$?
    said=$(/usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin).get("exit_status"))' <"$output" || true)
    if [[ $status != "$expected" || ($verb != report && $said != "$expected") ]]; then
        explain
        tap_fail "squall $*: exit status $status, in the document $said, expected $expected"
        return
    fi
    expect "squall $* ($expected)" "$root/tests/system/schema.py" "$schemas" "$verb" <"$output"
}

no_such=$work/nowhere.yaml
write_experiment probe=none duration=1s
sed 's/^method/metod/' "$experiment" >"$work/wrong.yaml"
printf 'hosts: [{name: web9, agent: "ipc://%s/nobody.sock"}]\n' "$work" >"$work/silent.yaml"

holds 0 version
holds 0 hosts
holds 4 hosts --hosts "$work/silent.yaml"
holds 2 hosts --hosts "$no_such"
holds 2 hosts --bogus

holds 0 validate "$experiment" "$LAB_DIR/hosts.yaml" "$LAB_DIR/web1/policy.yaml" "$LAB_DIR/web1/agent.yaml"
holds 2 validate "$work/wrong.yaml" "$experiment" "$no_such"
holds 2 validate "$experiment" --hosts "$no_such"
holds 2 validate

holds 0 plan "$experiment"
holds 0 plan "$experiment" --offline
holds 0 plan "$experiment" -o "$work/a.plan"
expect 'the plan file' "$root/tests/system/schema.py" "$schemas" plan-file <"$work/a.plan"
holds 2 plan "$work/wrong.yaml"
holds 2 plan "$experiment" -o .
holds 2 plan "$experiment" --hosts "$no_such"
holds 2 plan "$experiment" --hosts "$work/silent.yaml"
write_experiment probe=none 'hosts=[web9]' "file=$work/silent-host.yaml"
holds 4 plan "$work/silent-host.yaml" --hosts "$work/silent.yaml"

holds 2 run "$experiment"
holds 2 run "$work/wrong.yaml" --yes
holds 4 run "$work/silent-host.yaml" --yes --hosts "$work/silent.yaml" --record "$work/silent.jsonl"
holds 0 run "$experiment" --yes --record "$work/zero.jsonl"
holds 0 run "$work/a.plan" --yes --record "$work/plan.jsonl"
write_experiment tolerance='{status: 404}'
holds 3 run "$experiment" --yes --record "$work/bad-before.jsonl"
holds 0 report "$work/zero.jsonl"
holds 0 report "$work/bad-before.jsonl"
holds 2 report "$no_such"

# While something is in: others in the plan, the faults in status, what halt ended.
write_experiment probe=none duration=60s
sq_start "$experiment"
output=$work/document # the other one is the run's
wait_until 10 something_is_injected
write_experiment probe=none 'hosts=[web1]' "file=$work/other.yaml"
holds 0 status
holds 0 plan "$work/other.yaml"
expect 'the plan names the company' grep -q '"company": \[' "$output"
sed -i 's/^limits: .*/limits: {alone: yes}/' "$work/other.yaml"
holds 3 plan "$work/other.yaml"
holds 3 run "$work/other.yaml" --yes --record "$work/other.jsonl"
holds 0 halt
ended_by_halt() { sq_has_ended; }
expect 'halt ended the run' wait_until 10 ended_by_halt
wait "$running" || true
holds 0 report "$(ls "$work"/run.json*)"
holds 0 halt
holds 0 status
holds 4 halt --hosts "$work/silent.yaml"
holds 4 status --hosts "$work/silent.yaml"
holds 2 status --hosts "$no_such"

# Every verb that takes --json has a schema, and was tried.
for verb in $(squall help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]\+\) .*/\1/p'); do
    if squall help "$verb" | grep -q -- '--json'; then
        expect "squall $verb has a schema" test -e "$schemas/$verb.json"
        expect "squall $verb was tried" grep -q " $verb " <<<"$checked"
    fi
done
tap_end
