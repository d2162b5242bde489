#!/usr/bin/env bash
# gameday.sh [PART...]: the game day of ./demo. Runs inside the lab (lab.sh run), at the controller's place.
# A part is a function below; without any, all of them but slow_one, which needs a kernel with netem.
# Keeps run records and outputs below $GAMEDAY_OUT; writes every expectation's outcome to $GAMEDAY_OUT/expectations.
set -euo pipefail
: "${LAB_DIR:?run this through ./demo}" "${GAMEDAY_OUT:?run this through ./demo}"
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$source_dir"
readonly web_hosts=(web1 web2 web3)
readonly lease_ms=2000
output=$GAMEDAY_OUT/last-output
status=0

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
tell() { printf '%s%s%s\n' "$dim" "$*" "$plain"; }

# expect "what" COMMAND...: one expectation of the game day, kept if COMMAND succeeds.
expect() {
    local what=$1
    shift
    if "$@" >/dev/null 2>&1; then
        printf '%s  as expected: %s%s\n' "$green" "$what" "$plain"
        printf 'pass\t%s\n' "$what" >>"$GAMEDAY_OUT/expectations"
    else
        printf '%s  NOT as expected: %s%s\n' "$red" "$what" "$plain"
        printf 'fail\t%s\n' "$what" >>"$GAMEDAY_OUT/expectations"
    fi
}

# Show the command line, run it, keep its output in $output and its exit status in $status.
show() {
    printf '%s$ %s%s\n' "$bold" "$*" "$plain"
    status=0
    if [[ -t 1 && $1/$2 == squall/run ]]; then
        run_on_terminal "$@" || status=$?
    else
        "$@" 2>&1 | tee "$output" || status=${PIPESTATUS[0]}
    fi
    printf '%s[exit status %d]%s\n' "$dim" "$status" "$plain"
    [[ $status -lt 128 ]] || exit "$status" # a signal ended it, so it ends us as well
}

# script(1) lets squall have a terminal for its live view, and keeps what it shows.
run_on_terminal() {
    local rows columns
    read -r rows columns < <(stty size <&2 2>/dev/null || echo 24 80)
    script -qefc "stty rows $rows cols $columns; exec $(printf '%q ' "$@")" "$output" </dev/null
}

run_experiment() {
    local name=$1
    shift
    mkdir -p "$GAMEDAY_OUT/$name"
    show squall run --yes --record "$GAMEDAY_OUT/$name/run.jsonl" "$@"
    cp "$output" "$GAMEDAY_OUT/$name/output.txt"
    [[ $status != 5 ]] || exit 130 # somebody pressed Ctrl-C
}

says() { grep -qiE -- "$1" "$output"; }
status_is() { [[ $status == "$1" ]]; }

hosts_snapshot() {
    local host
    for host in "${web_hosts[@]}"; do
        echo "== $host"
        host-exec "$host" snapshot.sh host
    done
}
hosts_as_before() { diff -u "$GAMEDAY_OUT/hosts-before" <(hosts_snapshot); }

server_states() { curl -s -m 1 'http://10.77.0.10:8404/;csv' | awk -F, '$1 == "web" && $2 ~ /^web/ { print $2, $18 }'; }
servers_down() { server_states | awk '$2 ~ /^DOWN/ { print $1 }' | tr '\n' ' ' | sed 's/ $//'; }
all_servers_up() { [[ $(server_states | grep -c ' UP') == "${#web_hosts[@]}" ]]; }

wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# What HAProxy sees, all the time, so that each step can tell whom it took out.
watch_haproxy() {
    local last='' now
    while :; do
        now=$(servers_down || true)
        [[ $now == "$last" ]] || echo "$(date +%T.%3N) out of rotation: ${now:-nobody}"
        last=$now
        sleep 0.1
    done >>"$GAMEDAY_OUT/haproxy.log"
}
haproxy_watcher=
stop_watching() { [[ -z $haproxy_watcher ]] || kill "$haproxy_watcher" 2>/dev/null || true; }
haproxy_since() { tail -n "+$(($1 + 1))" "$GAMEDAY_OUT/haproxy.log"; }
haproxy_mark() { wc -l <"$GAMEDAY_OUT/haproxy.log"; }
took_out() { haproxy_since "$1" | grep -qE "out of rotation: $2\$"; }

