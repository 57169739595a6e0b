"""The application: routes, and the background work that measures and works off the queue.

Start it with `uvicorn shop.main:app`; settings.py says what the environment may set.
"""

import asyncio
import hashlib
import logging
import time
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from redis.exceptions import RedisError

from . import logs, metrics
from .cache import Cache
from .chaos import MODES, chaos
from .database import POOL_MAX, Database, Unavailable
from .health import DEGRADED, HEALTHY, UNHEALTHY, Health, timed
from .payments import CLOSED, OPEN_SECONDS, Payments
from .settings import Settings
from .storage import Storage

logs.set_up()
log = logging.getLogger("shop")
settings = Settings()
database = Database(settings.database_url)
cache = Cache(settings.redis_url, settings.seconds(300))
payments = Payments(settings.payments_url, settings.seconds(OPEN_SECONDS))
storage = Storage(settings.storage_dir, settings.storage_capacity)
health = Health()
VECTOR = 8
SLOW_SECONDS = 2.5


# ---- background ------------------------------------------------------------------------------------------------------

async def for_ever(every: float, work) -> None:
    while True:
        try:
            await work()
        except (RedisError, Unavailable, OSError) as error:
            log.warning("background work failed: %s", error)
        await asyncio.sleep(every)


async def measure() -> None:
    database.measure()
    storage.measure()
    await cache.measure()


async def work_off() -> None:
    """One extraction after the other until the queue is empty."""
    while "queue" not in chaos and (job := await cache.dequeue()) is not None:
        started, status = time.perf_counter(), "error"
        try:
            await extract(job["user"], job["text"])
            status = "ok"
        finally:
            metrics.queue_processed.labels("extraction", status).inc()
            metrics.queue_duration.labels("extraction").observe(time.perf_counter() - started)


async def break_things() -> None:
    if "disk" in chaos:
        # Full within a quarter of an hour.
        storage.grow(int(settings.storage_capacity / 900 * settings.pace * settings.seconds(10)))


async def check_health() -> None:
    await health.report()


async def check_database() -> int:
    return await timed(database.rows("select", "SELECT 1"), 0.1, 0.5)


async def check_cache() -> int:
    return await timed(cache.redis.ping(), 0.05, 0.25)


async def check_storage() -> int:
    share = storage.used() / storage.capacity
    return HEALTHY if share < 0.85 else DEGRADED if share < 0.95 else UNHEALTHY


async def check_payments() -> int:
    # While the breaker tries again nothing is known to be better.
    return HEALTHY if payments.state == CLOSED else DEGRADED


@asynccontextmanager
async def life(_: FastAPI):
    await database.open()
    for name, check in (("database", check_database), ("cache", check_cache),
                        ("storage", check_storage), ("payments", check_payments)):
        health.add(name, check)
    every = settings.seconds(5)
    work = [(min(every, 1.0), measure), (0.1, work_off), (every, check_health), (settings.seconds(10), break_things)]
    tasks = [asyncio.create_task(for_ever(pause, what)) for pause, what in work]
    yield
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    await asyncio.gather(database.close(), cache.close(), payments.close())


# ---- application -----------------------------------------------------------------------------------------------------

app = FastAPI(title="shop", lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(Unavailable)
async def unavailable(_: Request, error: Unavailable):
    log.error("database unavailable: %s", error)
    return JSONResponse({"detail": "the database is not available"}, 503, {"retry-after": "5"})


def maybe_fail() -> None:
    if chaos.fail_now():
        raise RuntimeError("broken on purpose")


Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Credentials(BaseModel):
    name: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=128)


class Memory(BaseModel):
    user: int
    text: Text


class Batch(BaseModel):
    user: int
    texts: list[Text] = Field(max_length=500)


def scramble(name: str, password: str) -> str:
    # Few rounds: this is an example under load, not a place for real passwords.
    return hashlib.pbkdf2_hmac("sha256", password.encode(), name.encode(), 1000).hex()


