"""PostgreSQL: one pool, every query timed and counted."""

import time
from contextlib import asynccontextmanager

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from . import metrics

POOL_MAX = 25
# A request that gets no connection within this is told so instead of waiting on.
WAIT_SECONDS = 3.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id bigserial PRIMARY KEY, name text NOT NULL UNIQUE, password text NOT NULL, step text NOT NULL DEFAULT 'signed_up');
CREATE TABLE IF NOT EXISTS memories (
    id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, text text NOT NULL, vector float4[] NOT NULL);
CREATE TABLE IF NOT EXISTS edges (
    a bigint NOT NULL REFERENCES memories, b bigint NOT NULL REFERENCES memories, PRIMARY KEY (a, b));
CREATE TABLE IF NOT EXISTS sessions (
    id bigserial PRIMARY KEY, owner bigint NOT NULL REFERENCES users, ended bool NOT NULL DEFAULT false);
CREATE INDEX IF NOT EXISTS edges_b ON edges (b);
"""


class Unavailable(Exception):
    """The database cannot be asked now: 503 for whoever needs it."""


class Database:
    def __init__(self, url: str):
        self.pool = AsyncConnectionPool(
            url, min_size=4, max_size=POOL_MAX, timeout=WAIT_SECONDS, open=False, reconnect_timeout=5,
            check=AsyncConnectionPool.check_connection, kwargs={"autocommit": True, "connect_timeout": 2},
        )
        metrics.db_pool_max.set(POOL_MAX)

    async def open(self) -> None:
        await self.pool.open()
        async with self.pool.connection() as connection:
            await connection.execute(SCHEMA)

    async def close(self) -> None:
        await self.pool.close(timeout=2)

    @asynccontextmanager
    async def _connection(self):
        try:
            async with self.pool.connection() as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise Unavailable(str(error)) from error

    async def rows(self, operation: str, query: str, parameters: tuple = ()) -> list[tuple]:
        """Runs one query; `operation` is `select`, `insert` or `search`."""
        status = "error"
        try:
            async with self._connection() as connection:
                started = time.perf_counter()
                try:
                    cursor = await connection.execute(query, parameters)
                    rows = await cursor.fetchall() if cursor.description else []
                    status = "ok"
                    return rows
                finally:
                    metrics.db_duration.labels(operation).observe(time.perf_counter() - started)
        finally:
            metrics.db_queries.labels(operation, status).inc()

    async def hold(self, seconds: float) -> None:
        """Keeps one connection busy: chaos `pool`."""
        async with self._connection() as connection:
            await connection.execute("SELECT pg_sleep(%s)", (seconds,))

    def measure(self) -> None:
        stats = self.pool.get_stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        metrics.db_pool.labels("in_use").set(size - idle)
        metrics.db_pool.labels("idle").set(idle)
        metrics.db_pool_waiting.set(stats.get("requests_waiting", 0))