look_around() {
    title 'Who is there, and what could be done to them?'
    show squall hosts
    expect 'squall hosts reaches the three agents by mutual TLS' status_is 0
    show squall validate experiments/*.yaml
    expect 'every experiment of the library is valid' status_is 0
}

dry_run() {
    title 'The dry run: what would happen, with nothing written anywhere'
    local before=$GAMEDAY_OUT/written-before
    find "$LAB_DIR" ! -path '*/log*' -type f -printf '%p %s %T@\n' | sort >"$before"
    show squall plan experiments/shop-one-web-host-cut-off.yaml
    expect 'the plan succeeds and shows the blast radius' status_is 0
    expect 'the dry run changed nothing on any host' hosts_as_before
    expect 'the dry run wrote no file' \
        diff "$before" <(find "$LAB_DIR" ! -path '*/log*' -type f -printf '%p %s %T@\n' | sort)
}

cut_off_one() {
    title 'One web host of three is cut off: customers should not notice'
    local mark
    mark=$(haproxy_mark)
    run_experiment one-cut-off experiments/shop-one-web-host-cut-off.yaml
    tell 'HAProxy meanwhile:'
    haproxy_since "$mark"
    expect 'the hypothesis held: exit status 0' status_is 0
    expect 'HAProxy took exactly one host out of rotation' took_out "$mark" 'web[123]'
    expect 'all three are back in rotation' wait_until 5 all_servers_up
    expect 'every web host is as it was before' hosts_as_before
}

cut_off_all() {
    title 'All three are cut off: the hypothesis must break, and squall must end it by itself'
    local mark
    mark=$(haproxy_mark)
    run_experiment all-cut-off experiments/shop-every-web-host-cut-off.yaml
    tell 'HAProxy meanwhile:'
    haproxy_since "$mark"
    expect 'the hypothesis broke and was rolled back: exit status 1' status_is 1
    expect 'HAProxy had lost all three' took_out "$mark" 'web1 web2 web3'
    expect 'it says when the first probe missed' says 'first .*miss|first probe missed'
    expect 'it says when the last allowed miss came' says 'last allowed miss'
    expect 'it says when every host was clean' says 'clean'
    expect 'it says when everything was removed' says 'removed'
    expect 'every web host is as it was before' hosts_as_before
}

kill_nginx() {
    title 'nginx is killed on one host: its supervisor should start it again'
    run_experiment nginx-killed experiments/shop-web-server-killed.yaml
    expect 'customers did not notice: exit status 0' status_is 0
    expect 'the report says that nginx came back' says 'came back'
    expect 'the shop is served by all three again' wait_until 5 all_servers_up
}

# How long each web host takes to answer, in milliseconds, one line "HOST TIME" each, until it is killed.
watch_answers() {
    local host seconds
    while :; do
        for host in "${web_hosts[@]}"; do
            seconds=$(curl -s -m 2 -o /dev/null -w '%{time_starttransfer}' "http://10.77.0.${host/web/1}/") || seconds=2
            awk -v host="$host" -v seconds="$seconds" 'BEGIN { printf "%s %d\n", host, seconds * 1000 }'
        done
        sleep 0.2
    done
}

