#!/usr/bin/env bash
# tests/count.awk, which ./check trusts with its verdict, against a log that has every kind of outcome.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tab=$'\t'

log() {
    cat <<'END'
    Start 1: test_skips
1: Test command: /build/test_skips
1: 1..2
1: ok 1 - good
1: no such thing here
1: not ok 2 # SKIP skipped
1: # ok - tests
1/8 Test #1: test_skips .......................   Passed    0.00 sec
    Start 2: test_fails
2: ok 1 - good
2: a figure
2: not ok 2 - bad
2: # 0x1 != 0x2
2: # test_fails.c:6: error: Failure!
2: # not ok - tests
2/8 Test #2: test_fails .......................***Failed    0.00 sec
    Start 3: test_dies
3: ok 1 - good
3/8 Test #3: test_dies ........................Subprocess aborted***Exception:   0.00 sec
    Start 4: test_cannot
4: cannot: no root
4/8 Test #4: test_cannot ......................***Skipped   0.00 sec
    Start 5: test_silent_failure
5/8 Test #5: test_silent_failure ..............***Failed    0.00 sec
    Start 6: test_sleeps
6/8 Test #6: test_sleeps ......................***Timeout   1.01 sec
    Start 7: test_plain
7/8 Test #7: test_plain .......................   Passed    0.00 sec
    Start 8: test_shell
8: ok 1 - a b
8: ok 2 - c # SKIP not here
8: not ok 3 - d
8: 1..3
8/8 Test #8: test_shell .......................***Failed    0.00 sec
END
}

expected() {
    cat <<END
pass${tab}test_skips: good${tab}
skip${tab}test_skips: skipped${tab}no such thing here
pass${tab}test_fails: good${tab}
fail${tab}test_fails: bad${tab}a figure; 0x1 != 0x2; test_fails.c:6: error: Failure!
pass${tab}test_dies: good${tab}
fail${tab}test_dies${tab}Exception:   0.00 sec 
skip${tab}test_cannot${tab}cannot: no root
fail${tab}test_silent_failure${tab}Failed    0.00 sec 
fail${tab}test_sleeps${tab}Timeout   1.01 sec 
pass${tab}test_plain${tab}
pass${tab}test_shell: a b${tab}
skip${tab}test_shell: c${tab}not here
fail${tab}test_shell: d${tab}
END
}

diff <(expected) <(log | awk -f count.awk)
