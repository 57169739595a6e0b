#!/usr/bin/env bash
# Load on a running Watchfire, measured as CPU-seconds and memory of the server: alerts new and refreshed, remote-write 1.0 and 2.0.
# Needs the load generator: LOADGEN names its program. Everything stays on loopback, in a folder of its own, and ends by itself.
#   LOADGEN=path/to/loadgen benches/load.sh
set -euo pipefail
loadgen=${LOADGEN:?set LOADGEN to the load generator\'s program}
cd "$(dirname "$0")/.."
cargo build --release --quiet
watchfire=$PWD/target/release/watchfire
dir=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$dir"' EXIT
cat >"$dir/watchfire.yml" <<'YML'
route: { receiver: quiet, group_by: [alertname, cluster], escalation_policy: nobody }
receivers: [{ name: quiet, log_configs: [{}] }]
escalation_policies: [{ name: nobody, steps: [{ after: 1h, notify: [{ receiver: quiet }] }] }]
YML
port=19095
start() {
  (cd "$dir" && exec "$watchfire" serve --config.file watchfire.yml --storage.path data --log.level error \
    --web.listen-address "127.0.0.1:$port") &
  server=$!
  until curl -sf "http://127.0.0.1:$port/-/ready" >/dev/null; do sleep 0.1; done
}
show() { grep -oE '"(alerts_per_s|samples_per_s)":[0-9.]+|"server_settled":\{[^}]*\}' | tr '\n' ' '; echo; }
start
alerts() { "$loadgen" alerts --url "http://127.0.0.1:$port/api/v2/alerts" --alerts 100000 --batch 64 --connections 4 --pid "$server" --settle-seconds 2 "$@" | show; }
write() { "$loadgen" remote-write --url "http://127.0.0.1:$port/api/v1/write" --series 100000 --connections 4 --pid "$server" --settle-seconds 2 "$@" | show; }
echo "100,000 new alerts";        alerts
echo "the same, twice more";      alerts --repeat 2
now=$(($(date +%s) * 1000 - 3600000))
echo "100,000 new series (1.0)";  write --start-ms $now --requests 50
echo "known series (1.0)";        write --start-ms $now --first-round 1 --requests 1000
echo "known series (2.0)";        write --start-ms $now --first-round 21 --requests 1000 --v2
