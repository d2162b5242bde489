#!/usr/bin/env bash
# Bytes that are no message, and 100 MB of them, on either listener of a live agent: it neither dies nor grows, and
# goes on serving others meanwhile.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
certificates=$LAB_DIR/certificates
readonly flood=100000000 memory_most_kb=65536

injector=$(agent_injector web2)
front=$(agent_front web2)
socket="/proc/$(cat "$LAB_DIR/web2/pid")/root/run/squall/agent.sock"

peak_memory_kb() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }

is_well() {
    sq hosts
    verdict "$1: the agent serves others" 0 web2
    expect "$1: the injector lives on" test "$injector" = "$(agent_injector web2)"
    expect "$1: the front lives on" test "$front" = "$(agent_front web2)"
    expect "$1: it takes no more than $memory_most_kb kB (front: $(peak_memory_kb "$front") kB)" \
        test "$(peak_memory_kb "$front")" -le "$memory_most_kb"
}

# The agent may hang up before it has read everything.
send() { bytes "$@" || true; }

# Clients are ended by the agent, or after some seconds: what they say is not looked at.
to_tcp() { timeout 10 bash -c 'cat >/dev/tcp/10.77.0.12/7433' 2>/dev/null || true; }
to_tls() {
    timeout 20 openssl s_client -quiet -no_ign_eof -connect 10.77.0.12:7433 -CAfile "$certificates/agents-ca.pem" \
        -cert "$certificates/operator.pem" -key "$certificates/operator.key" >/dev/null 2>&1 || true
}
to_socket() { timeout 20 bytes connect "$socket" >/dev/null 2>&1 || true; }

send rubbish 1000 | to_tcp
is_well 'rubbish instead of TLS'
send rubbish "$flood" | to_tcp
is_well '100 MB of rubbish instead of TLS'
send rubbish 1000 | to_tls
is_well 'rubbish inside TLS'
send rubbish "$flood" | to_tls
is_well '100 MB of rubbish inside TLS'
send framed tcp 1000 | to_tls
is_well 'a message of rubbish inside TLS'
send framed tcp "$flood" | to_tls
is_well 'a message of 100 MB inside TLS'
send huge tcp | to_tls
is_well 'a message that announces exabytes inside TLS'
expect 'the Unix socket is there' test -S "$socket"
send rubbish 1000 | to_socket
is_well 'rubbish on the Unix socket'
send rubbish "$flood" | to_socket
is_well '100 MB of rubbish on the Unix socket'
send framed ipc 1000 | to_socket
is_well 'a message of rubbish on the Unix socket'
send framed ipc "$flood" | to_socket
is_well 'a message of 100 MB on the Unix socket'
send huge ipc | to_socket
is_well 'a message that announces exabytes on the Unix socket'

# The same while a fault is in: nothing of it may disturb the leases.
write_experiment duration=6s lease=1s
sq_start "$experiment"
wait_injected web2
send rubbish "$flood" | to_tls
send framed ipc "$flood" | to_socket
expect 'the fault stays through a flood' host_is_cut web2
sq_wait 30
verdict 'a flood does not disturb a run' 0
tap_end
