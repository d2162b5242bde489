# shellcheck shell=bash disable=SC2154
# Sourced by ./check, which sets them: runs tiers of ctest and notes each single test in $results, with its log in $logs.
#
# A test against a real kernel, on a machine that others use too, can fail for the machine's reasons. Hidden, that would
# be a lie; called a failure, it would hold up everybody. So it is run again, by itself, when all others of its tier are
# through, and if it passes then it is *unsteady*: told with its first failure, counted apart, a defect to hunt down.
# Not forgiven: what a process died of (a signal, a sanitizer), what did not end in time, tests that need no privileges,
# crash tests, whose whole point is what happens rarely, and more than a few in one tier.

readonly most_unsteady=2 never_again='_crash$|^power_cut$'

# note pass|fail|skip|unsteady NAME [REASON]
note() {
    printf '%s\t%s\t%s\n' "$1" "$2" "${3:-}" >>"$results"
    case $1 in
    fail) printf '  FAILED   %s %s\n' "$2" "${3:+($3)}" ;;
    unsteady) printf '  unsteady %s %s\n' "$2" "${3:+($3)}" ;;
    skip) printf '  skipped  %s: %s\n' "$2" "${3:-no reason given}" ;;
    *) ;;
    esac
}

# ctest_results LOG DIRECTORY [OPTION...]: one line per test, as tests/count.awk prints them.
ctest_results() {
    local log=$1 directory=$2
    shift 2
    CMOCKA_MESSAGE_OUTPUT=TAP ctest --test-dir "$directory" -V --no-tests=ignore "$@" >"$log" 2>&1 </dev/null || true
    awk -f tests/count.awk "$log"
}

# The programs in which nothing but assertions failed, one a line; none if there are too many. Reads results.
unsteady_candidates() {
    awk -F'\t' -v most="$most_unsteady" '
        $1 == "fail" {
            if (!match($2, /: /)) { died[$2] = 1; next }
            programs[substr($2, 1, RSTART - 1)] = 1
        }
        END {
            for (program in programs) if (!(program in died)) found[count++] = program
            if (count <= most) for (i = 0; i < count; i++) print found[i]
        }'
}

# note_results NAME FIRST AGAIN: what passed again is unsteady.
note_results() {
    local name=$1 outcome test reason
    while IFS=$'\t' read -r outcome test reason; do
        if [[ $outcome == fail ]] && grep -qxF "pass"$'\t'"$test"$'\t' <<<"$3"; then outcome=unsteady; fi
        note "$outcome" "$name: $test" "$reason"
    done <<<"$2"
}

# Run a tier of ctest and count its single cmocka tests (they speak TAP). $1: name, $2: build; the rest: for ctest.
run_ctest() {
    local name=$1 directory=$2 log=$logs/$1.log first again='' programs
    shift 2
    first=$(ctest_results "$log" "$directory" "$@")
    if [[ -z $first ]]; then
        note fail "$name" 'ran no test at all'
        return
    fi
    programs=$(unsteady_candidates <<<"$first" | paste -sd '|')
    if [[ -n $programs ]]; then
        printf '  %s: once more, by themselves: %s\n' "$name" "${programs//|/, }"
        again=$(ctest_results "$logs/$name-again.log" "$directory" -L 'netns|uml|system' -E "$never_again" -R "^($programs)\$")
    fi
    note_results "$name" "$first" "$again"
    printf '  %s: %d results (%s)\n' "$name" "$(wc -l <<<"$first")" "${log#"$root"/}"
}
