#!/usr/bin/env bash
# The run record: a controller that is killed outright leaves one that can be read; where it goes, what it never
# overwrites, and what a full disk, a device and a FIFO do to it and to the exit status.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
cd "$work"
unset SQUALL_RUNS

report() { sq report "$@"; }
is_in() { [[ $(injections) -gt $injections_before ]]; }
says() { # STATUS REGEX...: like verdict, while a fault is in
    local regex
    [[ $status == "$1" ]] || return 1
    shift
    for regex in "$@"; do grep -qE -- "$regex" "$output" || return 1; done
}
has_mode() { [[ $(stat -c %a "$2") == "$1" ]]; }
is_character_device() { [[ -c $1 && ! -L $1 ]]; }

# --- a record, and its report -------------------------------------------------------------------------------------
write_experiment
sq_run "$experiment"
verdict 'a run with a record' 0 'record: .*run\.jsonl'
sed -n '/^completed/,$p' "$output" >"$work/at-the-end"
expect 'it is for its owner alone' has_mode 600 "$work/run.jsonl"
report "$work/run.jsonl"
verdict 'report shows it' 0 '^completed: ' 'operator' 'cut off, network\.partition: REVERTED' 'the probe'
expect 'as the run did at its end' cmp "$work/at-the-end" "$output"
report --format json "$work/run.jsonl"
verdict 'report --format json' 0 '"events": \[' '"type": "measurement"' '"exit_status": 0'

# --- where records go ---------------------------------------------------------------------------------------------
sq run --yes "$experiment"
verdict 'a record in its default place' 0 'record: squall-runs/[0-9TZ]*-[0-9a-f]*/run\.jsonl'
expect 'the folder is for its owner alone' has_mode 700 "$work/squall-runs"
report last
verdict 'report last' 0 '^completed: '
id=$(sed -nE 's/^  run +([0-9a-f]{32})$/\1/p' "$output")
report "${id:0:6}"
verdict 'report by the beginning of an id' 0 "$id"
SQUALL_RUNS=$work/elsewhere sq run --yes "$experiment"
verdict 'SQUALL_RUNS names the folder' 0 "record: $work/elsewhere/"
report --runs "$work/elsewhere" last
verdict '--runs names the folder' 0 '^completed: '
{ echo "runs: $work/named"; sed "s|certificates/|$LAB_DIR/certificates/|g" "$SQUALL_HOSTS"; } >"$work/hosts.yaml"
sq run --yes --hosts "$work/hosts.yaml" "$experiment"
verdict "the inventory's runs names the folder" 0 "record: $work/named/"
report --hosts "$work/hosts.yaml" last
verdict 'report looks there as well' 0 '^completed: ' "record: $work/named/"
SQUALL_RUNS=$work/elsewhere report --hosts "$work/hosts.yaml" last
verdict 'but SQUALL_RUNS comes first' 0 '^completed: ' "record: $work/elsewhere/"
SQUALL_RUNS=$work/elsewhere report --hosts "$work/hosts.yaml" --runs "$work/named" last
verdict 'and --runs before it' 0 '^completed: ' "record: $work/named/"
report nothing
verdict 'report of nothing' 2 'expected a path, the beginning of an id'
sq run --yes --record "$work/no/such/folder/run.jsonl" "$experiment"
verdict 'folders are not made out of a slip of the pen' 2 'No such file'
expect 'nothing was made' test ! -e "$work/no"

