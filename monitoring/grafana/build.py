"""Builds dashboards/*.json with the Grafana foundation SDK: `pip install -r requirements.txt && python build.py`.

`python build.py --check` compares instead of writing. Every query here must return data on a running stack:
`examples/run-local check` asks Prometheus each of them.
"""

import argparse
import sys
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.bargauge import Panel as BarGauge
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig, ReduceDataOptions, StackingConfig, VizLegendOptions, VizTooltipOptions,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    GraphTresholdsStyleMode, LegendDisplayMode, LegendPlacement, StackingMode, TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync, DashboardLinkType, DataSourceRef, DynamicConfigValue, Threshold, ThresholdsMode, ValueMap,
    ValueMappingResult, VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

HERE = Path(__file__).resolve().parent
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="prometheus")
WATCHFIRE = "http://127.0.0.1:9095"
WIDTH = 24
# Two tiers, as in rules/: (first, second).
RATIO_HIGH, LATENCY, ERRORS = (0.8, 0.95), (2, 5), (0.02, 0.05)


def thresholds(high=None, low=None):
    """Green, then yellow and red above `high`, or below `low`."""
    steps = [Threshold(value=None, color="green")]
    if high:
        steps += [Threshold(value=high[0], color="yellow"), Threshold(value=high[1], color="red")]
    if low:
        steps = [Threshold(value=None, color="red"), Threshold(value=low[1], color="yellow"),
                 Threshold(value=low[0], color="green")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def queries(panel, targets, instant=False, form=None):
    for letter, (expr, legend) in zip("ABCDEFGH", targets):
        query = prometheus.Dataquery().ref_id(letter).expr(expr).legend_format(legend)
        query = query.instant() if instant else query.range()
        panel.with_target(query.format(form) if form else query)
    return panel


def base(panel, title, about, unit, width, height):
    panel.title(title).description(about).datasource(PROMETHEUS).span(width).height(height)
    return panel.unit(unit) if unit else panel


def lines(title, about, unit, *targets, width=8, high=None, low=None, stack=False, top=None):
    panel = base(timeseries.Panel(), title, about, unit, width, 8)
    panel.legend(VizLegendOptions().display_mode(LegendDisplayMode.TABLE).placement(LegendPlacement.BOTTOM)
                 .calcs(["lastNotNull", "max"]).show_legend(True))
    panel.tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    panel.thresholds(thresholds(high, low)).fill_opacity(30 if stack else 8).min(0)
    if high or low:
        panel.thresholds_style(GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED))
    if stack:
        panel.stacking(StackingConfig().mode(StackingMode.NORMAL))
    if top is not None:
        panel.max(top)
    return queries(panel, targets)


def number(title, about, unit, expr, legend="", width=4, high=None, low=None, zero=None):
    """`zero`: what is shown instead of 0."""
    panel = base(stat.Panel(), title, about, unit, width, 4).thresholds(thresholds(high, low))
    if zero:
        panel.mappings([ValueMap(options={"0": ValueMappingResult(text=zero)})])
    panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    return queries(panel, [(expr, legend)])


def bars(title, about, unit, *targets, width=8, high=None, low=None):
    panel = base(BarGauge(), title, about, unit, width, 8).thresholds(thresholds(high, low))
    panel.reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    return queries(panel, targets, instant=True)


def rows(title, about, unit, *targets, width=12):
    """A table of alerts: an alert leads to its runbook, a service to its dashboard."""
    panel = base(table.Panel(), title, about, unit, width, 8)
    for column, words, url in (("alertname", "Runbook", WATCHFIRE + "/runbooks/${__value.text}"),
                               ("service", "Service detail", "/d/service-detail?var-service=${__value.text}")):
        panel.override_by_name(column, [DynamicConfigValue(id_val="links", value=[{"title": words, "url": url}])])
    return queries(panel, targets, instant=True, form=PromQueryFormat.TABLE)


def states(title, about, *targets, width=24, high=None, low=None):
    panel = base(StateTimeline(), title, about, None, width, 8).thresholds(thresholds(high, low))
    return queries(panel, targets)


def link(title, url):
    return (dashboard.DashboardLink(title).type(DashboardLinkType.LINK).url(url).icon("external link").target_blank(True))


def variable(name, query, label):
    return (dashboard.QueryVariable(name).label(label).datasource(PROMETHEUS).query(query)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).include_all(False))