def vector_of(text: str) -> list[float]:
    """A small, stable embedding: good enough to search by."""
    digest = hashlib.sha256(" ".join(sorted(text.lower().split())).encode()).digest()
    return [byte / 255 for byte in digest[:VECTOR]]


@app.post("/users", status_code=201)
async def sign_up(who: Credentials):
    maybe_fail()
    rows = await database.rows(
        "insert", "INSERT INTO users (name, password) VALUES (%s, %s) ON CONFLICT DO NOTHING RETURNING id",
        (who.name, scramble(who.name, who.password)))
    if not rows:
        raise HTTPException(409, "this name is taken")
    metrics.onboarding.labels("signed_up").inc()
    return {"id": rows[0][0]}


@app.post("/users/{user}/onboarding/{step}")
async def onboard(user: int, step: str):
    maybe_fail()
    if step not in metrics.ONBOARDING_STEPS[1:]:
        raise HTTPException(404, "no such step")
    if not await database.rows("insert", "UPDATE users SET step = %s WHERE id = %s RETURNING id", (step, user)):
        raise HTTPException(404, "no such user")
    metrics.onboarding.labels(step).inc()
    return {"step": step}


@app.get("/users/{user}")
async def profile(user: int):
    maybe_fail()
    await cache.seen(user)
    if known := await cache.get(f"user:{user}"):
        return known
    rows = await database.rows("select", "SELECT id, name, step FROM users WHERE id = %s", (user,))
    if not rows:
        raise HTTPException(404, "no such user")
    found = dict(zip(("id", "name", "step"), rows[0]))
    await cache.put(f"user:{user}", found)
    return found


@app.post("/login")
async def log_in(who: Credentials, request: Request):
    maybe_fail()
    rows = await database.rows("select", "SELECT id, password FROM users WHERE name = %s", (who.name,))
    if rows and rows[0][1] == scramble(who.name, who.password):
        metrics.authentications.labels("password", "success").inc()
        return {"id": rows[0][0]}
    metrics.authentications.labels("password", "failure").inc()
    await cache.failed_login(request.client.host if request.client else "unknown")
    raise HTTPException(401, "name or password is wrong")


@app.post("/sessions", status_code=201)
async def start_session(user: int):
    maybe_fail()
    rows = await database.rows("insert", "INSERT INTO sessions (owner) SELECT id FROM users WHERE id = %s RETURNING id",
                               (user,))
    if not rows:
        raise HTTPException(404, "no such user")
    metrics.sessions.labels("started").inc()
    metrics.sessions_active.inc()
    return {"id": rows[0][0]}


@app.post("/sessions/{session}/join")
async def join_session(session: int):
    maybe_fail()
    if not await database.rows("select", "SELECT id FROM sessions WHERE id = %s AND NOT ended", (session,)):
        raise HTTPException(404, "no such session")
    metrics.sessions.labels("joined").inc()
    return {"id": session}


@app.post("/sessions/{session}/end")
async def end_session(session: int):
    maybe_fail()
    if not await database.rows(
            "insert", "UPDATE sessions SET ended = true WHERE id = %s AND NOT ended RETURNING id", (session,)):
        raise HTTPException(404, "no such session")
    metrics.sessions.labels("ended").inc()
    metrics.sessions_active.dec()
    return {"id": session}


@asynccontextmanager
async def memory_operation(kind: str):
    started, status = time.perf_counter(), "error"
    try:
        yield
        status = "ok"
    finally:
        metrics.memory_operations.labels(kind, status).inc()
        metrics.memory_duration.labels(kind).observe(time.perf_counter() - started)


