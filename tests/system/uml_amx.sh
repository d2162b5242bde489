#!/usr/bin/env bash
# User-Mode Linux on a processor with AMX, which is played by a ptrace(2) that demands the larger state. Speaks TAP.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lab=$here/../lab
work=$(mktemp -d "${UML_DIRECTORY:-/var/tmp}/squall-uml-amx.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
cc -O2 -shared -fPIC -o "$work/amx.so" "$lab/uml_amx.c" || exit 1
export UML_PRELOAD=$work/amx.so

# Floating point in many processes, each of which has its state set.
cat >"$work/compute" <<'END'
for i in 1 2 3 4 5 6 7 8; do awk -v i=$i 'BEGIN { for (n = 0; n < 20000; n++) x += i / 3; printf "%.3f\n", x }' & done
wait
END

failures=0
UML_PLAIN=yes "$lab/uml.sh" --timeout 60 -- true >"$work/plain" 2>&1
if [[ $? == 125 ]]; then
    echo 'ok 1 - plain User-Mode Linux does not start there'
else
    echo 'not ok 1 - plain User-Mode Linux does not start there'
    failures=1
fi
"$lab/uml.sh" --timeout 60 -- bash "$work/compute" >"$work/output" 2>&1
if diff <(for i in 1 2 3 4 5 6 7 8; do awk -v i="$i" 'BEGIN { printf "%.3f\n", i * 20000 / 3 }'; done | sort) <(sort "$work/output"); then
    echo 'ok 2 - with the whole state it starts, and computes'
else
    echo 'not ok 2 - with the whole state it starts, and computes'
    failures=$((failures + 1))
fi
echo 1..2
exit $((failures > 0))