def board(uid, title, about, sections, refresh="30s", since="now-3h", variables=(), tags=()):
    built = (dashboard.Dashboard(title).uid(uid).description(about).tags(["watchfire", *tags]).refresh(refresh)
             .time(since, "now").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR).readonly())
    built.link(dashboard.DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags(["watchfire"]).as_dropdown(True)
               .include_vars(True).keep_time(True))
    built.link(link("Incidents", f"{WATCHFIRE}/incidents"))
    built.link(link("Rules", f"{WATCHFIRE}/rules"))
    for one in variables:
        built.with_variable(one)
    for name, panels in sections:
        built.with_row(dashboard.Row(name))
        for panel in panels:
            built.with_panel(panel)
    return uid, built


SERVICE = variable("service", "label_values(http_requests_total, service)", "Service")


def system():
    return board("system-overview", "System overview", "Machine, services and what fires, on one page", [
        ("At a glance", [
            number("Targets up", "Share of all scrape targets that answer", "percentunit", "avg(up)", low=(1, 0.9)),
            number("Firing alerts", "Besides the watchdog", "short",
                   'count(ALERTS{alertstate="firing"}) - count(ALERTS{alertname="Watchdog", alertstate="firing"})', high=(1, 5)),
            number("Open incidents", "Triggered or acknowledged", "short",
                   'sum(watchfire_incidents{status=~"triggered|acknowledged"})', high=(1, 3)),
            number("Requests", "Answered a second, all services", "reqps", "sum(job:http_requests:rate5m)"),
            number("Errors", "Share of requests answered 5xx", "percentunit", "max(job:http_requests_errors:ratio_rate5m)",
                   high=ERRORS),
            number("95th percentile", "One of twenty requests takes longer", "s",
                   "max(job:http_request_duration_seconds:p95_rate5m)", high=LATENCY),
        ]),
        ("Machine", [
            lines("CPU", "Busy share of all cores", "percentunit", ("instance:node_cpu_busy:ratio_rate5m", "{{instance}}"),
                  high=RATIO_HIGH, top=1),
            lines("Memory", "Used share", "percentunit", ("instance:node_memory_used:ratio", "{{instance}}"),
                  high=(0.85, 0.95), top=1),
            lines("Disks", "Used share of each file system", "percentunit",
                  ("instance:node_filesystem_used:ratio", "{{instance}} {{mountpoint}}"), high=(0.85, 0.9), top=1),
            lines("Network", "All devices besides loopback", "Bps", ("instance:node_network_receive_bytes:rate5m", "in {{instance}}"),
                  ("instance:node_network_transmit_bytes:rate5m", "out {{instance}}")),
            lines("Load", "Runnable processes, mean of a minute", "short", ("node_load1", "{{instance}}")),
            lines("Disk traffic", "Bytes read and written", "Bps",
                  ("sum by (instance) (rate(node_disk_read_bytes_total[$__rate_interval]))", "read {{instance}}"),
                  ("sum by (instance) (rate(node_disk_written_bytes_total[$__rate_interval]))", "written {{instance}}")),
        ]),
        ("Services", [
            states("Health checks", "2 healthy, 1 degraded, 0 unhealthy", ("app_health_status", "{{service}} {{check}}"),
                   width=12, low=(2, 1)),
            states("Targets", "1 answers, 0 does not", ("min by (job) (up)", "{{job}}"), width=12, low=(1, 0.5)),
        ]),
    ])


