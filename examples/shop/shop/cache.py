"""Redis: cache, queue and counters of failed log-ins. Without it the shop is slower, not down."""

import json
import logging
import time

import redis.asyncio as redis
from redis.exceptions import RedisError

from . import metrics
from .chaos import chaos

log = logging.getLogger("cache")
QUEUE = "shop:queue:extraction"
# The oldest jobs stay, new ones are refused beyond this: a queue without a bound fills the memory.
QUEUE_MAX = 20_000
TTL_SECONDS = 300
WORST, SEEN = "shop:auth:failures", "shop:seen"


class Cache:
    def __init__(self, url: str, window_seconds: float):
        self.redis = redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, decode_responses=True)
        self.window = window_seconds

    async def close(self) -> None:
        await self.redis.aclose()

    async def get(self, key: str):
        try:
            text = None if "cache" in chaos else await self.redis.get(f"shop:{key}")
        except RedisError:
            metrics.cache_requests.labels("error").inc()
            return None
        metrics.cache_requests.labels("miss" if text is None else "hit").inc()
        return None if text is None else json.loads(text)

    async def put(self, key: str, value) -> None:
        try:
            await self.redis.set(f"shop:{key}", json.dumps(value), ex=TTL_SECONDS)
        except RedisError as error:
            log.warning("not cached: %s", error)

    async def seen(self, user: int) -> None:
        await self._quietly(self.redis.zadd(SEEN, {str(user): time.time()}))

    async def failed_login(self, source: str) -> None:
        """Counts by address inside Redis; the metric holds the worst count only, so addresses never become labels."""
        now = time.time()
        await self._quietly(self.redis.zadd(WORST, {f"{now!r} {source}": now}))
        log.warning("log-in failed", extra={"fields": {"source": source}})

    async def enqueue(self, job: dict) -> bool:
        """False when there is no queue to put it in, or no room."""
        try:
            if await self.redis.llen(QUEUE) >= QUEUE_MAX:
                return False
            await self.redis.rpush(QUEUE, json.dumps(job))
            return True
        except RedisError:
            return False

    async def dequeue(self) -> dict | None:
        text = await self.redis.lpop(QUEUE)
        return None if text is None else json.loads(text)

    async def measure(self) -> None:
        """Raises `RedisError` when Redis is away: the gauges then keep their last values and the health check says so."""
        old = time.time() - self.window
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.llen(QUEUE)
            pipe.zremrangebyscore(SEEN, 0, old)
            pipe.zcard(SEEN)
            pipe.zremrangebyscore(WORST, 0, old)
            pipe.zrange(WORST, 0, -1)
            depth, _, seen, _, failures = await pipe.execute()
        by_source: dict[str, int] = {}
        for entry in failures:
            source = entry.partition(" ")[2]
            by_source[source] = by_source.get(source, 0) + 1
        metrics.queue_depth.labels("extraction").set(depth)
        metrics.active_users.set(seen)
        metrics.worst_source.set(max(by_source.values(), default=0))

    @staticmethod
    async def _quietly(command) -> None:
        try:
            await command
        except RedisError as error:
            log.warning("redis: %s", error)
