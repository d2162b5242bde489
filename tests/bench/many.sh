#!/usr/bin/env bash
# many.sh BUILD DIRECTORY ROUNDS: the verbs that ask everybody, of 1,000 played agents on Unix sockets, beside curl asking
# one server for 1,000 pages. Samples: many.{hosts,status,halt,plan,curl}.{ms,mib}.
set -euo pipefail
readonly build=$1 directory=$2 rounds=$3 count=1000
processes=()

stop() { kill "${processes[@]}"; }
trap stop EXIT

cat >"$directory/plan.yaml" <<'END'
title: Everybody
method:
- name: cut off
  fault: network.partition
  targets: {labels: {role: web}}
  with: {direction: both, to: [192.0.2.0/24]}
  duration: 10s
limits: {max-hosts: 100%}
END

prometheus-node-exporter --web.listen-address=127.0.0.1:9100 2>"$directory/exporter.log" &
processes+=($!)
"$build/tests/bench/play_agents" "$directory" "$count" >"$directory/played" &
processes+=($!)
for ((i = 0; i < 200; i++)); do
    if grep -q ready "$directory/played" && curl -sf -o /dev/null http://127.0.0.1:9100/; then break; fi
    sleep 0.05
done

squall=$build/controller/squall
hosts=(--hosts "$directory/hosts.yaml")
"$build/tests/bench/measure_launch" "$rounds" many.hosts "$squall" hosts "${hosts[@]}" \
    -- many.status "$squall" status "${hosts[@]}" \
    -- many.halt "$squall" halt "${hosts[@]}" \
    -- many.plan "$squall" plan "${hosts[@]}" "$directory/plan.yaml" \
    -- many.curl curl -sf -Z --parallel-max 300 -o /dev/null "http://127.0.0.1:9100/?[1-$count]"
