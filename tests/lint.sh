#!/usr/bin/env bash
# What can be said about the sources without running them.
#   lint.sh list           the checks, one a line: name, tab, command
#   lint.sh CHECK          one of them: layout, tidy [FILE...], shell, lengths, includes, circles, waiting, counting, plain
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
readonly file_lines_max=700 function_lines_max=60

sources() { find agent common controller proto tests packaging -name '*.[ch]' -type f | sort; }
scripts() {
    {
        echo demo check .ci/run tests/lab/host-exec | tr ' ' '\n'
        find tests packaging -name '*.sh' -type f
    } | sort
}

layout() { sources | xargs clang-format --dry-run -Werror; }

# clang-tidy needs no BPF code (another target) and no generated code.
tidied() { sources | grep '\.c$' | grep -vE '^(agent/bpf|tests)/'; }

tidy() {
    local files=("$@")
    [[ ${#files[@]} -gt 0 ]] || mapfile -t files < <(tidied)
    mapfile -t files < <(python3 tests/tidy_cache.py ask build/dev "${files[@]}" || printf '%s\n' "${files[@]}")
    [[ ${#files[@]} -gt 0 ]] || return 0
    # GCC's own warnings are unknown to clang, and what clang warns of beyond them is for a build with clang.
    printf '%s\n' "${files[@]}" | xargs -P2 -n4 clang-tidy --quiet -p build/dev \
        --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wno-sign-conversion \
        2> >(grep -vE 'warnings? (and [0-9]+ errors? )?generated|^Suppressed' >&2 || true)
    python3 tests/tidy_cache.py keep build/dev "${files[@]}"
}

shell() { scripts | xargs shellcheck -x -P .; }

lengths() {
    local wrong=0 file
    while read -r file; do
        awk -v most="$file_lines_max" 'END { if (NR >= most) { print FILENAME ": " NR " lines"; exit 1 } }' "$file" ||
            wrong=1
    done < <({ sources; scripts; } | sort -u)
    # With the project's brace style a function's body stands between a { and a } in the first column.
    sources | grep '\.c$' | xargs awk -v most="$function_lines_max" -f tests/function_length.awk || wrong=1
    return "$wrong"
}

includes() {
    local found
    found=$(sources | xargs grep -nE '^ *# *include +["<]([^">]*/)?\.\./' || true)
    [[ -z $found ]] || {
        echo "includes that climb out of their folder:"
        echo "$found"
        return 1
    }
    tests/unit/include_rule.sh
}

circles() { tests/unit/circles.sh; }

# The controller waits in its loop alone (controller/loop/loop.h), and blocks for no name.
waiting() {
    local found
    found=$(find controller -name '*.[ch]' -not -path 'controller/loop/*' -print0 |
        xargs -0 grep -nE '\b(p?poll|select|pselect|epoll_[a-z]+|nanosleep|clock_nanosleep|usleep|sleep|getaddrinfo|gethostby[a-z]+)\(' |
        grep -vE 'poll\(&ready, 1, 0\)|nanosleep\(&pause, NULL\)|select\(2\)' || true)
    [[ -z $found ]] || {
        echo "waiting outside of the controller's loop:"
        echo "$found"
        return 1
    }
}

counting() {
    tests/unit/count.sh
    tests/unit/unsteady.sh
}

list() {
    printf 'lint: %s\ttests/lint.sh %s\n' \
        'clang-format has nothing to change' layout \
        'shellcheck has nothing to say' shell \
        "files below $file_lines_max lines, functions $function_lines_max at most" lengths \
        'no include that the architecture forbids' includes \
        'no circle between the files of a room' circles \
        'the controller waits in its loop alone' waiting \
        'the counting of results is right' counting \
        'clang-tidy has nothing to say' tidy \
        'GCC and clang have nothing to say to a plain configure at -O3' plain
}

# What somebody gets who knows no preset: no tests, no cmocka, and no warning either.
plain() {
    local compiler
    for compiler in gcc clang; do
        cmake -S . -B "build/plain-$compiler" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER="$compiler" \
            -DSQ_WERROR=ON >/dev/null
        if grep -qi '^cmocka_found' "build/plain-$compiler/CMakeCache.txt"; then
            echo 'a plain configure asks for cmocka' >&2
            return 1
        fi
        cmake --build "build/plain-$compiler" | grep -E 'FAILED|error|warning' || true
        cmake --build "build/plain-$compiler" >/dev/null
    done
}

case ${1:-} in
list | layout | tidy | shell | lengths | includes | circles | waiting | counting | plain) "$@" ;;
*)
    echo 'usage: lint.sh list, or lint.sh layout|tidy|shell|lengths|includes|circles|waiting|counting|plain' >&2
    exit 2
    ;;
esac