# The median of a host's answers in the file $1.
median_answer() { awk -v host="$2" '$1 == host { print $2 }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

slow_one() {
    title 'One web host answers late: the shop should stay quick'
    local answers=$GAMEDAY_OUT/answers watcher victim host slow
    {
        wait_until 60 test -e "$GAMEDAY_OUT/latency/is-in" || exit 0
        watch_answers >"$answers"
    } &
    watcher=$!
    mkdir -p "$GAMEDAY_OUT/latency"
    # The delay is in when the live view or the plain lines say so; the measuring starts with it.
    { wait_until 60 grep -qs 'faults are in\|INJECTED' "$output" && sleep 1 && : >"$GAMEDAY_OUT/latency/is-in"; } &
    run_experiment latency --set duration=10s --set delay=100ms --set jitter=10ms experiments/shop-slow-web-host.yaml
    kill "$watcher" 2>/dev/null || true
    victim=$(grep -oE '^web[123]' "$output" | head -n 1)
    expect 'the hypothesis held: exit status 0' status_is 0
    for host in "${web_hosts[@]}"; do tell "$host answered after $(median_answer "$answers" "$host") ms (median) meanwhile"; done
    # One delayed packet of the handshake, one of the answer.
    slow=$(median_answer "$answers" "$victim")
    expect "the chosen host, $victim, answered about 200 ms late ($slow ms)" test "${slow:-0}" -ge 170 -a "${slow:-0}" -le 300
    for host in "${web_hosts[@]}"; do
        [[ $host != "$victim" ]] || continue
        expect "its neighbour $host did not" test "$(median_answer "$answers" "$host")" -le 60
    done
    expect 'every web host is as it was before' hosts_as_before
}

# The address of the host whose datagrams stop, among the three.
cut_host() { servers_down | grep -xE 'web[123]'; }

lose_the_controller() {
    title 'The controller is killed outright in the middle of a partition'
    local controller victim killed_ns flows_ns cut_ns watcher times=$GAMEDAY_OUT/datagrams
    mkdir -p "$GAMEDAY_OUT/controller-killed"
    tell "\$ squall run --yes --set lease=${lease_ms}ms --set duration=60s experiments/shop-one-web-host-cut-off.yaml &"
    squall run --yes --record "$GAMEDAY_OUT/controller-killed/run.jsonl" --set "lease=${lease_ms}ms" \
        --set duration=60s experiments/shop-one-web-host-cut-off.yaml \
        >"$GAMEDAY_OUT/controller-killed/output.txt" 2>&1 &
    controller=$!
    if ! wait_until 20 cut_host; then
        expect 'the partition is in place' false
        kill -KILL "$controller" || true
        return
    fi
    victim=$(cut_host)
    prober watch "10.77.0.${victim/web/1}" 7000 20 >"$times" &
    watcher=$!
    sleep 0.5
    killed_ns=$(prober now)
    { kill -KILL "$controller" && wait "$controller"; } 2>/dev/null || true # without bash's own remark
    tell "$victim is cut off, and nobody is left to say so: the controller was killed with SIGKILL"
    wait_until 10 grep -q flows "$times" || true
    kill "$watcher" 2>/dev/null || true
    read -r flows_ns cut_ns < <(sed -n 's/^flows //p' "$times" | head -n 1) || true
    if [[ -z $flows_ns ]]; then
        expect "datagrams to $victim flow again" false
        return
    fi
    local after_ms=$(((flows_ns - killed_ns) / 1000000))
    tell "fresh datagrams flow again $after_ms ms after the kill; the lease was $lease_ms ms"
    expect "the agent ended it when the lease ended ($after_ms ms)" \
        test "$(((cut_ns - killed_ns) / 1000000))" -le $((lease_ms + 50))
    expect 'every web host is as it was before' wait_until 5 hosts_as_before
    show squall status
    expect 'squall status finds nothing injected anywhere' status_is 0
}

main() {
    trap stop_watching EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP QUIT
    [[ -e $GAMEDAY_OUT/expectations ]] || : >"$GAMEDAY_OUT/expectations"
    : >"$GAMEDAY_OUT/haproxy.log"
    server_states | sed 's/^/  HAProxy: /'
    wait_until 5 all_servers_up || tell 'HAProxy does not have all web hosts yet'
    hosts_snapshot >"$GAMEDAY_OUT/hosts-before"
    watch_haproxy &
    haproxy_watcher=$!
    [[ $# -gt 0 ]] || set -- look_around dry_run cut_off_one cut_off_all kill_nginx lose_the_controller
    local part
    for part in "$@"; do "$part"; done
    rm -f "$output"
}

main "$@"
