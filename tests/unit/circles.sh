#!/usr/bin/env bash
# No circle between files: within common/ and each room of the controller, no file calls another one that calls it back,
# on however long a way. Seen in the symbols of the objects, so it needs a build.
#   circles.sh [BUILD]      BUILD: a directory of a build; default build/dev
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${1:-build/dev}
export LC_ALL=C
# Pairs that are one thing in two files: FILE=OTHER.
pairs='client_dial.c=client.c file_sd.c=inventory.c line_json.c=line.c secret.c=error.c'
failures=0
number=0

# Of sources that are there still.
objects() {
    local object
    for object in "$1"/*.o; do
        if [[ -e $2/$(basename "$object" .o) ]]; then echo "$object"; fi
    done
}

# The rows "FILE OTHER" of the objects in $1, of the sources in $2: FILE calls OTHER.
calls() {
    local list
    mapfile -t list < <(objects "$1" "$2")
    nm -A --defined-only --extern-only "${list[@]}" | awk -v pairs="$pairs" -v folder="$1/" '
        function file(name) {
            sub(/:.*/, "", name)
            name = substr(name, length(folder) + 1)
            sub(/\.o$/, "", name)
            return name in same ? same[name] : name
        }
        BEGIN {
            count = split(pairs, list, " ")
            for (i = 1; i <= count; i++) {
                split(list[i], pair, "=")
                same[pair[1]] = pair[2]
            }
        }
        NF >= 3 && FNR == NR { definer[$NF] = file($1); next }
        $NF in definer && definer[$NF] != file($1) { print file($1), definer[$NF] }
    ' - <(nm -A --undefined-only "${list[@]}") | sort -u
}

while read -r folder; do
    number=$((number + 1))
    room=${folder#"$build/"}
    room=${room%/CMakeFiles/*}
    if found=$(calls "$folder" "$room" | tsort 2>&1 >/dev/null); then
        echo "ok $number - no circle in $room"
    else
        echo "not ok $number - a circle in $room"
        echo "$found"
        failures=$((failures + 1))
    fi
done < <(find "$build"/common "$build"/controller -type d -name 'sq_*.dir' | sort)
if [[ $number -lt 14 ]]; then
    echo "circles.sh: $number libraries in $build; build first" >&2
    exit 2
fi
echo "1..$number"
exit "$((failures > 0))"
