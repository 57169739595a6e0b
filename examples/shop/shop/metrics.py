"""Every metric of the shop. Labels come from closed lists: never a user, an address or a path that a stranger chose.

Counters are set up with all their label values, so that a rate is 0 before the first event instead of missing.
"""

from prometheus_client import Counter, Gauge, Histogram
from prometheus_fastapi_instrumentator import Instrumentator, metrics as described

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0)
STATUSES = ("2xx", "4xx", "5xx")
# The scrape and the probes are not the work that users wait for.
NOT_COUNTED = ("/metrics", "/health", "/health/live", "/health/ready", "/chaos")

http_requests = Counter("http_requests_total", "Requests answered", ("method", "handler", "status"))
http_duration = Histogram("http_request_duration_seconds", "Time to answer", ("method", "handler"), buckets=SECONDS)

db_queries = Counter("db_queries_total", "Queries", ("operation", "status"))
db_duration = Histogram("db_query_duration_seconds", "Time of a query, waiting for a connection excluded", ("operation",),
                        buckets=SECONDS)
db_pool = Gauge("db_pool_connections", "Connections of the pool", ("state",))
db_pool_max = Gauge("db_pool_max_connections", "Connections the pool may open")
db_pool_waiting = Gauge("db_pool_waiting_requests", "Requests that wait for a connection")

cache_requests = Counter("cache_requests_total", "Look-ups in the cache", ("result",))
queue_depth = Gauge("queue_depth", "Items waiting", ("queue",))
queue_processed = Counter("queue_processed_total", "Items worked off", ("queue", "status"))
queue_duration = Histogram("queue_processing_duration_seconds", "Time to work off an item", ("queue",), buckets=SECONDS)
breaker_state = Gauge("circuit_breaker_state", "0 closed, 1 open, 2 trying again", ("dependency",))
dependency_calls = Counter("dependency_calls_total", "Calls of other services", ("dependency", "result"))

authentications = Counter("user_authentication_total", "Log-ins", ("method", "status"))
worst_source = Gauge("auth_worst_source_failures",
                     "Failed log-ins of the worst single address within five minutes; the log names the address")
onboarding = Counter("user_onboarding_total", "Steps that users took", ("step",))
sessions = Counter("collaboration_sessions_total", "What happened to sessions", ("event",))
sessions_active = Gauge("collaboration_sessions_active", "Sessions that go on")
active_users = Gauge("active_users", "Users seen within five minutes")
memory_operations = Counter("memory_operations_total", "Operations on memories", ("operation", "status"))
memory_duration = Histogram("memory_operation_duration_seconds", "Time of an operation", ("operation",), buckets=SECONDS)

health_status = Gauge("app_health_status", "2 healthy, 1 degraded, 0 unhealthy", ("check",))
health_duration = Gauge("app_health_check_duration_seconds", "Time of the last check", ("check",))
storage_used = Gauge("app_storage_used_bytes", "Bytes of uploads kept")
storage_capacity = Gauge("app_storage_capacity_bytes", "Bytes of uploads that may be kept")

ONBOARDING_STEPS = ("signed_up", "profile", "team", "completed")
OPERATIONS = ("graph", "vector", "extraction")


def prepare() -> None:
    """Every label value that can occur, at 0."""
    for status in ("ok", "error"):
        for operation in ("select", "insert", "search"):
            db_queries.labels(operation, status)
        for operation in OPERATIONS:
            memory_operations.labels(operation, status)
        queue_processed.labels("extraction", status)
        dependency_calls.labels("payments", status)
    dependency_calls.labels("payments", "refused")
    for result in ("hit", "miss", "error"):
        cache_requests.labels(result)
    for status in ("success", "failure"):
        authentications.labels("password", status)
    for step in ONBOARDING_STEPS:
        onboarding.labels(step)
    for event in ("started", "joined", "ended"):
        sessions.labels(event)


def instrument(app) -> None:
    """RED metrics of every route by its template; all that is no route counts as the handler `none`."""

    def count(info: described.Info) -> None:
        handler = info.modified_handler
        http_requests.labels(info.method, handler, info.modified_status).inc()
        http_duration.labels(info.method, handler).observe(info.modified_duration)

    instrumentator = Instrumentator(
        excluded_handlers=[f"^{path}$" for path in NOT_COUNTED],
        should_instrument_requests_inprogress=True,
        inprogress_name="http_requests_inprogress",
        inprogress_labels=False,
    )
    instrumentator.add(count).instrument(app).expose(app, include_in_schema=False)
    for route in app.routes:
        for method in getattr(route, "methods", None) or ():
            if route.path not in NOT_COUNTED and method in ("GET", "POST") and getattr(route, "include_in_schema", False):
                for status in STATUSES:
                    http_requests.labels(method, route.path, status)
