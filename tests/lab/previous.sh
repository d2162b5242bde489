#!/usr/bin/env bash
# previous.sh [DIR]: squall and squalld of the version before this one (protocol version 1), built from this repository's
# own history into DIR (build/previous beside the sources by default), once. Prints DIR; says in one line why not.
set -euo pipefail
readonly commit=3bd392613d2119baf51a6e7e3261b2f888f8d702
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
directory=${1:-$root/build/previous}

die() {
    printf 'previous: %s\n' "$*" >&2
    exit 1
}

# The repository may be another user's, such as that of who made the chroot.
history_of() { git -c safe.directory='*' -C "$root" "$@"; }

is_built() { [[ -x $directory/agent/squalld && -x $directory/controller/squall && -e $directory/$commit ]]; }

check_history() {
    command -v git >/dev/null || die 'git is not installed, and the version before comes from the history'
    history_of cat-file -e "$commit^{commit}" 2>/dev/null ||
        die "commit ${commit:0:10} is not in the history here (a tarball, or a shallow clone): no version before to try"
}

build() {
    rm -rf "$directory/src" &&
        mkdir -p "$directory/src" &&
        history_of archive "$commit" | tar -x -C "$directory/src" &&
        cmake -S "$directory/src" -B "$directory" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DSQ_TESTS=OFF -DSQ_WERROR=OFF &&
        cmake --build "$directory" --target squall squalld &&
        : >"$directory/$commit"
}

mkdir -p "$directory"
exec 9>"$directory/lock"
flock 9
if ! is_built; then
    check_history
    build >"$directory/build.log" 2>&1 || die "the version before does not build; see $directory/build.log"
fi
printf '%s\n' "$directory"