def application():
    by_service = 'service=~"$service"'
    return board("application-performance", "Application performance", "Rate, errors and duration of requests", [
        ("Requests", [
            lines("Rate", "Requests a second by status class", "reqps",
                  (f"sum by (status) (rate(http_requests_total{{{by_service}}}[$__rate_interval]))", "{{status}}"), stack=True),
            lines("Errors", "Share answered 5xx", "percentunit", (f"job:http_requests_errors:ratio_rate5m{{{by_service}}}", "{{job}}"),
                  high=ERRORS),
            lines("Duration", "Percentiles over five minutes", "s",
                  *[(f"job:http_request_duration_seconds:{p}_rate5m{{{by_service}}}", p) for p in ("p50", "p95", "p99")],
                  high=LATENCY),
        ]),
        ("Handlers", [
            lines("Rate by handler", "Requests a second", "reqps", (f"handler:http_requests:rate5m{{{by_service}}}", "{{handler}}"),
                  width=12),
            lines("95th percentile by handler", "Over five minutes", "s",
                  (f"handler:http_request_duration_seconds:p95_rate5m{{{by_service}}}", "{{handler}}"), width=12, high=LATENCY),
        ]),
        ("Beneath", [
            lines("In progress", "Requests being answered", "short", (f"http_requests_inprogress{{{by_service}}}", "{{instance}}")),
            lines("Other services", "Calls a second by result", "ops",
                  (f"sum by (dependency, result) (rate(dependency_calls_total{{{by_service}}}[$__rate_interval]))",
                   "{{dependency}} {{result}}")),
            states("Circuit breakers", "0 closed, 1 open, 2 trying", (f"circuit_breaker_state{{{by_service}}}", "{{dependency}}"),
                   width=8, high=(1, 1)),
            lines("Queues", "Items waiting", "short", (f"queue_depth{{{by_service}}}", "{{queue}}"), high=(500, 1000)),
            lines("Worked off", "Items a second", "ops",
                  (f"sum by (queue, status) (rate(queue_processed_total{{{by_service}}}[$__rate_interval]))", "{{queue}} {{status}}")),
            lines("Memory and CPU of the process", "Resident bytes", "bytes",
                  (f"process_resident_memory_bytes{{{by_service}}}", "{{job}} {{instance}}")),
        ]),
    ], variables=[SERVICE])


def database():
    return board("databases", "Databases", "PostgreSQL, Redis, and what the application sees of them", [
        ("What the application sees", [
            lines("Pool", "Connections in use, and the most there may be", "short",
                  ('db_pool_connections{state="in_use"}', "in use {{instance}}"), ("db_pool_max_connections", "most {{instance}}")),
            lines("Query duration", "95th percentile over five minutes", "s",
                  ("job:db_query_duration_seconds:p95_rate5m", "{{operation}}"), high=(2, 10)),
            lines("Queries", "A second, by operation", "ops", ("job:db_queries:rate5m", "{{operation}}"), stack=True),
        ]),
        ("PostgreSQL", [
            number("Up", "Whether the exporter reaches it", "short", "min(pg_up)", low=(1, 1)),
            number("Connections", "Share of max_connections", "percentunit", "max(instance:postgres_connections:ratio)",
                   high=RATIO_HIGH),
            number("Longest transaction", "Open right now", "s", "max(pg_stat_activity_max_tx_duration)", high=(10, 30)),
            number("Size", "All databases", "bytes", "sum(pg_database_size_bytes)"),
            number("Hits in memory", "Share of block reads", "percentunit",
                   "sum(rate(pg_stat_database_blks_hit[5m])) / sum(rate(pg_stat_database_blks_hit[5m]) + rate(pg_stat_database_blks_read[5m]))",
                   low=(0.95, 0.8)),
            number("Deadlocks", "Within an hour", "short", "sum(increase(pg_stat_database_deadlocks[1h]))", high=(1, 5)),
            lines("Connections by state", "Of all users", "short", ("sum by (state) (pg_stat_activity_count)", "{{state}}"), stack=True),
            lines("Transactions", "A second", "ops",
                  ("sum by (datname) (rate(pg_stat_database_xact_commit[$__rate_interval]))", "commit {{datname}}"),
                  ("sum by (datname) (rate(pg_stat_database_xact_rollback[$__rate_interval]))", "rollback {{datname}}")),
            lines("Locks", "Held, by mode", "short", ('sum by (mode) (pg_locks_count{datname="shop"})', "{{mode}}"), stack=True),
        ]),
        ("Redis", [
            number("Up", "Whether the exporter reaches it", "short", "min(redis_up)", low=(1, 1)),
            number("Memory", "Share of maxmemory", "percentunit", "max(instance:redis_memory_used:ratio)", high=RATIO_HIGH),
            number("Clients", "Connected", "short", "sum(redis_connected_clients)", high=(80, 100)),
            number("Cache hits", "Of the application's look-ups", "percentunit", "min(job:cache_hits:ratio_rate5m)", low=(0.8, 0.6)),
            number("Thrown out", "Keys evicted within an hour", "short", "sum(increase(redis_evicted_keys_total[1h]))", high=(1, 1000)),
            number("Refused", "Connections within an hour", "short", "sum(increase(redis_rejected_connections_total[1h]))",
                   high=(1, 10)),
            lines("Commands", "A second", "ops", ("sum by (instance) (rate(redis_commands_processed_total[$__rate_interval]))", "{{instance}}")),
            lines("Memory", "Used, and the most there may be", "bytes", ("redis_memory_used_bytes", "used"), ("redis_memory_max_bytes", "most")),
            lines("Cache look-ups", "A second, by result", "ops",
                  ("sum by (result) (rate(cache_requests_total[$__rate_interval]))", "{{result}}"), stack=True),
        ]),
    ])


