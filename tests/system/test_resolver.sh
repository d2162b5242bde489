#!/usr/bin/env bash
# A name server that is silent: what asks it waits for its own time and holds nobody up. Numeric addresses wait for no
# name; a run goes on with its leases; every verb ends within its time limit.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

# Packets to it leave, and nobody takes them.
device=$(ip -o -4 address show | awk '/10\.77\.0\./ { print $2; exit }')
ip neighbour replace 10.77.0.253 lladdr 02:00:5e:00:53:fd nud permanent dev "$device"
cp -a /etc "$work/etc" # a small machine may have neither file
rm -f "$work/etc/resolv.conf" "$work/etc/hosts"
echo 'nameserver 10.77.0.253' >"$work/etc/resolv.conf"
echo '10.77.0.10 shop.example' >"$work/etc/hosts"

inventory=$LAB_DIR/lost.yaml # beside the one whose certificates it names
{
    sed '/^hosts:/q' "$SQUALL_HOSTS"
    for i in 1 2 3 4; do echo "- {name: lost$i, agent: 'tls+tcp://lost$i.example:7433'}"; done
    grep -E 'name: *web2' "$SQUALL_HOSTS"
} >"$inventory"

# With that name server, and our /etc/hosts.
silently() {
    # shellcheck disable=SC2016 # for the shell over there
    unshare --mount sh -c 'mount --bind "$1/etc" /etc && shift && exec "$@"' sh "$work" "$@"
}

# sq_silently SECONDS ARGUMENT...: as `sq`; whether it took at most so long is in $in_time.
sq_silently() {
    local most=$1 began=$EPOCHREALTIME
    shift
    status=0
    silently timeout 60 squall "$@" --hosts "$inventory" >"$output" 2>&1 </dev/null || status=$?
    in_time=$(awk -v a="$began" -v b="$EPOCHREALTIME" -v most="$most" 'BEGIN { print (b - a <= most ? "yes" : b - a) }')
}

sq_silently 3 status
verdict 'status with four names that do not resolve' 4 'lost1.*not resolved in time' 'web2: nothing'
expect "status ended in time: $in_time" test "$in_time" = yes
sq_silently 3.5 hosts
verdict 'hosts with four names that do not resolve' 4 'lost4' '1 answered'
expect "hosts ended in time: $in_time" test "$in_time" = yes

write_experiment probe=none duration=60s lease=30s
sq_start "$experiment"
wait_injected web2
silently timeout 60 squall halt --hosts "$inventory" >"$work/halt" 2>&1 </dev/null &
halt=$!
expect 'halt reaches the host with an address, though names would take 5 s' wait_until 3 host_is_free web2
expect 'and says so before the others are given up' wait_until 3 grep -q '^web2: ended' "$work/halt"
expect 'while those are still being waited for' kill -0 "$halt"
wait "$halt" || true
expect 'then it says what became of the others' grep -q 'lost1.*not resolved in time' "$work/halt"
sq_wait 20
verdict 'the run hears of the halt' '4|5' 'web2'

# The name stands in /etc/hosts until it is taken away: looked up anew, it is missed at once.
write_experiment probe='http: http://shop.example/' duration=60s every=200ms misses=3 to='[10.77.0.11]' lease=2s
injections_before=$(injections)
silently timeout 60 squall run --yes --record "$work/run.json" "$experiment" >"$output" 2>&1 </dev/null &
running=$!
is_in() { [[ $(injections) -gt $injections_before ]]; }
wait_until 15 is_in
sleep 1
: >"$work/etc/hosts"
sq_wait 6
verdict 'a run whose probe does not resolve any more ends by that, and keeps its leases' 4 'not resolved in time'
expect 'and accuses no agent' test -z "$(grep -E '(web2|agent).*(no answer|not answer|silent|lease)' "$output")"
tap_end
