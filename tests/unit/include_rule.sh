#!/usr/bin/env bash
# The include rule of docs/architecture.md is enforced by the include paths of the CMake targets. Tried here: with the
# very command that compiles a source of a module, an allowed include compiles and a forbidden one does not.
#   include_rule.sh [BUILD]      BUILD: a configured CMake build directory; default build/dev
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
database=${1:-build/dev}/compile_commands.json
[[ -e $database ]] || {
    echo "include_rule.sh: $database is missing; configure first: cmake --preset dev" >&2
    exit 2
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
number=0

# The -I and -isystem options and definitions that compile $1.
options_of() {
    awk -v file="$root/$1\"" '
        /"command":/ { command = $0 }
        /"file":/ && index($0, file) { print command; exit }' "$database" |
        grep -oE -- '-(I|D|isystem )[^ ]+' | sed 's/\\//g' | tr '\n' ' '
}

# try SOURCE_OF_A_MODULE HEADER yes|no
try() {
    local source=$1 header=$2 allowed=$3 compiles=no options
    number=$((number + 1))
    read -r -a options <<<"$(options_of "$source")"
    if [[ ${#options[@]} == 0 ]]; then
        echo "not ok $number - $source is not compiled at all"
        failures=$((failures + 1))
        return
    fi
    printf '#include "%s"\nint main(void)\n{\n    return 0;\n}\n' "$header" >"$scratch/try.c"
    if cc -std=gnu17 -fsyntax-only "${options[@]}" "$scratch/try.c" 2>"$scratch/errors"; then compiles=yes; fi
    if [[ $compiles == "$allowed" ]]; then
        echo "ok $number - $source includes $header: $allowed"
    else
        echo "not ok $number - $source includes $header: should be $allowed, is $compiles"
        head -n 3 "$scratch/errors"
        failures=$((failures + 1))
    fi
}

# What must work, so that a broken try cannot look like an enforced rule.
try common/error.c common/error.h yes
try proto/table/params.c common/error.h yes
try proto/wire/request.c table/message.h yes
try proto/forms/policy.c table/protection.h yes
try agent/kernel/process.c common/error.h yes
try agent/faults/table.c faults/fault.h yes
try agent/faults/table.c table/params.h yes
try agent/injector/config.c faults/fault.h yes
try agent/injector/config.c ipc/ipc.h yes
try agent/injector/config.c forms/agent_config.h yes
try agent/front/front.c wire/wire.h yes
try agent/front/front.c ipc/ipc.h yes
try agent/front/privileges.c unprivileged/unprivileged.h yes
try agent/kernel/stressor.c unprivileged/unprivileged.h yes
try controller/model/plan.c table/message.h yes
try controller/reading/inventory.c model/inventory.h yes
try controller/reading/inventory.c forms/policy.h yes
try controller/probes/table.c model/hypothesis.h yes
try controller/agents/client.c wire/wire.h yes
try controller/planning/plan_file.c reading/experiment.h yes
try controller/planning/plan_file.c agents/client.h yes
try controller/engine/run.c agents/client.h yes
try controller/engine/run.c probes/table.h yes
try controller/engine/run.c events/event.h yes
try controller/engine/run.c loop/loop.h yes
try controller/record/record.c events/event.h yes
try controller/reports/text.c record/summary.h yes
try controller/commands/report.c reports/report.h yes
try controller/screen/view.c events/event.h yes
try controller/commands/run.c engine/run.h yes
try controller/commands/plan.c planning/plan.h yes

try common/error.c table/message.h no
try common/error.c kernel/process.h no
try proto/table/params.c wire/wire.h no
try proto/table/params.c faults/fault.h no
try proto/wire/request.c model/plan.h no
try proto/table/params.c forms/policy.h no
try proto/forms/policy.c wire/wire.h no
try proto/forms/policy.c faults/fault.h no
try agent/faults/table.c forms/policy.h no
try agent/kernel/process.c faults/fault.h no
try agent/kernel/process.c table/message.h no
try agent/faults/table.c unprivileged/unprivileged.h no
try agent/faults/table.c injector/config.h no
try agent/faults/table.c wire/wire.h no
try agent/injector/config.c wire/wire.h no
try agent/injector/config.c front/front.h no
try agent/front/front.c kernel/process.h no
try agent/front/front.c faults/fault.h no
try agent/front/front.c injector/config.h no
try agent/front/front.c model/plan.h no
for room in model/plan.c reading/inventory.c probes/table.c agents/client.c planning/plan.c record/record.c \
    screen/view.c engine/run.c commands/run.c; do
    for header in faults/fault.h kernel/process.h injector/config.h front/front.h; do
        try controller/$room $header no
    done
done
# Between the controller's rooms: upward, and across.
for header in reading/inventory.h probes/table.h agents/client.h screen/view.h json/json.h; do
    try controller/model/plan.c $header no
done
for header in probes/table.h agents/client.h planning/plan.h screen/view.h record/record.h; do
    try controller/reading/inventory.c $header no
done
for header in reading/inventory.h agents/client.h engine/run.h record/record.h; do
    try controller/probes/table.c $header no
done
for header in reading/inventory.h probes/table.h planning/plan.h engine/run.h; do
    try controller/agents/client.c $header no
done
for header in engine/run.h probes/table.h screen/view.h commands/command.h; do
    try controller/planning/plan.c $header no
done
for header in agents/client.h probes/table.h planning/plan.h screen/view.h engine/run.h; do
    try controller/record/record.c $header no
done
for header in screen/style.h engine/run.h planning/plan.h agents/client.h loop/loop.h; do
    try controller/reports/text.c $header no
done
for header in model/plan.h events/event.h agents/client.h engine/run.h; do
    try controller/loop/loop.c $header no
done
for header in loop/loop.h engine/run.h record/record.h screen/view.h; do
    try controller/events/event.c $header no
done
for room in model/plan.c reading/inventory.c record/record.c; do
    try controller/$room loop/loop.h no
done
try controller/model/plan.c events/event.h no
try controller/record/record.c reports/report.h no
try controller/engine/run.c reports/report.h no
for header in agents/client.h probes/table.h record/record.h reading/inventory.h engine/run.h; do
    try controller/screen/view.c $header no
done
for header in reading/inventory.h planning/plan.h commands/command.h wire/wire.h record/record.h screen/console.h \
    screen/view.h; do
    try controller/engine/run.c $header no
done
echo "1..$number"
exit "$((failures > 0))"
