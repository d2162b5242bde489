#!/usr/bin/env bash
# Probes and Prometheus behind passwords, certificates and redirects of a real nginx; what `plan` measures of them; and
# that no secret is ever printed, recorded or written.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
secret=open-s3same-only
certificates=$work/certificates
web=$work/web
mkdir -p "$web"

start_nginx() {
    "$root/tests/lab/certificates.sh" "$certificates" agent shop 127.0.0.1
    "$root/tests/lab/certificates.sh" "$certificates" controller customer
    echo "ali:$(openssl passwd -apr1 "$secret")" >"$web/passwords"
    (umask 077 && echo "$secret" >"$work/password")
    cat >"$web/nginx.conf" <<END
daemon off;
worker_processes 1;
user root;
pid $web/nginx.pid;
error_log $web/error.log;
events { worker_connections 256; }
http {
    access_log off;
    gzip on;
    gzip_min_length 1;
    gzip_types application/json;
    gzip_proxied any;
    client_body_temp_path $web/body;
    proxy_temp_path $web/proxy;
    fastcgi_temp_path $web/fastcgi;
    uwsgi_temp_path $web/uwsgi;
    scgi_temp_path $web/scgi;
    server {
        listen 127.0.0.1:8080;
        location / { return 200 "open"; }
        location /moved { return 302 /locked; }
        location /locked { auth_basic shop; auth_basic_user_file $web/passwords; try_files /none @served; }
        location @served { return 200 "locked"; }
        location /prom/ { auth_basic shop; auth_basic_user_file $web/passwords; proxy_pass http://10.77.0.20:9090/; }
    }
    server {
        listen 127.0.0.1:8443 ssl;
        ssl_certificate $certificates/shop.pem;
        ssl_certificate_key $certificates/shop.key;
        ssl_client_certificate $certificates/controllers-ca.pem;
        ssl_verify_client on;
        location / { return 200 "known"; }
    }
}
END
    nginx -e "$web/error.log" -c "$web/nginx.conf" &
    nginx_process=$!
    wait_until 10 curl -s -f -m 1 -o "$work/page" http://127.0.0.1:8080/
}

# probe NAME STATUS PROBE ALSO REGEX...: by `plan`, which measures it once.
probe() {
    local name=$1 expected=$2 probe=$3 also=$4
    shift 4
    write_experiment "probe=$probe" "also=$also"
    injections_before=$(injections)
    sq plan "$experiment"
    cat "$output" >>"$work/all-output"
    verdict "plan: $name" "$expected" "$@"
    expect "plan: $name: nothing was injected" never_injected
}

# The same of Prometheus: metrics NAME STATUS MAP PROMQL REGEX...
metrics() {
    local name=$1 expected=$2 map=$3 promql=$4
    shift 4
    { echo "prometheus: $map" && grep -v '^prometheus:' "$LAB_DIR/hosts.yaml"; } >"$LAB_DIR/hosts-metrics.yaml"
    write_experiment "probe=promql: '$promql'" "tolerance='>= 1'"
    sq plan --hosts "$LAB_DIR/hosts-metrics.yaml" "$experiment"
    cat "$output" >>"$work/all-output"
    verdict "plan: $name" "$expected" "$@"
}

passwords() {
    local basic="basic: {user: ali, password: {file: $work/password}}"
    probe 'a page that is open' 0 'http: http://127.0.0.1:8080/' '' 'the probe +status 200 in .*\(status 200\)'
    probe 'a page that wants a password' 3 'http: http://127.0.0.1:8080/locked' '' 'status 401 where 200 is tolerated'
    probe 'basic authentication' 0 'http: http://127.0.0.1:8080/locked' "$basic" 'status 200 in'
    probe 'a password in the URL' 0 "http: 'http://ali:$secret@127.0.0.1:8080/locked'" '' 'status 200 in'
    probe 'a wrong one in the URL' 3 "http: 'http://ali:$secret-er@127.0.0.1:8080/locked'" '' 'status 401'
    probe 'nobody there, a password in the URL' '3|4' "http: 'http://ali:$secret@127.0.0.1:1/'" '' 'ali:\*\*\*@127'
    probe 'a redirect that is not asked for' 3 'http: http://127.0.0.1:8080/moved' "$basic" 'status 302'
    probe 'a redirect that is' 0 'http: http://127.0.0.1:8080/moved' "$basic, redirects: 2" 'status 200 in'
    probe 'a password file that is not there' 2 'http: http://127.0.0.1:8080/' \
        "basic: {user: ali, password: {file: $work/nothing}}" "probe \"the probe\" on line [0-9]*: .*nothing"
    chmod 644 "$work/password"
    probe 'a password file that others may read' 0 'http: http://127.0.0.1:8080/locked' "$basic" \
        'warning: .* on line [0-9]*: everybody on this machine may read'
    chmod 600 "$work/password"
}

client_certificates() {
    local ca="ca: $certificates/agents-ca.pem"
    local known="$ca, certificate: $certificates/customer.pem, key: $certificates/customer.key"
    probe 'an authority that nobody trusts' 4 'http: https://127.0.0.1:8443/' '' 'cannot be asked: .*[Cc]ertificate|SSL'
    probe 'no client certificate' 3 'http: https://127.0.0.1:8443/' "$ca" 'status 400 where 200 is tolerated'
    probe 'a client certificate' 0 'http: https://127.0.0.1:8443/' "$known" 'status 200 in'
}

prometheus() {
    local url='url: "http://127.0.0.1:8080/prom"' basic="basic: {user: ali, password: {file: $work/password}}"
    metrics 'Prometheus wants a password' 4 "{$url}" 'vector(1)' 'HTTP status 401' 'password or token'
    metrics 'Prometheus by a password, under a path, compressed' 0 "{$url, $basic}" 'vector(1)' 'the probe +1 \(>= 1\)' \
        'evidence from 1s .*longest scrape interval'
    metrics 'Prometheus by a password in its URL' 0 "{url: \"http://ali:$secret@127.0.0.1:8080/prom\"}" 'vector(1)'
    metrics 'a query that does not parse' 4 "{$url, $basic}" 'sum(' 'parse error'
    metrics 'a query of no series' 4 "{$url, $basic}" 'no_such_metric' 'no series'
    metrics 'a steady state that is bad' 3 "{$url, $basic}" 'vector(0.5)' '0\.5 where >= 1 is tolerated'
    write_experiment "probe=promql: 'sum('" "tolerance='>= 1'"
    sq plan --offline "$experiment"
    verdict 'plan --offline measures nothing' 0 'was injected'
    grep -v '^prometheus:' "$LAB_DIR/hosts.yaml" >"$LAB_DIR/hosts-without.yaml"
    sq plan --hosts "$LAB_DIR/hosts-without.yaml" "$experiment"
    verdict 'plan: nobody says where Prometheus is' 2 'nobody says where it is'
    sq plan --hosts "$LAB_DIR/hosts-without.yaml" --prometheus http://10.77.0.20:9090 "$experiment"
    verdict 'plan --prometheus' 4 'parse error'
}

secret_is_nowhere() { ! grep -rlF "$secret" "$@"; }

never_told() {
    write_experiment "probe=http: 'http://ali:$secret@127.0.0.1:8080/locked?token=$secret'" duration=1s
    sq_run "$experiment"
    cat "$output" >>"$work/all-output"
    verdict 'a run by a password in the URL' 0
    expect 'the record has it hidden' grep -qF 'http://ali:***@127.0.0.1:8080' "$work/run.jsonl"
    sq report --format json "$work/run.jsonl"
    cat "$output" >>"$work/all-output"
    sq report "$work/run.jsonl"
    cat "$output" >>"$work/all-output"
    sq plan --json "$experiment"
    cat "$output" >>"$work/all-output"
    sq plan -o "$work/a.plan" "$experiment"
    cat "$output" >>"$work/all-output"
    verdict 'plan -o of a file that holds a password' 2 'holds a password or a token'
    expect 'no plan was written' test ! -e "$work/a.plan"
    sq validate --json "$experiment"
    cat "$output" >>"$work/all-output"
    sq run --yes --record "$work/run.jsonl" --prometheus "htp://ali:$secret@h" "$experiment"
    cat "$output" >>"$work/all-output"
    write_experiment "probe=http: 'http://127.0.0.1:8080/locked'" "also=basic: {user: ali, password: {file: $work/password}}" \
        duration=1s
    sq_run "$experiment"
    cat "$output" >>"$work/all-output"
    verdict 'a run by a password from a file' 0
    sq plan -o "$work/a.plan" "$experiment"
    verdict 'plan -o where a file holds the password' 0
    sq_run "$work/a.plan"
    verdict 'the plan runs' 0
    expect 'the password is nowhere: not printed, recorded, or in a plan' \
        secret_is_nowhere "$work/all-output" "$work/run.jsonl" "$work/a.plan" "$LAB_DIR"/web*/log
}

start_nginx
passwords
client_certificates
prometheus
never_told
kill "$nginx_process"
tap_end