# --- what is there already ----------------------------------------------------------------------------------------
cp "$experiment" "$work/experiment-before"
sq run --yes --record "$experiment" "$experiment"
verdict 'the experiment is no place for the record' 2 'no run record of squall'
expect 'it stays as it was' cmp "$work/experiment-before" "$experiment"
sq run --yes --record /dev/null "$experiment"
verdict 'a device takes the record' 0 'record: /dev/null'
expect 'and stays a device' is_character_device /dev/null
ln -sf target "$work/link"
sq run --yes --record "$work/link" "$experiment"
verdict 'a symbolic link is written through' 0
expect 'and stays one' test -L "$work/link" -a -s "$work/target"
mkfifo "$work/fifo"
sq run --yes --record "$work/fifo" "$experiment"
verdict 'a FIFO that nobody reads' 2 'nobody reads'
timeout 30 cat "$work/fifo" >"$work/from-fifo" &
reader=$!
wait_until 5 test -d "/proc/$reader"
sleep 0.2
sq run --yes --record "$work/fifo" "$experiment"
verdict 'a FIFO is written' 0
wait "$reader" || true
report "$work/from-fifo"
verdict 'what came out of it is a record' 0 '^completed: '
report - <"$work/from-fifo"

# --- what cannot be written ---------------------------------------------------------------------------------------
never_said_record() { ! grep -q "record: $1" "$output"; }
sq run --yes --record /dev/full "$experiment"
verdict 'a full device is known beforehand' 4 'No space left'
expect 'nothing was injected' never_said_record /dev/full
mkdir "$work/small"
mount -t tmpfs -o size=8k tmpfs "$work/small"
sq run --yes --record "$work/small/run.jsonl" "$experiment"
umount "$work/small"
verdict 'a disk that fills up during the run: rolled back as always, and 4' 4 \
    '^completed: ' "the record $work/small/run\.jsonl is not whole" 'No space left'
expect 'it is not called a record' never_said_record "$work/small/run.jsonl"
write_experiment hosts='[web2]' tolerance='{status: 404}'
mount -t tmpfs -o size=8k tmpfs "$work/small"
sq run --yes --record "$work/small/run.jsonl" "$experiment"
umount "$work/small"
verdict 'other endings keep their status' 3 '404'
write_experiment
for verb in "version" "help" "validate $experiment" "hosts" "status" "plan $experiment" "report $work/run.jsonl" \
    "run --yes --record $work/run.jsonl $experiment"; do
    status=0
    # shellcheck disable=SC2086 # a verb and its operands
    timeout 60 squall $verb >/dev/full 2>"$output" </dev/null || status=$?
    verdict "${verb%% *} on a full disk" 4 'standard output could not be written'
    status=0
    # shellcheck disable=SC2086
    timeout 60 squall $verb >&- 2>"$output" </dev/null || status=$?
    verdict "${verb%% *} with its output closed" 4 'standard output could not be written: it is closed'
done

# A reader that is gone before anything is printed.
status=0
{ sleep 0.2 && timeout 60 squall hosts 2>"$output" </dev/null || echo "$?" >"$work/status"; } | :
status=$(cat "$work/status")
verdict 'hosts whose reader went away' 4
mkdir "$work/full"
mount -t tmpfs -o size=4k,nr_inodes=4 tmpfs "$work/full"
echo x >"$work/full/x"
sq run --yes --runs "$work/full/runs" "$experiment"
made=$(find "$work/full/runs" -mindepth 1)
umount "$work/full"
verdict 'a full disk is known beforehand' 4 'No space left'
expect 'and no empty record is left' test -z "$made"

# --- a controller that dies ---------------------------------------------------------------------------------------
write_experiment duration=60s lease=1s
sq_start "$experiment"
wait_until 10 is_in
goes_on() { report "$work/run.jsonl" && says 0 '^still running: faults are in' 'last seen as INJECTED'; }
wait_until 5 goes_on || true # the agent injects before the controller is told
expect 'the report of a run that goes on' goes_on
sleep 0.5
kill -KILL "$running"
wait "$running" 2>/dev/null || true
report "$work/run.jsonl"
expect 'the report of a killed controller' says 0 '^no ending: ' 'its controller died' 'squall status' \
    'the first fault was in' 'last seen as INJECTED' 'until when is not known'
report --format json "$work/run.jsonl"
verdict 'the same as JSON' 0 '"ending": null' '"moments": \{"injected"'
sleep 1.5
tap_end
