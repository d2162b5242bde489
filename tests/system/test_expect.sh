#!/usr/bin/env bash
# A killed server that its supervisor starts again, or does not: what a step expects decides the verdict.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/system.sh"
down=$LAB_DIR/web2/services/nginx.down

# write_kill EXPECT SIGNAL
write_kill() {
    cat >"$experiment" <<END
title: Is nginx started again?
method:
- name: kill nginx
  fault: process.kill
  targets: {hosts: [web2]}
  with: {command-line: "nginx: master process *", signal: $2}
  duration: 1s
  expect: [{came-back-within: $1}]
limits: {max-hosts: 1}
lease: 3s
END
}
serves() { host-exec web2 timeout 1 bash -c ': </dev/tcp/10.77.0.12/80'; }

write_kill 3s KILL
sq plan "$experiment"
expect 'the plan says what is expected, and watches long enough' grep -q 'watched for 4s' "$output"
expect 'within which time' grep -q 'expects  that it comes back within 3s' "$output"
sq_run "$experiment"
verdict 'it comes back in time' 0 'back as pid'
wait_until 5 serves

: >"$down"
started=$SECONDS
sq_run "$experiment"
verdict 'it does not come back: a deviation' 1 'deviated' \
    'web2: what "kill nginx" hit did not come back within 3s: 0 of 1 that were killed did'
expect 'the report makes it stand out' grep -q 'DID NOT COME BACK: 1 of 1 that were killed' "$output"
expect 'known as soon as that time is over' test "$((SECONDS - started))" -lt 9
rm -f "$down"
wait_until 5 serves

# Later than it should, but while it is watched.
write_kill 1s KILL
sed -i 's/duration: 1s/duration: 6s/' "$experiment"
: >"$down"
sq_start "$experiment"
wait_until 10 bash -c '! host-exec web2 timeout 1 bash -c ": </dev/tcp/10.77.0.12/80"'
sleep 1.2
rm -f "$down"
sq_wait 20
verdict 'it comes back too late' 1 'deviated' 'web2: what "kill nginx" hit (came back after .* only, where 1s was expected|did not come back within 1s)'
wait_until 5 serves

write_kill 1s USR1
sq_run "$experiment"
verdict 'it never ended' 1 'did not come back within 1s: 1 of 1 still run in spite of the signal'
tap_end