@app.post("/memories", status_code=201)
async def remember(memory: Memory):
    """A node of the graph, with an edge to the user's memory before it."""
    maybe_fail()
    async with memory_operation("graph"):
        rows = await database.rows(
            "insert",
            "WITH before AS (SELECT max(id) AS id FROM memories WHERE user_id = %(user)s), node AS ("
            " INSERT INTO memories (user_id, text, vector) VALUES (%(user)s, %(text)s, %(vector)s) RETURNING id), edge AS ("
            " INSERT INTO edges SELECT before.id, node.id FROM before, node WHERE before.id IS NOT NULL)"
            " SELECT id FROM node",
            {"user": memory.user, "text": memory.text, "vector": vector_of(memory.text)})
        return {"id": rows[0][0]}


@app.get("/memories/search")
async def search(q: str):
    maybe_fail()
    async with memory_operation("vector"):
        nap = SLOW_SECONDS if "slow" in chaos else 0
        rows = await database.rows(
            "search",
            "SELECT m.id, m.text, (SELECT sum(a * b) FROM unnest(m.vector, %s::float4[]) AS t(a, b)) AS score"
            " FROM (SELECT * FROM memories ORDER BY id DESC LIMIT 200) m, pg_sleep(%s) ORDER BY score DESC NULLS LAST LIMIT 5",
            (vector_of(q), nap))
        return [{"id": i, "text": text, "score": score} for i, text, score in rows]


@app.get("/memories/{memory}/neighbours")
async def neighbours(memory: int):
    maybe_fail()
    async with memory_operation("graph"):
        rows = await database.rows("select", "SELECT b FROM edges WHERE a = %s UNION SELECT a FROM edges WHERE b = %s",
                                   (memory, memory))
        return [row[0] for row in rows]


async def extract(user: int, text: str) -> None:
    """Keeps each sentence of a text as a memory of its own."""
    async with memory_operation("extraction"):
        for sentence in filter(None, (part.strip() for part in text.split("."))):
            await database.rows("insert", "INSERT INTO memories (user_id, text, vector) VALUES (%s, %s, %s)",
                                (user, sentence, vector_of(sentence)))


@app.post("/memories/extract", status_code=202)
async def extract_later(memory: Memory):
    maybe_fail()
    if not await cache.enqueue({"user": memory.user, "text": memory.text}):
        await extract(memory.user, memory.text)  # no queue: at once
    return {"accepted": True}


@app.post("/imports", status_code=202)
async def import_texts(batch: Batch):
    maybe_fail()
    for text in batch.texts:
        if not await cache.enqueue({"user": batch.user, "text": text}):
            await extract(batch.user, text)
    return {"accepted": len(batch.texts)}


@app.post("/orders", status_code=201)
async def order():
    maybe_fail()
    return {"paid": await payments.charge()}


# ---- health and chaos ------------------------------------------------------------------------------------------------

@app.get("/health/live")
async def live():
    return {"status": "healthy"}


@app.get("/health/ready")
async def ready():
    report = await health.report()
    return JSONResponse(report, 200 if health.ready(report) else 503)


@app.get("/health")
async def whole():
    report = await health.report()
    return JSONResponse(report, 503 if report["status"] == "unhealthy" else 200)


class Mode(BaseModel):
    mode: str
    on: bool


holders: list[asyncio.Task] = []


@app.post("/chaos")
async def break_or_mend(change: Mode):
    if not settings.chaos:
        raise HTTPException(403, "chaos is off; SHOP_CHAOS=1 allows it")
    if change.mode not in MODES:
        raise HTTPException(404, f"modes are {', '.join(MODES)}")
    (chaos.on.add if change.on else chaos.on.discard)(change.mode)
    if change.mode == "disk" and not change.on:
        storage.clean()
    if change.mode == "pool":
        # All connections but one are held, so that the pool is full and requests still pass, one after the other.
        for task in holders:
            task.cancel()
        holders[:] = [asyncio.create_task(database.hold(3600)) for _ in range(POOL_MAX - 1 if change.on else 0)]
    log.warning("chaos", extra={"fields": {"mode": change.mode, "on": change.on}})
    return {"on": sorted(chaos.on)}


metrics.prepare()
metrics.instrument(app)
app.add_middleware(logs.RequestIds)
