#!/usr/bin/env bash
# report.sh SAMPLES JSON PAGE: the figures of figures.json from samples, as JSON, as a page of docs/, and as a table on
# standard output.
set -euo pipefail
readonly samples=$1 json=$2 page=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

describe_machine() {
    jq -n --arg processor "$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)" \
        --arg cores "$(nproc --all)" \
        --arg memory "$(awk '/^MemTotal:/ { printf "%.1f GiB", $2 / 1048576 }' /proc/meminfo)" \
        --arg kernel "$(uname -srm)" \
        --arg system "$(sed -n 's/^PRETTY_NAME="\(.*\)"$/\1/p' /etc/os-release)" \
        --arg virtual "$(systemd-detect-virt --vm 2>/dev/null || true)" \
        --arg load "$(cut -d' ' -f1-3 /proc/loadavg)" \
        --arg date "$(date -u +%FT%TZ)" \
        '{processor: $processor, cores: ($cores | tonumber), memory: $memory, kernel: $kernel, system: $system,
          virtualization: $virtual, load_at_end: $load, date: $date}'
}

# Columns that line up; a heading is a line that does not begin with a space.
align() {
    awk -F'\t' '
        { for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } fields[NR] = NF }
        END { for (line = 1; line <= NR; line++) {
            out = ""
            for (i = 1; i <= fields[line]; i++) {
                right = i == 2 || i == 3 || i == 5
                out = out sprintf(right ? "%*s  " : "%-*s  ", width[i], cell[line, i])
            }
            sub(/ +$/, "", out)
            print out } }'
}

write_page() {
    local line
    while IFS= read -r line; do
        case $line in
        @MACHINE@)
            jq -r '.machine | "\(.date[:10]); \(.processor), \(.cores) cores" +
                (if .virtualization == "" or .virtualization == "none" then "" else ", virtual (\(.virtualization))" end) +
                ", \(.memory); \(.kernel); \(.system); load at the end \(.load_at_end)."' "$json"
            ;;
        @FIGURES@) jq -r --arg style markdown -f "$here/table.jq" "$json" | sed 1d ;;
        @NOT_MET@)
            jq -r '[.figures[] | select(.met == false)] |
                if length == 0 then "Every demand was met in this run." else
                "Not met in this run:", "", (.[] | "* \(.group): \(.what)") end' "$json"
            ;;
        *) printf '%s\n' "$line" ;;
        esac
    done <"$here/page.md"
}

jq --rawfile samples "$samples" --argjson machine "$(describe_machine)" -f "$here/report.jq" "$here/figures.json" >"$json.new"
mv "$json.new" "$json"
write_page >"$page"
jq -r --arg style text -f "$here/table.jq" "$json" | align
