#!/usr/bin/env bash
# A power cut: a machine (User-Mode Linux) with state and undo log on an ext4 disk is killed outright while packets are
# delayed on it, is booted again with the disk as it was left, and the next agent has to find its way. Speaks TAP.
#
#   power_cut.sh BUILD-DIRECTORY
set -uo pipefail
build=$(cd "$1" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
uml=$here/../lab/uml.sh
# Not below /tmp, which the machine covers.
work=$(mktemp -d "${UML_DIRECTORY:-/var/tmp}/squall-power-cut.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
chmod 755 "$work"
number=0
failures=0

tap() { # tap RESULT NAME
    number=$((number + 1))
    if [[ $1 == 0 ]]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        failures=$((failures + 1))
    fi
}

truncate -s 64M "$work/disk"
mkfs.ext4 -q -F "$work/disk"

# In the middle of a fault, whose undo record is on the disk, and once more before anything is written through.
for cut in synced unsynced; do
    rm -f "$work/now"
    "$uml" --timeout 120 --disk "$work/disk" --power-cut "$work/now" -- "$here/power_cut_guest.sh" fault "$build" "$work" "$cut"
    tap $? "power cut during a fault, $cut"
    "$uml" --timeout 120 --disk "$work/disk" -- "$here/power_cut_guest.sh" after "$build" "$work" "$cut"
    tap $? "the machine after it, $cut"
done
echo "1..$number"
exit $((failures > 0))
