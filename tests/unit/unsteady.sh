#!/usr/bin/env bash
# tests/lab/ctest.sh: which failures may become "unsteady". Real ctest, with tests that fail once, always, or by dying.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
results=$directory/results logs=$directory
# shellcheck source=tests/lab/ctest.sh
source tests/lab/ctest.sh

# add NAME LABEL SCRIPT
add() {
    printf '#!/bin/bash\ncd %q\n%s\n' "$directory" "$3" >"$directory/$1"
    chmod +x "$directory/$1"
    printf 'add_test(%s "%s/%s")\nset_tests_properties(%s PROPERTIES LABELS %s)\n' "$1" "$directory" "$1" "$1" "$2" \
        >>"$directory/CTestTestfile.cmake"
}
begin() { rm -rf "${directory:?}"/*; : >"$results"; }
ends_as() {
    run_ctest tier "$directory" >"$directory/said"
    local got
    got=$(cut -f1,2 "$results" | tr '\t\n' ' ;')
    [[ $got == "$1" ]] || { printf 'expected %s\ngot      %s\n' "$1" "$got"; exit 1; }
}
# Fails as cmocka does, but only when NAME.was is not there yet.
once() { printf 'echo ok 1 - good; if [ -e %s.was ]; then echo ok 2 - bad; else touch %s.was; echo not ok 2 - bad; exit 1; fi' "$1" "$1"; }
always='echo not ok 1 - bad; exit 1'

begin
add fine unit 'echo ok 1 - good'
add once netns "$(once once)"
add always netns "$always"
ends_as 'pass tier: fine: good;pass tier: once: good;unsteady tier: once: bad;fail tier: always: bad;'

begin # what needs no privileges, what crashes on purpose
add plain unit "$(once plain)"
ends_as 'pass tier: plain: good;fail tier: plain: bad;'
begin
add some_crash netns "$(once some_crash)"
ends_as 'pass tier: some_crash: good;fail tier: some_crash: bad;'
begin
add killed crash "$(once killed)"
ends_as 'pass tier: killed: good;fail tier: killed: bad;'

begin # what died is not forgiven, whatever it does the second time
add dies netns 'echo ok 1 - good; [ -e dies.was ] || { touch dies.was; kill -SEGV $$; }'
ends_as 'pass tier: dies: good;fail tier: dies;'

begin # nor are many
for name in a b c; do add $name netns "$(once $name)"; done
ends_as 'pass tier: a: good;fail tier: a: bad;pass tier: b: good;fail tier: b: bad;pass tier: c: good;fail tier: c: bad;'
