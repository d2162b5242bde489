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

# stand_on_a_mount COMMAND ARGUMENT...: go on where / is a mount point, as the mount namespaces of the lab and of the
# tests need it. In a plain chroot it is not: start again below /mnt, where this very root is mounted once more, in a
# mount namespace that goes with us.
stand_on_a_mount() {
    if mountpoint -q /; then return 0; fi
    # shellcheck disable=SC2016  # expanded by the inner shell
    exec unshare --mount --propagation unchanged bash -c 'mount --rbind / /mnt && mount --make-rprivate /mnt &&
        exec chroot /mnt env -C "$PWD" "$@"' stand_on_a_mount "$@"
}

# Give the build back to whoever called sudo.
give_back() {
    [[ -z ${SUDO_UID:-} || ! -d $1 ]] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$1" || true
}