def business():
    return board("business", "Business", "What the users do", [
        ("Users", [
            number("Active", "Seen within five minutes", "short", "sum(active_users)"),
            number("Signed up", "Within an hour", "short", 'sum(increase(user_onboarding_total{step="signed_up"}[1h]))'),
            number("Conversion", "Signed up within an hour, and through to the end", "percentunit",
                   "min(job:user_onboarding_completed:ratio_increase1h)", low=(0.7, 0.5)),
            number("Sessions", "That go on", "short", "sum(collaboration_sessions_active)"),
            number("Log-ins that fail", "Share", "percentunit", "max(job:user_authentication_failures:ratio_rate5m)", high=(0.05, 0.1)),
            number("Worst address", "Failed log-ins within five minutes", "short", "max(auth_worst_source_failures)", high=(25, 50)),
        ]),
        ("Steps", [
            bars("Onboarding", "Users at each step within an hour", "short",
                 ("sum by (step) (increase(user_onboarding_total[1h]))", "{{step}}")),
            lines("Onboarding", "Steps a second", "ops",
                  ("sum by (step) (rate(user_onboarding_total[$__rate_interval]))", "{{step}}")),
            lines("Log-ins", "A second, by result", "ops",
                  ("sum by (status) (rate(user_authentication_total[$__rate_interval]))", "{{status}}"), stack=True),
        ]),
        ("Work", [
            lines("Operations on memories", "A second, by kind", "ops",
                  ("sum by (operation) (rate(memory_operations_total[$__rate_interval]))", "{{operation}}"), stack=True),
            lines("Operations that work", "Share, by kind", "percentunit", ("job:memory_operations_ok:ratio_rate5m", "{{operation}}"),
                  low=(0.95, 0.9), top=1),
            lines("Duration of operations", "95th percentile, by kind", "s",
                  ("histogram_quantile(0.95, sum by (operation, le) (rate(memory_operation_duration_seconds_bucket[5m])))",
                   "{{operation}}")),
            lines("Working together", "Sessions started, joined, ended a second", "ops",
                  ("sum by (event) (rate(collaboration_sessions_total[$__rate_interval]))", "{{event}}"), width=12),
            lines("Orders", "Calls of payments a second, by result", "ops",
                  ('sum by (result) (rate(dependency_calls_total{dependency="payments"}[$__rate_interval]))', "{{result}}"), width=12),
        ]),
    ])


