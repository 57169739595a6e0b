"""Traffic for the shop, and trouble.

    python traffic.py run [--url U] [--rate R] [--seconds S] [--summary FILE]     users at work, until stopped or S seconds
    python traffic.py chaos MODE --seconds S                                      breaks something for S seconds, then mends it
    python traffic.py strangers [--count N]                                       N requests for URLs that do not exist

`run` writes what it did as JSON: requests by `METHOD handler class`, and business events, as the shop must have counted them.
Modes: slow, errors, pool, dependency, brute-force, disk, cache, queue.
"""

import argparse
import asyncio
import itertools
import json
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import httpx

SHOP_MODES = {"slow", "errors", "pool", "cache", "queue", "disk"}
MODES = sorted(SHOP_MODES | {"dependency", "brute-force"})
TEXTS = ["the kettle is warm. the tea is green", "trains leave at noon", "blue paint dries slowly. red faster", "the cat knows"]


# 36 sign-ups an hour: enough for a rate of those who complete, and no surge (rules/business.yml).
NEWCOMER_SECONDS = 100


class Traffic:
    """Users at work; every answer is counted as the shop should have counted it."""

    def __init__(self, url: str, seed: int, newcomer_every: int, pulse: Path | None = None):
        self.client = httpx.AsyncClient(base_url=url, timeout=15, limits=httpx.Limits(max_connections=64))
        self.random = random.Random(seed)
        self.requests: Counter = Counter()
        self.events: Counter = Counter()
        # Sent, but without an answer: whether the shop counted these cannot be known.
        self.unanswered = 0
        self.users: list[tuple[int, str]] = []
        self.journeys = itertools.count()
        # Touched at each answer: who watches us sees that we live.
        self.pulse = pulse
        # One journey of so many is that of somebody new.
        self.newcomer_every = newcomer_every
        self.name = f"{int(time.time() * 1000):x}"

    async def ask(self, method: str, path: str, handler: str, **more) -> httpx.Response | None:
        try:
            answer = await self.client.request(method, path, **more)
        except httpx.HTTPError as error:
            print(f"{method} {path}: {error!r}", file=sys.stderr)
            self.unanswered += 1
            return None
        self.requests[f"{method} {handler} {answer.status_code // 100}xx"] += 1
        if self.pulse:
            self.pulse.touch()
        return answer

    async def sign_up(self, number: int) -> None:
        name = f"user-{self.name}-{number}"
        answer = await self.ask("POST", "/users", "/users", json={"name": name, "password": "a long password"})
        if answer is None or answer.status_code != 201:
            return
        self.events["signed_up"] += 1
        user = answer.json()["id"]
        self.users = [*self.users[-19:], (user, name)]
        # Nine of ten go through to the end.
        steps = ("profile", "team", "completed") if number % 10 else ("profile",)
        for step in steps:
            answer = await self.ask("POST", f"/users/{user}/onboarding/{step}", "/users/{user}/onboarding/{step}")
            if answer is None or answer.status_code != 200:
                return
            self.events[step] += 1

    async def meet(self, user: int) -> None:
        answer = await self.ask("POST", f"/sessions?user={user}", "/sessions")
        if answer is None or answer.status_code != 201:
            return
        session = answer.json()["id"]
        await self.ask("POST", f"/sessions/{session}/join", "/sessions/{session}/join")
        await self.ask("POST", f"/sessions/{session}/end", "/sessions/{session}/end")

    async def log_in(self, name: str, number: int) -> None:
        # One of thirty mistypes.
        wrong = number % 30 == 29
        body = {"name": name, "password": "mistyped" if wrong else "a long password"}
        source = f"198.51.100.{self.random.randrange(1, 200)}"
        answer = await self.ask("POST", "/login", "/login", json=body, headers={"x-forwarded-for": source})
        if answer is not None and answer.status_code in (200, 401):
            self.events["login_failure" if answer.status_code == 401 else "login_success"] += 1

    async def journey(self) -> None:
        """One thing that a user does; the mix is fixed, so that ratios hold in each short window."""
        number = next(self.journeys)
        if not self.users or number % self.newcomer_every == 0:
            return await self.sign_up(number // self.newcomer_every)
        user, name = self.random.choice(self.users)
        text = self.random.choice(TEXTS)
        match number % 10:
            case 1:
                await self.log_in(name, number // 10)
            case 2:
                await self.ask("POST", "/memories", "/memories", json={"user": user, "text": text})
            case 3 | 7:
                await self.ask("GET", f"/memories/search?q={text[:9]}", "/memories/search")
            case 4:
                await self.ask("POST", "/memories/extract", "/memories/extract", json={"user": user, "text": text})
            case 5:
                await self.ask("POST", "/orders", "/orders")
            case 6 if number % 50 == 6:
                await self.meet(user)
            case 8:
                await self.ask("GET", "/memories/1/neighbours", "/memories/{memory}/neighbours")
            case 9 if number % 100 == 99:
                await self.ask("GET", "/users/0", "/users/{user}")
            case _:
                await self.ask("GET", f"/users/{user}", "/users/{user}")

    async def run(self, rate: float, until: asyncio.Event, seconds: float | None) -> None:
        """Starts a journey every 1/rate seconds, whatever the answers take; at most 48 are under way."""
        under_way: set[asyncio.Task] = set()
        began = time.monotonic()
        for number in itertools.count():
            due = began + number / rate
            if until.is_set() or (seconds is not None and due - began >= seconds):
                break
            try:
                await asyncio.wait_for(until.wait(), max(0, due - time.monotonic()))
            except TimeoutError:
                pass
            if len(under_way) < 48:
                task = asyncio.create_task(self.journey())
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way)

    def summary(self) -> dict:
        return {"requests": dict(sorted(self.requests.items())), "events": dict(sorted(self.events.items())),
                "unanswered": self.unanswered}


async def run(options) -> None:
    newcomer_every = max(1, round(options.rate * NEWCOMER_SECONDS / options.pace))
    traffic, until = Traffic(options.url, options.seed, newcomer_every, options.pulse), asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, until.set)
    await traffic.run(options.rate, until, options.seconds)
    text = json.dumps(traffic.summary(), indent=1)
    if options.summary:
        with open(options.summary, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    else:
        print(text)


async def chaos(options) -> None:
    until = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, until.set)
    mode = options.mode
    async with httpx.AsyncClient(base_url=options.url, timeout=15) as shop:

        async def switch(on: bool) -> None:
            if mode in SHOP_MODES:
                (await shop.post("/chaos", json={"mode": mode, "on": on})).raise_for_status()
            elif mode == "dependency":
                async with httpx.AsyncClient(base_url=options.payments_url) as payments:
                    (await payments.post("/fail" if on else "/mend")).raise_for_status()

        async def pressure() -> None:
            if mode == "brute-force":
                await shop.post("/login", json={"name": "admin", "password": "guess"},
                                headers={"x-forwarded-for": "203.0.113.9"})
            elif mode == "queue" and sent < 4:
                await shop.post("/imports", json={"user": 1, "texts": ["one job of many"] * 400})

        await switch(True)
        try:
            end, sent = time.monotonic() + options.seconds, 0
            while time.monotonic() < end and not until.is_set():
                await pressure()
                sent += 1
                try:
                    await asyncio.wait_for(until.wait(), 0.15)
                except TimeoutError:
                    pass
        finally:
            await switch(False)


