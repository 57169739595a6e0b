"""The service next door, behind a circuit breaker: after some failures it is left alone for a while."""

import time

import httpx

from . import metrics

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 30.0
CLOSED, OPEN, TRYING = 0, 1, 2


class Payments:
    def __init__(self, url: str, open_seconds: float):
        self.client = httpx.AsyncClient(base_url=url, timeout=1.0)
        self.open_seconds = open_seconds
        self.failures = 0
        self.opened_at: float | None = None
        self._state(CLOSED)

    async def close(self) -> None:
        await self.client.aclose()

    def _state(self, state: int) -> None:
        self.state = state
        metrics.breaker_state.labels("payments").set(state)

    async def charge(self) -> bool:
        """True when paid; false means: deferred, the order stands and is charged later."""
        if self.state == OPEN:
            if time.monotonic() - self.opened_at < self.open_seconds:
                metrics.dependency_calls.labels("payments", "refused").inc()
                return False
            self._state(TRYING)
        try:
            answer = await self.client.post("/charge")
            answer.raise_for_status()
        except httpx.HTTPError:
            metrics.dependency_calls.labels("payments", "error").inc()
            self.failures += 1
            if self.state == TRYING or self.failures >= FAILURES_TO_OPEN:
                self.opened_at = time.monotonic()
                self._state(OPEN)
            return False
        metrics.dependency_calls.labels("payments", "ok").inc()
        self.failures = 0
        self._state(CLOSED)
        return True
