#!/usr/bin/env bash
# No data is not good news: a Prometheus that cannot be asked, and answers that are no measurement.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

prometheus_process() { host-exec mon cat /run/service-prometheus.pid; }
prometheus_signal() { host-exec mon kill "-$1" "$(prometheus_process)"; }
# Ready, and knowing how often it scrapes: only then is it known from when its values are evidence.
prometheus_answers() { curl -s -m 1 'http://10.77.0.20:9090/api/v1/targets?state=active' | grep -q scrapeInterval; }
prometheus_down() {
    : >"$LAB_DIR/mon/services/prometheus.down"
    prometheus_signal KILL
}
prometheus_up() {
    rm -f "$LAB_DIR/mon/services/prometheus.down"
    wait_until 20 prometheus_answers
}

# query NAME STATUS PROMQL TOLERANCE REGEX...
query() {
    local name=$1 expected=$2 promql=$3 tolerance=$4
    shift 4
    write_experiment "probe=promql: '$promql'" "tolerance='$tolerance'"
    sq_run "$experiment"
    verdict "$name" "$expected" "$@"
    [[ $expected == 0 ]] || expect "$name: nothing was injected" never_injected
}

answers() {
    query 'a value that holds' 0 'vector(1)' '>= 1'
    query 'a scalar that holds' 0 'scalar(vector(1))' '== 1'
    query 'an error' 4 'sum(' '>= 1' 'parse error'
    query 'no data' 4 'no_such_metric' '>= 1' 'no data'
    query 'NaN' 4 'vector(0) / vector(0)' '>= 0' 'NaN'
    query 'a vector of several' 4 'up or vector(3)' '>= 0' 'series where one value is needed'
    query 'a range' 4 'vector(1)[5s:1s]' '>= 0' 'range of values'
    query 'a text' 4 '"word"' '>= 0' 'string|number'
    query 'a value that is out of tolerance by its last digit' 3 'vector(0.8999999999999999)' '>= 0.9' \
        '0\.8999999999999999 where >= 0\.9 is tolerated'
    query 'a steady state that does not hold beforehand' 3 'vector(0.5)' '>= 0.99' '0\.5' '>= 0\.99'
}

down() {
    prometheus_down
    query 'Prometheus is down' 4 'vector(1)' '>= 1' '10\.77\.0\.20( port |:)9090'
    prometheus_up
}

slow() {
    prometheus_signal STOP
    query 'Prometheus is slow' 4 'vector(1)' '>= 1' '10\.77\.0\.20:9090 did not answer within'
    prometheus_signal CONT
    wait_until 10 prometheus_answers
}

down_in_the_middle() {
    write_experiment "probe=promql: 'vector(1)'" "tolerance='>= 1'" duration=20s
    sq_start "$experiment"
    wait_injected web2
    prometheus_down
    sq_wait 30
    verdict 'Prometheus goes down during the fault' 4 '10\.77\.0\.20( port |:)9090'
    prometheus_up
}

none_named() {
    write_experiment "probe=promql: 'vector(1)'" "tolerance='>= 1'"
    grep -v '^prometheus:' "$LAB_DIR/hosts.yaml" >"$LAB_DIR/hosts-without-prometheus.yaml"
    sq_run --hosts "$LAB_DIR/hosts-without-prometheus.yaml" "$experiment"
    verdict 'a promql probe, and no Prometheus named' 2 'rometheus'
    sq_run --hosts "$LAB_DIR/hosts-without-prometheus.yaml" --prometheus http://10.77.0.20:9090 "$experiment"
    verdict '--prometheus names one' 0
}

bad_page() {
    write_experiment 'probe=http: http://10.77.0.10:8404/nothing' 'tolerance={status: 404}'
    sq_run "$experiment"
    verdict 'an http probe measures another status beforehand' 3 '200|503' '404'
    write_experiment 'probe=http: http://10.77.0.10:81/'
    sq_run "$experiment"
    verdict 'an http probe finds nobody beforehand' '3|4' '10\.77\.0\.10( port |:)81'
}

deviates() {
    write_experiment 'hosts=[web1, web2, web3]' duration=20s
    sq_run "$experiment"
    verdict 'the hypothesis breaks: rolled back' 1 'the probe'
    wait_until 10 curl -s -f -m 1 http://10.77.0.10/
}

answers
down
slow
down_in_the_middle
none_named
bad_page
deviates
tap_end
