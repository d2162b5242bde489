#!/usr/bin/env bash
# The preview is the run: a plan file does exactly what it says, or is refused with the difference.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
plan=$work/plan.json

write_experiment duration=1s
sq plan "$experiment" -o "$plan"
verdict 'plan -o writes a plan' 0 'web2'
expect 'the plan names its hash' grep -q '"sha256"' "$plan"
sq_run "$plan"
verdict 'a plan file is run' 0

# -o replaces plans of squall's, and nothing else.
cp "$experiment" "$work/copy.yaml"
sq plan "$experiment" -o "$experiment"
verdict 'plan -o does not replace an experiment' 2 'no plan of squall'
expect 'the experiment is as it was' cmp "$experiment" "$work/copy.yaml"
sq plan "$experiment" -o "$plan"
verdict 'plan -o replaces an older plan' 0
ln -s "$plan" "$work/link.json"
sq plan "$experiment" -o "$work/link.json"
verdict 'plan -o through a symbolic link' 0
expect 'the link is still one' test -L "$work/link.json"
sq plan "$experiment" -o /dev/null
verdict 'plan -o /dev/null' 0
expect '/dev/null is still a device' test -c /dev/null
sq plan "$experiment" -o .
verdict 'plan -o .' 2 'is a folder'
sq plan "$experiment" -o "$work/nowhere/plan.json"
verdict 'plan -o in a folder that is not there' 2 'No such file'
sq plan "$experiment" -o /dev/full
verdict 'plan -o /dev/full' 4 'No space left'
mkfifo "$work/fifo"
cat "$work/fifo" >"$work/through.json" &
sleep 0.2
sq plan "$experiment" -o "$work/fifo"
verdict 'plan -o through a FIFO' 0
wait_until 3 test -s "$work/through.json" || true
sq_run "$work/through.json"
verdict 'the plan that came through the FIFO is run' 0

# What can be read only once is read only once: an experiment, a plan and an inventory through pipes. Paths in the latter
# are taken from the current folder.
pushd "$LAB_DIR" >/dev/null
sq validate <(cat "$experiment") "$plan" <(cat "$SQUALL_HOSTS")
verdict 'validate reads pipes' 0 'valid: an inventory'
sq plan --hosts <(cat "$SQUALL_HOSTS") <(cat "$experiment")
verdict 'plan reads an experiment and an inventory from pipes' 0 'web2'
popd >/dev/null
sq_run <(cat "$experiment")
verdict 'an experiment is run from a pipe' 0
expect 'its text is in the record' grep -q 'method:' "$work/run.jsonl"
python3 -c 'import json, sys; print(json.dumps(dict(reversed(json.load(sys.stdin).items()))))' <"$plan" >"$work/again.plan"
sq_run <(cat "$work/again.plan")
verdict 'a plan that was written again, in another order, is run from a pipe' 0

# What is wrong with the files is said first.
sq run "$work/nope.yaml"
verdict 'without a terminal, a file that is not there is told first' 2 'nope.yaml: No such file'
sq run "$experiment"
verdict 'without a terminal nobody can be asked' 2 'no terminal to ask on' "squall plan $experiment"
sq run "$plan"
verdict 'so for a plan, which is not planned again' 2 'no terminal to ask on' 'as it was shown'

# The file may be gone, the plan holds it all.
mv "$experiment" "$work/elsewhere.yaml"
sq_run "$plan"
verdict 'a plan file is run without its experiment' 0
mv "$work/elsewhere.yaml" "$experiment"

sed 's/web2/web3/' "$plan" >"$work/tampered.json"
sq_run "$work/tampered.json"
verdict 'a plan that was changed by hand is refused' '2|3' 'hash|sha256|changed'
expect 'nothing was injected' never_injected

head -c 200 "$plan" >"$work/cut.json"
sq_run "$work/cut.json"
verdict 'half a plan is refused' 2

# What the host protects changed since.
cp "$LAB_DIR/web2/policy.yaml" "$work/policy.yaml"
echo 'protect: {peers: [10.77.0.10]}' >>"$LAB_DIR/web2/policy.yaml"
kill -HUP "$(agent_injector web2)"
sleep 0.3
sq_run "$plan"
verdict 'a plan is refused when the host would do something else by now' 3 'web2'
expect 'nothing was injected' never_injected
cp "$work/policy.yaml" "$LAB_DIR/web2/policy.yaml"
kill -HUP "$(agent_injector web2)"
sleep 0.3
sq_run "$plan"
verdict 'and run when it is as before' 0

# Another agent under the same name.
sed 's/10.77.0.12:7433/10.77.0.13:7433/; /name: web3/d' "$LAB_DIR/hosts.yaml" >"$LAB_DIR/hosts-moved.yaml"
sq_run --hosts "$LAB_DIR/hosts-moved.yaml" "$plan"
verdict 'a plan is refused when the inventory has changed' '3|4' 'web2'
expect 'nothing was injected' never_injected

sq plan --offline "$experiment"
verdict 'plan --offline asks nobody' 0 'web2'

# The first thing a new user sees.
if [[ ! -e /etc/squall/hosts.yaml ]]; then
    hosts=$SQUALL_HOSTS
    unset SQUALL_HOSTS
    sq plan "$experiment"
    verdict 'plan without an inventory says what to do' 2 '--hosts FILE' 'SQUALL_HOSTS' '--local'
    sq status
    verdict 'so does status' 2 '--hosts FILE'
    export SQUALL_HOSTS=$hosts
fi
agent_stop web2
sq plan --offline "$experiment"
verdict 'plan --offline without an agent' 0 'web2'
agent_start web2
sq plan --json "$experiment"
verdict 'plan --json' 0 '^[[{]'
tap_end