def alerts():
    histogram = "watchfire_incidents_time_to_{}_seconds"
    mean = lambda what: (f"sum(increase({histogram.format(what)}_sum[$__range])) / "  # noqa: E731
                         f"(sum(increase({histogram.format(what)}_count[$__range])) > 0) or vector(0)")
    return board("alert-status", "Alert status", "Groups, incidents, escalations, notifications", [
        ("Now", [
            number("Triggered", "Incidents nobody has acknowledged", "short", 'sum(watchfire_incidents{status="triggered"})', high=(1, 3)),
            number("Acknowledged", "Incidents somebody works on", "short", 'sum(watchfire_incidents{status="acknowledged"})', high=(3, 10)),
            number("Firing alerts", "Held by Watchfire", "short", 'sum(watchfire_alerts_active{state="firing"})', high=(2, 10)),
            number("Groups", "Of alerts that are announced together", "short", "sum(watchfire_groups)"),
            number("Silences", "In force", "short", 'sum(watchfire_silences{state="active"})', high=(1, 10)),
            number("Waiting messages", "Decided and not yet delivered", "short", "sum(watchfire_outbox_pending)", high=(10, 100)),
        ]),
        ("People", [
            number("MTTA", "Mean time to acknowledge, over the range shown", "s", mean("acknowledge"), width=6,
                   high=(300, 900), zero="nothing yet"),
            number("MTTR", "Mean time to resolve, over the range shown", "s", mean("resolve"), width=6,
                   high=(3600, 14400), zero="nothing yet"),
            number("Escalated", "Steps after the first, over the range shown", "short",
                   'sum(increase(watchfire_incidents_events_total{event="escalated"}[$__range]))', width=6, high=(1, 10)),
            number("Nobody answered", "Policies that ran out, over the range shown", "short",
                   'sum(increase(watchfire_incidents_events_total{event="exhausted"}[$__range]))', width=6, high=(1, 1)),
        ]),
        ("Over time", [
            lines("Incidents", "By status", "short", ('watchfire_incidents{status=~"triggered|acknowledged"}', "{{status}}"), stack=True),
            lines("Events", "Lines of timelines a second", "ops",
                  ('sum by (event) (rate(watchfire_incidents_events_total{event=~"opened|paged|escalated|acknowledged|resolved"}[$__rate_interval]))',
                   "{{event}}")),
            lines("Alerts received", "A second, by door", "ops",
                  ("sum by (door) (rate(watchfire_alerts_received_total[$__rate_interval]))", "{{door}}")),
            lines("Messages", "Delivered a second, by integration", "ops",
                  ("sum by (integration) (rate(watchfire_notifications_sent_total[$__rate_interval]))", "{{integration}}")),
            lines("Messages that fail", "Given up, and tried again, a second", "ops",
                  ("sum by (integration) (rate(watchfire_notifications_failed_total[$__rate_interval]))", "given up {{integration}}"),
                  ("sum by (integration) (rate(watchfire_notifications_retried_total[$__rate_interval]))", "again {{integration}}")),
            lines("Alertmanager's messages", "A second", "ops",
                  ('sum by (integration) (rate(alertmanager_notifications_total{integration="webhook"}[$__rate_interval]))', "sent {{integration}}"),
                  ('sum by (integration) (rate(alertmanager_notifications_failed_total{integration="webhook"}[$__rate_interval]))', "failed {{integration}}")),
        ]),
        ("What fires", [
            rows("Firing", "Each alert of Prometheus", None,
                 ('ALERTS{alertstate="firing"}', ""), width=24),
        ]),
    ])


def service():
    one = 'service="$service"'
    return board("service-detail", "Service detail", "One service with everything it stands on", [
        ("$service", [
            number("Requests", "Answered a second", "reqps", f"sum(job:http_requests:rate5m{{{one}}})"),
            number("Errors", "Share answered 5xx", "percentunit", f"max(job:http_requests_errors:ratio_rate5m{{{one}}})", high=ERRORS),
            number("95th percentile", "One of twenty requests takes longer", "s",
                   f"max(job:http_request_duration_seconds:p95_rate5m{{{one}}})", high=LATENCY),
            number("Worst check", "2 healthy, 1 degraded, 0 unhealthy", "short", f"min(app_health_status{{{one}}})", low=(2, 1)),
            number("Error budget", "Left of this month's 0.1%, were it all like the last six hours", "percentunit",
                   f"1 - max(slo:http_requests_errors:ratio_rate6h{{{one}}}) / 0.001", low=(0.5, 0.2)),
            number("Targets up", "Of the service and what it stands on", "percentunit", f"avg(up{{{one}}})", low=(1, 0.9)),
        ]),
        ("Checks and probes", [
            states("Health checks", "2 healthy, 1 degraded, 0 unhealthy", (f"app_health_status{{{one}}}", "{{check}}"), width=12, low=(2, 1)),
            states("Probes from outside", "1 answers, 0 does not", (f"probe_success{{{one}}}", "{{instance}}"), width=12, low=(1, 1)),
            lines("Time of checks", "Last run", "s", (f"app_health_check_duration_seconds{{{one}}}", "{{check}}"), width=12),
            lines("Time of probes", "Name, connection and answer", "s", (f"probe_duration_seconds{{{one}}}", "{{instance}}"), width=12,
                  high=(0.25, 0.5)),
        ]),
        ("Burn rate", [
            lines("Budget burnt", "Share of failed requests in four windows; above 1.44% in both 5m and 1h somebody is paged", "percentunit",
                  *[(f"slo:http_requests_errors:ratio_rate{w}{{{one}}}", w) for w in ("5m", "30m", "1h", "6h")],
                  width=24, high=(0.006, 0.0144)),
        ]),
    ], variables=[SERVICE])


