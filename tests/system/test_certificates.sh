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

# The commands of docs/certificates.md are what is run here, section by section, with what comes before the section's own.
page_commands() { # SECTION [COMMANDS...]
    local page
    page=$(dirname "${BASH_SOURCE[0]}")/../../docs/certificates.md
    printf 'umask 077\n%s\n' "${2:-}"
    awk -v section="## $1" '/^## /{here = $0 == section} /^```/{code = here && $0 == "```sh"; next} code' "$page"
}
run_page() {
    page_commands "$@" >"$page/commands"
    grep -q openssl "$page/commands" && (cd "$page" && bash -euo pipefail commands)
}
web2_reloads() {
    kill -HUP "$(agent_injector web2)"
    wait_until 5 web2_answers
}
web2_answers() { squall hosts --hosts "$page/hosts.yaml"; }
operator_is_now() { sed "s/NAME/$1/g" "$page/hosts.template" >"$page/hosts.yaml"; }
cannot_order() { ! squall hosts --hosts "$page/hosts.yaml" | tee /dev/stderr | grep -q '1 answered'; }

the_page() {
    page=$work/page
    mkdir -p "$page"
    cp "$certificates/controllers-ca.pem" "$work/saved"
    expect 'the page: two authorities' run_page 'The authorities, once'
    expect 'the page: a certificate for a host' run_page 'For each host'
    expect 'the page: a certificate for an operator' run_page 'For each operator'
    expect 'no key is readable by others' test -z "$(find "$page" -name '*.key' -perm /077)"
    cat >"$page/hosts.template" <<END
tls: {certificate: NAME.pem, key: NAME.key, agents: agents-ca.pem}
hosts:
- {name: web2, agent: "tls+tcp://10.77.0.12:7433"}
END
    operator_is_now jane
    cp "$page"/web2.{pem,key} "$page/controllers-ca.pem" "$certificates"
    agent_restart web2
    expect 'agent and operator know each other' web2_answers

    page_commands Renewal 'host=web2' | sed '/^mv /,$d; s/-days 90/-days 9/' >"$page/commands"
    expect 'the page: renewal' bash -c "cd '$page' && bash -euo pipefail commands"
    cp "$page/web2.pem" "$certificates"
    expect 'the renewed certificate serves after a reload' web2_reloads
    sq hosts --hosts "$page/hosts.yaml"
    expect 'its end is near, and hosts says so' grep -q 'certificate ends soon' "$output"

    page_commands Renewal | sed '/^openssl x509/,/^ /d' >"$page/commands"
    expect 'the page: another authority' bash -c "cd '$page' && bash -euo pipefail commands"
    cp "$page/controllers-ca.pem" "$certificates"
    expect 'whoever the old authority signed may still order' web2_reloads
    expect 'an operator whom the new one signs' bash -c "cd '$page' && mv controllers-ca.pem both.pem && cp controllers-ca-new.pem controllers-ca.pem"
    page_commands 'For each operator' | sed 's/^operator=.*/operator=joe/' >"$page/commands"
    expect 'is signed by the same commands' bash -c "cd '$page' && bash -euo pipefail commands"
    operator_is_now joe
    expect 'and may order as well' web2_answers
    cp "$page/controllers-ca-new.pem" "$certificates/controllers-ca.pem"
    expect 'the old authority is left out' web2_reloads
    operator_is_now jane
    expect 'whom it signed may no longer order' cannot_order

    cp "$work/saved"/* "$certificates"
    agent_restart web2
    sq hosts
    verdict 'the lab as it was' 0
}

agents
controllers
no_certificate_at_all
the_page
tap_end
