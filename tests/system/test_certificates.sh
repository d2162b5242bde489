#!/usr/bin/env bash
# Certificates that must not be believed, on either side.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
certificates=$LAB_DIR/certificates
make_certificate=$(dirname "${BASH_SOURCE[0]}")/../lab/certificates.sh
mkdir -p "$work/saved"
cp "$certificates"/web2.pem "$certificates"/web2.key "$work/saved"
write_experiment 'hosts=[web1, web2]'

agent_with() {
    cp "$1.pem" "$certificates/web2.pem"
    cp "$1.key" "$certificates/web2.key"
    agent_restart web2
}

agents() {
    "$make_certificate" "$certificates" wrong-agent web2 10.77.0.12
    agent_restart web2
    sq_run "$experiment"
    verdict 'an agent with a certificate from the wrong CA' 4 'web2' 'not signed by the CA'
    cp "$work/saved"/web2.* "$certificates"

    agent_with "$certificates/web3"
    sq_run "$experiment"
    verdict 'an agent with the certificate of another host' 4 'web2' 'another name'

    "$make_certificate" "$certificates" expired-agent web2 10.77.0.12
    agent_restart web2
    sq_run "$experiment"
    verdict 'an agent with an expired certificate' 4 'web2' 'expired'
    agent_with "$work/saved/web2"
    sq hosts
    verdict 'the right certificate again' 0
}

# An inventory with another operator's certificate.
operator_is() {
    sed "s/certificates\/operator\./certificates\/$1./g" "$LAB_DIR/hosts.yaml" >"$LAB_DIR/hosts-$1.yaml"
    sq_run --hosts "$LAB_DIR/hosts-$1.yaml" "$experiment"
}

controllers() {
    "$make_certificate" "$certificates" wrong-controller stranger
    operator_is stranger
    verdict 'a controller with a certificate from the wrong CA' 4 'refused our certificate'
    "$make_certificate" "$certificates" expired-controller late
    operator_is late
    verdict 'a controller with an expired certificate' 4 'refused our certificate'
    # An agent's certificate is signed by another CA than controllers' are: no agent can give orders to another.
    operator_is web3
    verdict "a controller with an agent's certificate" 4 'refused our certificate'
    grep -v '^tls:' "$LAB_DIR/hosts.yaml" >"$LAB_DIR/hosts-none.yaml"
    sq_run --hosts "$LAB_DIR/hosts-none.yaml" "$experiment"
    verdict 'a controller with no certificate' 2 'tls'
    sed 's/operator.pem/no-such.pem/' "$LAB_DIR/hosts.yaml" >"$LAB_DIR/hosts-missing.yaml"
    sq_run --hosts "$LAB_DIR/hosts-missing.yaml" "$experiment"
    verdict "a controller whose certificate's file is missing" 2 'no-such.pem'
}

# Without squall: a client with no certificate must not get a single byte of an answer.
no_certificate_at_all() {
    local answer
    answer=$(printf '\0SP\0\0\060\0\0' | timeout 3 openssl s_client -quiet -connect 10.77.0.12:7433 \
        -CAfile "$certificates/agents-ca.pem" 2>"$work/client-log" | wc -c) || true
    expect 'a TLS client with no certificate gets no answer' test "$answer" = 0
    expect 'its connection is ended' grep -qiE 'alert|eof|closed' "$work/client-log"
    sq hosts
    verdict 'the agent is well' 0
}

agents
controllers
no_certificate_at_all
tap_end