def realtime():
    return board("real-time", "Real-time", "The last minutes, every five seconds", [
        ("Now", [
            lines("Requests", "A second, by status class", "reqps", ("sum by (status) (rate(http_requests_total[1m]))", "{{status}}"),
                  width=12, stack=True),
            lines("95th percentile", "Over a minute", "s",
                  ("histogram_quantile(0.95, sum by (job, le) (rate(http_request_duration_seconds_bucket[1m])))", "{{job}}"),
                  width=12, high=LATENCY),
            lines("CPU", "Busy share over a minute", "percentunit",
                  ('1 - sum by (instance) (rate(node_cpu_seconds_total{mode="idle"}[1m])) / sum by (instance) (rate(node_cpu_seconds_total[1m]))',
                   "{{instance}}"), width=12, high=RATIO_HIGH, top=1),
            lines("Samples into Watchfire", "A second", "ops", ("sum(rate(watchfire_ingest_samples_total[1m]))", "samples"), width=12),
            states("Firing and pending", "How many of each; the watchdog is always there",
                   ('count by (alertname, alertstate) (ALERTS)', "{{alertname}} {{alertstate}}"), high=(1, 2)),
        ]),
    ], refresh="5s", since="now-15m")


def trends():
    compare = (dashboard.CustomVariable("compare").label("Compared with")
               .values("1d,1w,4w"))
    before = "offset $compare"
    pair = lambda expr, what: ((expr, f"{what} now"), (f"{expr} {before}", f"{what} before"))  # noqa: E731
    return board("trends-and-capacity", "Trends and capacity", "This week and an earlier one; when things will be full", [
        ("Compared with an earlier time", [
            lines("Requests", "A second", "reqps", *pair("job:http_requests:rate5m", "{{job}}"), width=12),
            lines("95th percentile", "Over five minutes", "s", *pair("job:http_request_duration_seconds:p95_rate5m", "{{job}}"),
                  width=12, high=LATENCY),
            lines("CPU", "Busy share", "percentunit", *pair("instance:node_cpu_busy:ratio_rate5m", "{{instance}}"), width=12, top=1),
            lines("Database", "Bytes of the shop's database", "bytes", *pair('pg_database_size_bytes{datname="shop"}', "shop"), width=12),
        ]),
        ("When it will be full", [
            lines("Disks in 24 hours", "Bytes free by then, at the pace of the last hour", "bytes",
                  ('predict_linear(node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs|ramfs|devtmpfs"}[1h], 24 * 3600)',
                   "{{instance}} {{mountpoint}}"), width=12),
            lines("Uploads", "Share used", "percentunit", ("job:app_storage_used:ratio", "{{service}}"), width=12, high=(0.85, 0.95), top=1),
            lines("Redis in 24 hours", "Bytes used by then, at the pace of the last hour", "bytes",
                  ("predict_linear(redis_memory_used_bytes[1h], 24 * 3600)", "by then"), ("redis_memory_max_bytes", "most"), width=12),
            lines("Memory in 24 hours", "Bytes available by then, at the pace of the last hour", "bytes",
                  ("predict_linear(node_memory_MemAvailable_bytes[1h], 24 * 3600)", "{{instance}}"), width=12),
        ]),
    ], since="now-7d", refresh="5m", variables=[compare])


def history():
    return board("alert-history", "Alert history", "What fired, for how long", [
        ("Fired", [
            states("Alerts", "Pending and firing", ('count by (alertname, alertstate) (ALERTS)', "{{alertname}} {{alertstate}}"), high=(1, 2)),
            rows("Time in alert", "Share of the range shown in which it fired", "percentunit",
                 ('sort_desc(sum by (alertname, severity) (count_over_time(ALERTS{alertstate="firing"}[$__range])) / '
                  'on () group_left () max(count_over_time(ALERTS{alertname="Watchdog", alertstate="firing"}[$__range])))', ""), width=12),
            lines("Firing by severity", "Alerts at once", "short", ('sum by (severity) (ALERTS{alertstate="firing"})', "{{severity}}"),
                  width=12, stack=True),
        ]),
        ("Incidents", [
            number("Opened", "Over the range shown", "short", 'sum(increase(watchfire_incidents_events_total{event="opened"}[$__range]))', width=6),
            number("Resolved", "Over the range shown", "short", 'sum(increase(watchfire_incidents_events_total{event="resolved"}[$__range]))', width=6),
            number("Reopened", "Over the range shown", "short", 'sum(increase(watchfire_incidents_events_total{event="reopened"}[$__range]))', width=6),
            number("Pages", "Over the range shown", "short", 'sum(increase(watchfire_incidents_events_total{event="paged"}[$__range]))', width=6),
            bars("Time to acknowledge", "Incidents acknowledged within, over the range shown", "short",
                 ("sum by (le) (increase(watchfire_incidents_time_to_acknowledge_seconds_bucket[$__range]))", "{{le}}s"), width=12),
            bars("Time to resolve", "Incidents resolved within, over the range shown", "short",
                 ("sum by (le) (increase(watchfire_incidents_time_to_resolve_seconds_bucket[$__range]))", "{{le}}s"), width=12),
        ]),
    ], since="now-24h")