async def strangers(options) -> None:
    """URLs that nobody planned: they must not become series. Sent over plain sockets, because a client library takes longer
    over a request than the shop."""
    place = urlsplit(options.url)
    numbers, seen = iter(range(options.count)), Counter()

    async def sender() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        for number in numbers:
            path = f"/{random.getrandbits(64):x}/{number}.php?{random.getrandbits(32):x}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.partition("content-length:")[2].split(maxsplit=1)[0]))
            seen[head.split(maxsplit=2)[1]] += 1
        writer.close()

    await asyncio.gather(*(sender() for _ in range(16)))
    print(json.dumps(dict(seen)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("run", run), ("chaos", chaos), ("strangers", strangers)):
        command = commands.add_parser(name)
        command.set_defaults(work=work)
        command.add_argument("--url", default="http://127.0.0.1:8000")
        if name == "run":
            command.add_argument("--rate", type=float, default=12.0, help="journeys a second")
            command.add_argument("--pace", type=float, default=1.0, help="how much faster than real time the shop's time runs")
            command.add_argument("--seconds", type=float)
            command.add_argument("--seed", type=int, default=1)
            command.add_argument("--summary", help="file for what was done")
            command.add_argument("--pulse", type=Path, help="file that is touched at each answer")
        elif name == "chaos":
            command.add_argument("mode", choices=MODES)
            command.add_argument("--payments-url", default="http://127.0.0.1:8001")
            command.add_argument("--seconds", type=float, default=60.0)
        else:
            command.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    asyncio.run(options.work(options))


if __name__ == "__main__":
    sys.exit(main())
