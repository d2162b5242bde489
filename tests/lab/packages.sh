#!/usr/bin/env bash
# packages.sh build|demo|uml|check|bench... : install from Debian what these need and this machine lacks.
#
# Only packages stay behind: no service is started or enabled. When everything is there already, it does nothing.
set -euo pipefail
export LC_ALL=C

readonly policy=/usr/sbin/policy-rc.d
readonly saved_policy=/usr/sbin/policy-rc.d.before-squall
readonly mark='squall: packages.sh put this here, for as long as it installs packages'

say() { printf 'packages: %s\n' "$*"; }
die() {
    printf 'packages: %s\n' "$*" >&2
    exit 1
}

packages_for() {
    case $1 in
    build)
        echo gcc libc6-dev linux-libc-dev cmake ninja-build pkg-config libnl-3-dev libcap-dev \
            libseccomp-dev libprotobuf-c-dev protobuf-c-compiler libnng-dev libbpf-dev zlib1g-dev libcurl4-openssl-dev \
            libyaml-dev libjansson-dev libmbedtls-dev libsystemd-dev libc-ares-dev libunistring-dev clang llvm bpftool
        ;;
    demo)
        echo prometheus prometheus-blackbox-exporter haproxy nginx-light iproute2 openssl util-linux procps curl
        ;;
    uml) echo user-mode-linux kmod ;;
    check)
        echo libcmocka-dev ccache clang-format clang-tidy libclang-rt-14-dev shellcheck strace user-mode-linux bsdutils \
            libcap2-bin diffutils e2fsprogs git kmod python3 python3-jsonschema
        ;;
    bench)
        echo prometheus-node-exporter stress-ng jq curl libnng-dev user-mode-linux iproute2 strace
        ;;
    *) die "'$1' is not a set of packages; expected build, demo, uml, check or bench" ;;
    esac
}

missing_packages() {
    local installed package
    installed=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' "$@" 2>/dev/null || true) "
    for package in "$@"; do
        [[ $installed == *" $package=installed "* ]] || echo "$package"
    done
}

# Everything that makes a service start by itself: links of systemd, and S links of System V.
enabled_links() {
    local folder
    for folder in /etc/systemd/system /etc/systemd/user; do
        [[ ! -d $folder ]] || find "$folder" -mindepth 2 -type l -path '*.wants/*' -o \
            -mindepth 2 -type l -path '*.requires/*'
    done
    find /etc/rc[0-6S].d -type l -name 'S*' 2>/dev/null || true
}

restore_policy() {
    if grep -qs "$mark" "$policy"; then rm -f "$policy"; fi
    if [[ -e $saved_policy || -L $saved_policy ]]; then mv -f "$saved_policy" "$policy"; fi
}

# While this file says 101, maintainer scripts start nothing.
forbid_starting() {
    restore_policy # of an earlier run that was killed
    if [[ -e $policy || -L $policy ]]; then mv "$policy" "$saved_policy"; fi
    printf '#!/bin/sh\n# %s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
}

# Switch off again what the packages' scripts switched on; $1 holds the links from before.
disable_new_links() {
    local link name
    while IFS= read -r link; do
        name=$(basename "$link")
        case $link in
        /etc/rc*) update-rc.d "${name#S[0-9][0-9]}" disable >/dev/null 2>&1 || true ;;
        /etc/systemd/user/*) deb-systemd-helper --user disable "$name" >/dev/null 2>&1 || true ;;
        *) deb-systemd-helper disable "$name" >/dev/null 2>&1 || true ;;
        esac
        rm -f "$link"
    done < <(comm -13 "$1" <(enabled_links | sort))
}

# In a session of its own, so that Ctrl-C cannot leave a package half installed.
run_apt() {
    local status=0 child
    DEBIAN_FRONTEND=noninteractive setsid apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$log" 2>&1 &
    child=$!
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do # a signal ended the wait, not apt-get
        status=0
        wait "$child" || status=$?
    done
    return "$status"
}

have_lists() {
    local unknown
    unknown=$(apt-cache policy "$@" 2>/dev/null | grep -c 'Candidate: (none)' || true)
    [[ $unknown == 0 && $(apt-cache policy "$@" 2>/dev/null | grep -c 'Candidate:') == "$#" ]]
}

update_lists() {
    say 'reading the package lists'
    run_apt update || say "apt-get update had problems (see $log); going on with what there is"
}

install_missing() {
    local updated=no
    if ! have_lists "$@"; then
        update_lists
        updated=yes
    fi
    say "installing: $*"
    if run_apt install -y --no-install-recommends "$@"; then return; fi
    if [[ $updated == no ]]; then
        update_lists
        if run_apt install -y --no-install-recommends "$@"; then return; fi
    fi
    tail -n 15 "$log" >&2
    die "apt-get could not install them; the whole log is $log"
}

interrupted=0
interrupt() {
    interrupted=$1
    printf '\npackages: ending after the packages under way, so that none is left half installed\n' >&2
}

put_back() {
    restore_policy
    if [[ -n ${before:-} && -e $before ]]; then
        disable_new_links "$before"
        rm -f "$before"
    fi
}

main() {
    [[ $# -gt 0 ]] || die 'which set of packages? expected build, demo, uml, check or bench'
    local set wanted=() missing=()
    for set in "$@"; do
        read -r -a missing <<<"$(packages_for "$set")"
        [[ ${#missing[@]} -gt 0 ]] || exit 1
        wanted+=("${missing[@]}")
    done
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        die "this machine has no apt-get; squall's demo and check need Debian 12 (bookworm). Install by hand: ${wanted[*]}"
    fi
    mapfile -t missing < <(missing_packages "${wanted[@]}")
    if [[ ${#missing[@]} -eq 0 ]]; then return; fi
    [[ $(id -u) == 0 ]] || die "only root may install packages; run this as root, or with sudo. Missing: ${missing[*]}"

    log=$(mktemp /tmp/squall-packages.XXXXXX)
    before=$(mktemp)
    trap put_back EXIT
    trap 'interrupt 130' INT
    trap 'interrupt 143' TERM HUP QUIT
    enabled_links | sort >"$before"
    forbid_starting
    install_missing "${missing[@]}"
    rm -f "$log"
    [[ $interrupted == 0 ]] || exit "$interrupted"
}

main "$@"