def watchfire():
    p99 = lambda name: f"histogram_quantile(0.99, sum by (le) (rate({name}_bucket[5m])))"  # noqa: E731
    return board("watchfire", "Watchfire", "Watchfire itself", [
        ("Taking in", [
            lines("Samples", "Taken a second", "ops", ("rate(watchfire_ingest_samples_total[$__rate_interval])", "{{instance}}")),
            lines("Remote-write requests", "A second, by status", "reqps",
                  ("sum by (code) (rate(watchfire_ingest_requests_total[$__rate_interval]))", "{{code}}"), stack=True),
            lines("Samples not taken", "A second, by reason", "ops",
                  ("sum by (reason) (rate(watchfire_ingest_rejected_samples_total[$__rate_interval]))", "{{reason}}")),
            lines("Series", "In the window", "short", ("watchfire_head_series", "{{instance}}")),
            lines("Memory", "Of the process, and of the window", "bytes",
                  ('process_resident_memory_bytes{job="watchfire"}', "process {{instance}}"), ("watchfire_head_bytes", "window {{instance}}"),
                  high=(100 * 2**20, 128 * 2**20)),
            lines("CPU", "Cores", "short", ('rate(process_cpu_seconds_total{job="watchfire"}[$__rate_interval])', "{{instance}}")),
        ]),
        ("Deciding", [
            lines("Rules", "Evaluations and failures a second", "ops",
                  ("rate(watchfire_rules_evaluations_total[$__rate_interval])", "evaluated"),
                  ("rate(watchfire_rules_evaluation_failures_total[$__rate_interval])", "failed")),
            lines("Time of a part of the rules", "99th percentile of what is evaluated at once: arrivals together, or a millisecond of a slot", "s", (p99("watchfire_rules_evaluation_duration_seconds"), "p99")),
            lines("Missed slots", "Of rule groups, within five minutes", "short", ("increase(watchfire_rules_missed_slots_total[5m])", "{{instance}}")),
            lines("Time to decide", "99th percentile of a batch", "s", (p99("watchfire_inbox_decide_duration_seconds"), "p99")),
            lines("Time to commit", "99th percentile", "s",
                  # Nothing is committed while nothing happens.
                  (p99("watchfire_store_commit_duration_seconds") + " >= 0 or vector(0)", "p99")),
            lines("Inbox", "Inputs that wait, and that were refused within five minutes", "short",
                  ("watchfire_inbox_depth", "wait"), ("increase(watchfire_inbox_refused_total[5m])", "refused")),
        ]),
        ("Telling", [
            lines("Messages", "A second, by integration", "ops",
                  ("sum by (integration) (rate(watchfire_notifications_sent_total[$__rate_interval]))", "{{integration}}")),
            lines("Waiting", "By destination", "short", ("watchfire_notifications_queue", "{{receiver}} {{integration}}")),
            states("Breakers", "1: a destination is only probed", ("watchfire_notifications_breaker_open", "{{receiver}} {{integration}}"), width=8,
                   high=(1, 1)),
        ]),
    ])


BOARDS = (system, application, database, business, alerts, service, realtime, trends, history, watchfire)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is checked in")
    check = parser.parse_args().check
    stale = []
    for build in BOARDS:
        uid, built = build()
        text = JSONEncoder(sort_keys=True, indent=1).encode(built.build()) + "\n"
        path = HERE / "dashboards" / f"{uid}.json"
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        print(f"not what build.py makes: {', '.join(stale)}; run it without --check", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
