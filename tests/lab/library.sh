# shellcheck shell=bash
# Sourced by the crash and system tests, which run inside the lab: its agents, its state, and TAP.
: "${LAB_DIR:?run this inside the lab: tests/lab/lab.sh run DIR BUILD THIS}"
mapfile -t LAB_WEB_HOSTS < <(sed -n 's/^- {name: \([a-z0-9]*\),.*/\1/p' "$LAB_DIR/hosts.yaml")

# --- TAP ---
tap_number=0
tap_failures=0
tap_ok() {
    tap_number=$((tap_number + 1))
    echo "ok $tap_number - $*"
}
tap_fail() {
    tap_number=$((tap_number + 1))
    tap_failures=$((tap_failures + 1))
    echo "not ok $tap_number - $*"
}
tap_skip() {
    tap_number=$((tap_number + 1))
    echo "ok $tap_number - $1 # SKIP $2"
}
tap_end() {
    echo "1..$tap_number"
    exit "$((tap_failures > 0))"
}

# wait_until SECONDS COMMAND...
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.02
    done
}

# --- agents ---
web_address() { echo "10.77.0.1${1#web}"; }

# Every squalld process of a host, as seen from here, the injector first: it is the front's parent. Told by the file itself:
# from within a chroot, the path of an executable in another mount namespace does not look like ours.
agent_processes() {
    local namespace process parent injector='' others=''
    namespace=$(readlink "/proc/$(cat "$LAB_DIR/$1/pid")/ns/net")
    for process in /proc/[0-9]*; do
        [[ $process/exe -ef $LAB_SQUALLD ]] || continue
        [[ $(readlink "$process/ns/net" 2>/dev/null) == "$namespace" ]] || continue
        # A guard of the injector's, which is to go by itself.
        [[ $(cat "$process/comm" 2>/dev/null) != squall-tcx ]] || continue
        parent=$(sed -n 's/^PPid:\t//p' "$process/status" 2>/dev/null) || continue
        if [[ /proc/$parent/exe -ef $LAB_SQUALLD ]]; then
            others="$others ${process#/proc/}"
        else
            injector="$injector ${process#/proc/}"
        fi
    done
    # shellcheck disable=SC2086 # one space between
    echo $injector $others
}
agent_injector() { agent_processes "$1" | cut -d' ' -f1; }
agent_front() { agent_processes "$1" | cut -s -d' ' -f2; }
agent_is_gone() { [[ -z $(agent_processes "$1") ]]; }
agent_listens() { timeout 1 bash -c ": </dev/tcp/$(web_address "$1")/7433"; }

# Do not start the agent again when it dies; it goes on running.
agent_hold_down() { : >"$LAB_DIR/$1/services/squalld.down"; }

agent_stop() {
    local processes
    agent_hold_down "$1"
    processes=$(agent_processes "$1")
    # shellcheck disable=SC2086 # a list of numbers
    [[ -z $processes ]] || kill -TERM ${processes%% *}
    wait_until 10 agent_is_gone "$1" || {
        # shellcheck disable=SC2046
        kill -KILL $(agent_processes "$1")
        return 1
    }
}

agent_start() {
    rm -f "$LAB_DIR/$1/services/squalld.down"
    wait_until 10 agent_listens "$1"
}

agent_restart() { agent_stop "$1" && agent_start "$1"; }

agent_recover() { host-exec "$1" "$LAB_SQUALLD" --recover --config "$LAB_DIR/$1/agent.yaml"; }

# --- what is on the hosts ---
hosts_snapshot() {
    local host
    for host in "${LAB_WEB_HOSTS[@]}"; do
        echo "=== $host"
        host-exec "$host" snapshot.sh host
    done
}
# A fault that drops stands on tcx where the kernel has it, held by a guard; else, and one that delays, on clsact.
stands_on_tcx() { grep -qx squall-tcx <<<"$(host-exec "$1" sh -c 'cat /proc/[0-9]*/comm 2>/dev/null || true')"; }
is_injected_on() { stands_on_tcx "$1" || grep -q clsact <<<"$(host-exec "$1" tc qdisc show)"; }
nothing_injected() {
    local host
    for host in "${LAB_WEB_HOSTS[@]}"; do
        if is_injected_on "$host"; then return 1; fi
    done
}
