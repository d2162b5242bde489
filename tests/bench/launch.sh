#!/usr/bin/env bash
# launch.sh BUILD DIRECTORY ROUNDS: an experiment that injects nothing, from start to exit, beside programs of others.
# Samples: launch.{squall,squall-probe,curl,curl-page,true}.{ms,mib}.
set -euo pipefail
readonly build=$1 directory=$2 rounds=$3
page=http://127.0.0.1:9100/
exporter=

stop() { [[ -z $exporter ]] || kill "$exporter"; }
trap stop EXIT

cat >"$directory/hosts.yaml" <<'END'
hosts: [{name: here, agent: "ipc:///run/nobody-is-asked.sock"}]
END
cat >"$directory/probe.yaml" <<END
title: Nothing but a look
steady-state-hypothesis:
  title: The page is there
  probes: [{name: page, http: "$page", tolerance: {status: 200}, every: 1s, abort-after-misses: 1}]
  hold-before: 0s
method: []
END

prometheus-node-exporter --web.listen-address=127.0.0.1:9100 2>"$directory/exporter.log" &
exporter=$!
for ((i = 0; i < 100; i++)); do
    if curl -sf -o /dev/null "$page"; then break; fi
    sleep 0.05
done
squall=("$build/controller/squall" run --hosts "$directory/hosts.yaml" --yes --record "$directory/run.jsonl")
"$build/tests/bench/measure_launch" "$rounds" launch.squall "$build/controller/squall" validate "$directory/probe.yaml" \
    -- launch.curl curl --version \
    -- launch.true /bin/true \
    -- launch.squall-probe "${squall[@]}" "$directory/probe.yaml" \
    -- launch.curl-page curl -sf "$page"
