"""Health checks: all at once, each with its own time-out; the whole is as bad as the worst of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from . import metrics

HEALTHY, DEGRADED, UNHEALTHY = 2, 1, 0
NAMES = {HEALTHY: "healthy", DEGRADED: "degraded", UNHEALTHY: "unhealthy"}
TIMEOUT_SECONDS = 2.0
# Without these nothing useful can be answered: not ready. The others only make us worse.
CRITICAL = ("database",)


class Health:
    def __init__(self):
        self.checks: dict[str, Callable[[], Awaitable[int]]] = {}

    def add(self, name: str, check: Callable[[], Awaitable[int]]) -> None:
        self.checks[name] = check

    async def _one(self, name: str) -> dict:
        started, error = time.perf_counter(), None
        try:
            state = await asyncio.wait_for(self.checks[name](), TIMEOUT_SECONDS)
        except Exception as failed:  # a check may fail in any way; it must not take the others with it
            state, error = UNHEALTHY, type(failed).__name__
        took = time.perf_counter() - started
        metrics.health_status.labels(name).set(state)
        metrics.health_duration.labels(name).set(took)
        said = {"status": NAMES[state], "duration_ms": round(took * 1000, 1)}
        return said if error is None else {**said, "error": error}

    async def report(self) -> dict:
        names = list(self.checks)
        results = dict(zip(names, await asyncio.gather(*map(self._one, names))))
        order = [NAMES[UNHEALTHY], NAMES[DEGRADED], NAMES[HEALTHY]]
        worst = min((r["status"] for r in results.values()), key=order.index, default=NAMES[HEALTHY])
        return {"status": worst, "checks": results}

    @staticmethod
    def ready(report: dict) -> bool:
        return all(report["checks"][name]["status"] != NAMES[UNHEALTHY] for name in CRITICAL if name in report["checks"])


async def timed(operation: Awaitable, healthy_seconds: float, degraded_seconds: float) -> int:
    """Answers count by how long they take."""
    started = time.perf_counter()
    await operation
    took = time.perf_counter() - started
    return HEALTHY if took <= healthy_seconds else DEGRADED if took <= degraded_seconds else UNHEALTHY
