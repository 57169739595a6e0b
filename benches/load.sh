#!/usr/bin/env bash
# Load on a running Watchfire, measured as CPU-seconds and memory of the server, beside VictoriaMetrics if there is one.
# Needs the load generator. Everything stays on loopback, in a folder of its own, and ends by itself.
#   LOADGEN=path/to/loadgen benches/load.sh [alerts] [samples] [million] [overload] [cardinality]     all but the last by default
#   VICTORIAMETRICS=path/to/victoria-metrics   run the same remote-write load on it and print the ratio
#   WATCHFIRE=path/to/watchfire                measure this program instead of building one
#   PIN=0                                      leave the system to choose cores (default: server on core 0, generator on core 1)
set -euo pipefail
loadgen=${LOADGEN:?set LOADGEN to the load generator\'s program}
cd "$(dirname "$0")/.."
if [ -z "${WATCHFIRE:-}" ]; then
  cargo build --release --quiet
  WATCHFIRE=${CARGO_TARGET_DIR:-target}/release/watchfire
fi
watchfire=$(realpath "$WATCHFIRE")
on() { if [ "${PIN:-1}" = 1 ]; then taskset -c "$1" "${@:2}"; else "${@:2}"; fi; }
dir=$(mktemp -d)
server=
trap 'stop; rm -rf "$dir"' EXIT
port=19095
write_url=http://127.0.0.1:$port/api/v1/write

# A hundred rules over ten metrics of the synthetic fleet; none fires.
mkdir "$dir/rules"
{
  echo "groups: [{ name: load, interval: 15s, rules: ["
  metrics=(node_load1 node_memory_MemFree_bytes node_filesystem_avail_bytes container_memory_rss container_threads go_goroutines
    node_procs_running node_network_up container_sockets kube_pod_status_ready)
  for i in $(seq 0 99); do echo "  { alert: Load$i, expr: '${metrics[$((i % 10))]} > 1e1$((i % 10))' },"; done
  echo "] }]"
} >"$dir/rules/load.yml"
cat >"$dir/watchfire.yml" <<'YML'
route: { receiver: quiet, group_by: [alertname, cluster], escalation_policy: nobody }
receivers: [{ name: quiet, log_configs: [{}] }]
escalation_policies: [{ name: nobody, steps: [{ after: 1h, notify: [{ receiver: quiet }] }] }]
rule_files: [rules/*.yml]
YML

# A server that dies at its start will never be ready.
ready() { until curl -sf "$1" >/dev/null; do kill -0 "$server" || exit 1; sleep 0.1; done; }
start() {
  (cd "$dir" && exec $([ "${PIN:-1}" = 1 ] && echo taskset -c 0) "$watchfire" serve --config.file watchfire.yml --storage.path data \
    --log.level error --web.listen-address "127.0.0.1:$port" "$@") &
  server=$!
  ready "http://127.0.0.1:$port/-/ready"
}
stop() { [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true; }; server=; }
fresh() { stop; rm -rf "$dir/data"; start "$@"; }
rss_kb() { awk '/^VmRSS/ { print $2 }' "/proc/$server/status"; }
ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }
field() { sed -E "s/.*\"server_settled\":\{[^}]*\"$1\":([0-9.]+).*/\1/"; }
show() { grep -oE '"(alerts_per_s|samples_per_s|status|latency_ms)":(\{[^}]*\}|[0-9.]+)|"server_settled":\{[^}]*\}' | tr '\n' ' '; echo; }
say() { printf '\n== %s\n' "$1"; }
alerts() { on 1 "$loadgen" alerts --url "http://127.0.0.1:$port/api/v2/alerts" --alerts 100000 --batch 64 --connections 4 --pid "$server" --settle-seconds 2 "$@" | show; }
write() { on 1 "$loadgen" remote-write --url "$write_url" --connections "${connections:-4}" --pid "$server" --settle-seconds 2 "$@"; }
hour_ago() { echo $(($(date +%s) * 1000 - 3600000)); }
median() { sort -n | sed -n 2p; }

# Three steady runs; prints each, and the median of CPU-seconds per million.
steady() {
  local from=$1 now=$2; shift 2
  for run in 0 1 2; do
    write --series 100000 --start-ms "$now" --first-round $((from + run * 20)) --requests 1000 "$@" >"$dir/out"
    show <"$dir/out" >&2
    field cpu_s_per_million_samples <"$dir/out"
  done | median
}

run_alerts() {
  fresh
  say "100,000 new alerts";        alerts
  say "the same, twice more";      alerts --repeat 2
}

run_samples() {
  fresh
  local now; now=$(hour_ago)
  say "100,000 new series (1.0), 100 rules loaded"
  write --series 100000 --start-ms "$now" --requests 50 | show
  say "known series (1.0), three times"
  local one; one=$(steady 1 "$now")
  write --series 100000 --start-ms "$now" --first-round 70 --requests 50 --v2 >"$dir/out"
  say "known series (2.0), three times"
  local two; two=$(steady 71 "$now" --v2)
  say "median CPU-seconds per million samples: 1.0 $one (at most 0.35), 2.0 $two (at most 0.25)"
  [ -n "${VICTORIAMETRICS:-}" ] || return 0
  stop
  (cd "$dir" && exec $([ "${PIN:-1}" = 1 ] && echo taskset -c 0) "$VICTORIAMETRICS" -httpListenAddr=127.0.0.1:$port -storageDataPath=vm \
    -retentionPeriod=1 -loggerLevel=ERROR) &
  server=$!
  ready "http://127.0.0.1:$port/health"
  say "VictoriaMetrics, the same"
  write --series 100000 --start-ms "$now" --requests 50 | show
  local vm; vm=$(steady 1 "$now")
  say "VictoriaMetrics $vm, ratio to ours $(awk "BEGIN { printf \"%.1f\", $vm / $one }") (at least 5)"
}

run_million() {
  fresh
  local now base before; now=$(hour_ago); base=$(rss_kb)
  say "1,000,000 series, 60 samples each"
  write --series 1000000 --start-ms "$now" --requests 500 --prepare-mb 50 | show
  write --series 1000000 --start-ms "$now" --first-round 1 --requests 29500 --prepare-mb 50 | show
  echo "RSS $(rss_kb) kB, $(($(rss_kb) * 1024 / 1000000)) bytes a series, all of the process included (at most 500); idle $base kB"
  say "kill -9, replay of 60,000,000 samples"
  kill -9 "$server"; wait "$server" 2>/dev/null || true
  start
  before=$(ticks)
  awk "BEGIN { printf \"%.1f CPU-seconds until ready, %.1f million samples/s on one core (at least 5)\n\", $before / 100, 6000 / $before }"
}

# Every core of the server is asked for ten times what it can take: four hundred connections, each with the next body in hand.
run_overload() {
  local budget_mb=512
  fresh --memory.budget "${budget_mb}MiB"
  # Hours ago, because a minute of this brings an hour of rounds.
  local now; now=$(($(hour_ago) - 7200000))
  say "overload for 60 s"
  local base; base=$(rss_kb)
  connections=400 write --series 1000000 --start-ms "$now" --seconds 60 --prepare-mb 500 >"$dir/out" &
  local load=$!
  while kill -0 "$load" 2>/dev/null; do sleep 10; echo "RSS $(($(rss_kb) / 1024)) MB (budget: $budget_mb)"; done
  wait "$load"
  show <"$dir/out"
  echo "RSS before $base kB, after $(rss_kb) kB, peak $(awk '/^VmHWM/ { print $2 }' "/proc/$server/status") kB"
  say "and at once thereafter"
  write --series 1000000 --start-ms "$now" --first-round 300 --requests 500 --prepare-mb 50 | show
}

run_cardinality() {
  sed -i '$a ingest: { limits: { series: 1000000 } }' "$dir/watchfire.yml"
  fresh
  local now before; now=$(hour_ago)
  say "10,000,000 series at a limit of 1,000,000"
  write --series 1000000 --start-ms "$now" --requests 500 --prepare-mb 50 | show
  before=$(rss_kb)
  write --series 10000000 --start-ms "$now" --first-round 1 --requests 5000 --prepare-mb 50 | show
  echo "RSS before $before kB, after $(rss_kb) kB"
  say "known series thereafter"
  write --series 1000000 --start-ms "$now" --first-round 2 --requests 500 --prepare-mb 50 | show
}

[ $# -gt 0 ] || set -- alerts samples million overload
for part; do "run_$part"; done
