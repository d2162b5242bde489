# shellcheck shell=bash
# Sourced by ./demo and ./check.

say() { printf '\n== %s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# become_root COMMAND ARGUMENT...: go on as root, by starting again with sudo if need be.
become_root() {
    [[ $(id -u) != 0 ]] || return 0
    command -v sudo >/dev/null || die 'this needs root: run it as root, or install sudo'
    echo "$(basename "$1"): packages and namespaces need root; starting again with sudo"
    exec sudo -- env "CI=${CI:-}" "NO_COLOR=${NO_COLOR:-}" "$@"
}

# Give the build back to whoever called sudo.
give_back() {
    [[ -z ${SUDO_UID:-} || ! -d $1 ]] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$1" || true
}
