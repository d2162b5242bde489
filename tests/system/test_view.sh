#!/usr/bin/env bash
# What a person sees: the live view on a terminal, plain lines elsewhere; asking; the run record; an agent for one run.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
escape=$'\e'

# on_terminal COMMAND: with a terminal of 100 columns; what it showed is in $output, control characters and all.
on_terminal() {
    injections_before=$(injections)
    status=0
    TERM=${TERM_IN_TEST:-xterm} timeout 60 script -qfec "stty cols 100 rows 30; $1" "$output" >/dev/null 2>&1 <"${2:-/dev/null}" || status=$?
}
shows() { grep -q -- "$1" "$output"; }
no_escapes() { ! grep -q "$escape" "$output"; }

write_experiment duration=2s
on_terminal "squall run --yes --record $work/run.jsonl $experiment"
verdict 'a run on a terminal' 0 'the probe' 'web2'
expect 'it redraws a live view' shows "$escape\\["
NO_COLOR=1 on_terminal "squall run --yes --record $work/run.jsonl $experiment"
verdict 'a run with NO_COLOR' 0
expect 'NO_COLOR: no colours' bash -c "! grep -qE '$escape\\[[0-9;]*3[0-7][0-9;]*m' '$output'"
TERM_IN_TEST=dumb on_terminal "squall run --yes --color never --record $work/run.jsonl $experiment"
verdict 'a run on a dumb terminal' 0
sq_run "$experiment"
verdict 'a run without a terminal' 0 'faults are in' 'web2'
expect 'plain lines: no control characters' no_escapes
sq_run --color always "$experiment"
verdict 'a run with --color always' 0
expect '--color always: colours' shows "$escape\\["
sq_run --json "$experiment"
verdict 'run --json' 0 '^[[{]'

# Wide characters, a narrow terminal, a locale that has only ASCII, and somebody who types.
full_dots=$'\u28ff'
write_experiment title='店は一つのホストの喪失に耐える 🌪️ the shop' duration=3s
LC_ALL=C.UTF-8 on_terminal "squall run --yes --record $work/run.json $experiment"
verdict 'a title with wide characters' 0
expect 'with UTF-8: Braille' shows "$full_dots"
LC_ALL=C on_terminal "stty cols 40; squall run --yes --record $work/run.json $experiment"
verdict 'a narrow terminal, in LC_ALL=C' 0 '\[#+-*\]'
expect 'without UTF-8: ASCII' bash -c "! grep -q '$full_dots' '$output'"
on_terminal "squall run --yes --record $work/run.json $experiment" <(sleep 2 && printf 'typed\n\n\n')
verdict 'somebody types' 0
expect 'what is typed is not echoed into the view' bash -c "! grep -q typed '$output'"
write_experiment duration=6s
TZ=CET-1CEST sq_run "$experiment"
verdict 'a run of some seconds without a terminal' 0 'times are those of 20..-..-.., CET \(UTC\+01:00\)|CEST'
expect 'how it stands, every few seconds' shows 'faults are in for 5.*s, .* left; "the probe" status 200 in .*, 0 of 3 misses'

echo no >"$work/no"
on_terminal "squall run --record $work/run.jsonl $experiment" "$work/no"
verdict 'the question is answered with no' '3|5'
expect 'nothing was injected' never_injected
sq run "$experiment"
verdict 'nobody there to ask' '2|3|5' '--yes'

sq_run "$experiment"
verdict 'a run for its record' 0
for key in format experiment hosts injected clean removed 'the probe'; do
    expect "the run record has: $key" grep -q "$key" "$work/run.jsonl"
done
sq run --yes --record /proc/no/run.jsonl "$experiment"
verdict 'an unwritable run record is known beforehand' '2|4' '/proc/no'

# An agent on this machine for one run alone, under the host's policy if it has one.
write_experiment 'hosts=[web2]' 'to=[10.77.0.12]'
sed -i 's/targets: .*/targets: {labels: {local: "true"}}/' "$experiment"
if [[ -e /etc/squall/policy.yaml ]]; then
    tap_skip '--local without a policy' 'this machine has /etc/squall/policy.yaml'
else
    sq_run --local "$experiment"
    verdict '--local without a policy of the host' 0 'there is no policy'
fi
tap_end
