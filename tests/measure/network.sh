#!/usr/bin/env bash
# Measures network.latency and network.loss in User-Mode Linux, and prints the page docs/measured-network.md.
#
#   network.sh BUILD-DIRECTORY [--strict] >docs/measured-network.md
set -euo pipefail
build=$(cd "$1" && pwd)
shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# The page is what is neither cmocka's progress nor the machine's.
"$root/tests/lab/uml.sh" --timeout 500 -- bash -c '"$@" 2>/dev/null' - "$build/tests/measure/measure_network" "$@" |
    sed -e '/^\[[ =-]/d' -e '/^uml: /d'
