#!/usr/bin/env bash
# What a host's policy forbids, nobody can order.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
policy=$LAB_DIR/web2/policy.yaml
cp "$policy" "$work/policy.yaml"

reload() {
    kill -HUP "$(agent_injector web2)"
    sleep 0.3
}

set_policy() {
    cat >"$policy"
    reload
}

forbidden_kind() {
    set_policy <<<'allow: [process.kill]'
    write_experiment 'hosts=[web1, web2]'
    sq plan "$experiment"
    verdict 'plan: the policy forbids it' 3 'web2' 'policy.yaml does not allow network.partition'
    sq_run "$experiment"
    verdict 'run: the policy forbids it' 3 'web2' 'policy.yaml does not allow network.partition'
    expect 'nothing was injected anywhere' never_injected
    sq hosts
    verdict 'hosts: says what the policy forbids' '0|4' 'web2' 'does not allow network.partition'
}

no_policy() {
    rm "$policy"
    reload
    write_experiment
    sq_run "$experiment"
    verdict 'run: no policy' 3 'web2' 'there is no policy file' 'start from'
    expect 'nothing was injected anywhere' never_injected
}

broken_policy() {
    set_policy <<<'alow: [network.partition]'
    sq_run "$experiment"
    verdict 'run: a policy that cannot be read allows nothing' 3 'web2' "did you mean 'allow'"
}

too_long() {
    set_policy <<<$'allow: [network.*]\nmax-duration: 5s'
    write_experiment duration=6s
    sq_run "$experiment"
    verdict "run: longer than the policy's max-duration" 3 'web2' '6s' 'max-duration'
    write_experiment duration=1s
    sq_run "$experiment"
    verdict "run: within the policy's max-duration" 0
}

protected_peer() {
    set_policy <<<$'allow: [network.*]\nprotect: {peers: [10.77.0.10], ports: [80]}'
    write_experiment 'to=[10.77.0.0/24]' duration=4s
    sq plan "$experiment"
    verdict 'plan: shows what the policy protects' 0 '10\.77\.0\.10'
    sq_start "$experiment"
    wait_until 10 is_injected_on web2
    sleep 1
    expect 'a protected peer gets through' host_is_free web2
    sq_wait 30
    verdict 'run: with a protected peer' 0
}

protected_interface() {
    set_policy <<<$'allow: [network.*]\nprotect: {interfaces: [eth0]}'
    write_experiment
    sq_run "$experiment"
    verdict 'run: a protected interface' 3 'web2' 'eth0'
}

protected_process() {
    set_policy <<<$'allow: [process.kill]\nprotect: {processes: [/usr/sbin/nginx]}'
    cat >"$experiment" <<'END'
title: Kill what is protected
method:
- name: kill
  fault: process.kill
  targets: {hosts: [web2]}
  with: {executable: /usr/sbin/nginx}
  duration: 1s
END
    local before
    before=$(host-exec web2 cat /run/service-nginx.pid)
    sq_run "$experiment"
    verdict 'run: a protected process' 3 'web2' 'protect'
    expect 'it was not killed' test "$before" = "$(host-exec web2 cat /run/service-nginx.pid)"
}

web2_is_prepared() { squall status | grep -q PREPARED; }

# What is in already, when the policy is read again.
forbidden_while_in() {
    set_policy <<<'allow: [network.*]'
    write_experiment probe=none duration=30s
    sq_start "$experiment"
    wait_injected web2 || tap_fail 'it is in'
    set_policy <<<'allow: []'
    expect 'what is in is reverted at once' host_is_free web2
    sq_wait 20
    verdict 'run: the policy changed while it was in' 4 'web2 ended "cut off": forbidden by the host.s new policy' \
        'does not allow network.partition'
    expect "the agent's log says why" grep -q "fault 0, network.partition: forbidden by the host's new policy: .*does not" \
        "$LAB_DIR/web2/log/squalld.log"
}

protected_while_in() {
    set_policy <<<'allow: [network.*]'
    write_experiment probe=none duration=30s
    sq_start "$experiment"
    wait_injected web2 || tap_fail 'it is in'
    set_policy <<<$'allow: [network.*]\nprotect: {peers: [10.77.0.10/32]}'
    expect 'what is protected by now gets through' host_is_free web2
    sq_wait 20
    verdict 'run: its peer was protected while it was in' 4 '10\.77\.0\.10.* protected by this host.s policy now'
}

# A kill that waits for the steady state to hold.
protected_while_prepared() {
    local before
    set_policy <<<'allow: [process.kill]'
    cat >"$experiment" <<'END'
title: Kill what is protected in the meantime
steady-state-hypothesis:
  title: Customers are served
  probes:
  - {name: the probe, http: http://10.77.0.10/, tolerance: {status: 200}, every: 200ms, abort-after-misses: 3}
  hold-before: 8s
method:
- name: kill
  fault: process.kill
  targets: {hosts: [web2]}
  with: {executable: /usr/sbin/nginx}
  duration: 1s
END
    before=$(host-exec web2 cat /run/service-nginx.pid)
    sq_start "$experiment"
    wait_until 10 web2_is_prepared || tap_fail 'it is prepared'
    set_policy <<<$'allow: [process.kill]\nprotect: {processes: [/usr/sbin/nginx]}'
    sq_wait 20
    verdict 'run: its victim was protected while it was prepared' 3 'web2 ended "kill": forbidden by the host.s new policy' \
        'must be left alone now: protected by the policy'
    expect 'the victim lives' test "$before" = "$(host-exec web2 cat /run/service-nginx.pid)"
    expect 'nothing was injected' never_injected
}

forbidden_kind
no_policy
broken_policy
too_long
protected_peer
protected_interface
protected_process
forbidden_while_in
protected_while_in
protected_while_prepared
cp "$work/policy.yaml" "$policy"
tap_end
