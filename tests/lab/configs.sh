# shellcheck shell=bash
# Sourced by lab.sh: writes every configuration file of the lab below $LAB_DIR.

# LAB_ONLY leaves hosts out, for tests that need no shop.
read -r -a LAB_HOSTS <<<"${LAB_ONLY:-web1 web2 web3 lb mon}"
LAB_WEB_HOSTS=()
for lab_host in "${LAB_HOSTS[@]}"; do [[ $lab_host != web* ]] || LAB_WEB_HOSTS+=("$lab_host"); done
lab_has() { [[ " ${LAB_HOSTS[*]} " == *" $1 "* ]]; }

# The host's last number: 10.77.0.N and fd77::N.
lab_number() {
    case $1 in
    lb) echo 10 ;;
    web1) echo 11 ;;
    web2) echo 12 ;;
    web3) echo 13 ;;
    mon) echo 20 ;;
    *) lab_die "the lab has no host '$1'; it has ${LAB_HOSTS[*]}" ;;
    esac
}

lab_address() { echo "10.77.0.$(lab_number "$1")"; }

# A service: a script that its host's supervisor keeps running (host.sh).
lab_service() {
    local host=$1 name=$2
    {
        echo '#!/bin/sh'
        echo "exec $3"
    } >"$LAB_DIR/$host/services/$name"
    chmod +x "$LAB_DIR/$host/services/$name"
}

lab_write_nginx() {
    local host=$1 folder=$LAB_DIR/$1
    cat >"$folder/nginx.conf" <<END
daemon off;
worker_processes 1;
pid /run/nginx.pid;
error_log $folder/log/nginx-error.log;
events { worker_connections 256; }
http {
    access_log off;
    keepalive_timeout 5s;
    client_body_temp_path /run/nginx-body;
    proxy_temp_path /run/nginx-proxy;
    fastcgi_temp_path /run/nginx-fastcgi;
    uwsgi_temp_path /run/nginx-uwsgi;
    scgi_temp_path /run/nginx-scgi;
    server {
        listen 80;
        listen [::]:80;
        default_type text/plain;
        location / { return 200 "the shop, served by $host\n"; }
    }
}
END
    lab_service "$host" nginx "nginx -e '$folder/log/nginx-error.log' -c '$folder/nginx.conf'"
}

# Health checks and retries are fast enough that losing one web host costs no customer an answer.
lab_write_haproxy() {
    local folder=$LAB_DIR/lb host
    {
        cat <<END
global
    log stderr format raw local0 info
defaults
    mode http
    log global
    timeout connect 100ms
    timeout client 2s
    timeout server 200ms
    timeout check 150ms
    timeout queue 300ms
    timeout http-request 1s
    retries 4
    retry-on conn-failure empty-response response-timeout
    option redispatch 1
    option http-server-close
frontend shop
    bind :80
    bind :::80 v6only
    default_backend web
backend web
    balance roundrobin
    option httpchk GET /
    default-server inter 200ms fastinter 100ms fall 2 rise 2
END
        for host in "${LAB_WEB_HOSTS[@]}"; do
            echo "    server $host $(lab_address "$host"):80 check"
        done
        cat <<END
frontend statistics
    bind :8404
    stats enable
    stats uri /
END
    } >"$folder/haproxy.cfg"
    lab_service lb haproxy "haproxy -db -f '$folder/haproxy.cfg'"
}

lab_write_monitoring() {
    local folder=$LAB_DIR/mon
    cat >"$folder/blackbox.yml" <<END
modules:
  http_2xx:
    prober: http
    http: {preferred_ip_protocol: ip4, ip_protocol_fallback: false}
END
    cat >"$folder/prometheus.yml" <<END
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
scrape_configs:
- job_name: shop
  metrics_path: /probe
  params: {module: [http_2xx]}
  static_configs:
  - targets: ["http://$(lab_address lb)/"]
  relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: "127.0.0.1:9115"}
END
    lab_service mon blackbox "prometheus-blackbox-exporter --config.file='$folder/blackbox.yml' \\
    --web.listen-address=127.0.0.1:9115"
    lab_service mon prometheus "prometheus --config.file='$folder/prometheus.yml' \\
    --storage.tsdb.path=/run/prometheus --web.listen-address=0.0.0.0:9090 --log.level=warn"
}

# The agents' front runs as `nobody`: the lab adds no user to the machine.
lab_write_agent() {
    local host=$1 folder=$LAB_DIR/$1
    cat >"$folder/agent.yaml" <<END
listen: ["ipc:///run/squall/agent.sock", "tls+tcp://0.0.0.0:7433"]
tls:
  certificate: $LAB_DIR/certificates/$host.pem
  key: $LAB_DIR/certificates/$host.key
  controllers: $LAB_DIR/certificates/controllers-ca.pem
state: /run/squall-state
policy: $folder/policy.yaml
user: nobody
group: nogroup
END
    cat >"$folder/policy.yaml" <<END
allow: ["*"]
max-duration: 5m
END
    lab_service "$host" squalld "'$LAB_SQUALLD' --config '$folder/agent.yaml'"
}

lab_write_inventory() {
    local host zone=a
    {
        echo "prometheus: {url: \"http://$(lab_address mon):9090\"}"
        echo "tls: {certificate: certificates/operator.pem, key: certificates/operator.key," \
            "agents: certificates/agents-ca.pem}"
        echo 'hosts:'
        for host in "${LAB_WEB_HOSTS[@]}"; do
            echo "- {name: $host, agent: \"tls+tcp://$(lab_address "$host"):7433\"," \
                "labels: {role: web, zone: $zone}}"
            zone=$(tr abc bcd <<<"$zone")
        done
    } >"$LAB_DIR/hosts.yaml"
}

lab_write_certificates() {
    local host maker=$LAB_SOURCE/certificates.sh
    "$maker" "$LAB_DIR/certificates" init
    for host in "${LAB_WEB_HOSTS[@]}"; do
        "$maker" "$LAB_DIR/certificates" agent "$host" "$(lab_address "$host")"
    done
    "$maker" "$LAB_DIR/certificates" controller operator
}

lab_write_configs() {
    local host
    for host in "${LAB_HOSTS[@]}"; do rm -rf "${LAB_DIR:?}/$host"; done # of an earlier lab in this folder
    for host in "${LAB_HOSTS[@]}"; do mkdir -p "$LAB_DIR/$host/services" "$LAB_DIR/$host/log"; done
    for host in "${LAB_WEB_HOSTS[@]}"; do
        lab_write_nginx "$host"
        lab_service "$host" echo "prober echo 7000"
        [[ -z $LAB_SQUALLD ]] || lab_write_agent "$host"
    done
    if lab_has lb; then lab_write_haproxy; fi
    if lab_has mon; then lab_write_monitoring; fi
    lab_write_inventory
    [[ -z $LAB_SQUALLD ]] || lab_write_certificates
}
