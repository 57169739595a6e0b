"""The whole stack, checked end to end: healthy and quiet, counted to the request, broken in every way.

Each trouble must raise exactly its alerts, in Prometheus and in Watchfire alike, as one incident that is escalated, acknowledged
and resolved. Most of the time of a trouble is waiting, for a `for` or for a window to pass; therefore two stacks run beside each
other, each a lane of its own: one stays healthy and is counted while the other is being broken.
"""

import json
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from . import lint
from .files import SLOWER
from .host import Host
from .processes import ROOT, StackError, program, until
from .stack import Stack

ALWAYS = {"Watchdog"}
# Never later than this, whatever the pace: a busy machine must not fail the test, a missing alert must.
PATIENCE_SECONDS = 150


@dataclass(frozen=True)
class Trouble:
    """What is broken, and what must fire: exactly `must`, and perhaps `may` (where one failure spreads by chance of timing)."""

    name: str
    must: frozenset[str]
    may: frozenset[str] = frozenset()
    # A process to stop instead of a mode of the traffic script, and what Prometheus shows within two intervals.
    stops: str | None = None
    shows: str | None = None


def trouble(name: str, must: str, may: str = "", **more) -> Trouble:
    return Trouble(name, frozenset(must.split()), frozenset(may.split()), **more)


TROUBLES = [
    trouble("slow", "ApiLatencyElevated ApiLatencyHigh DatabaseQueriesSlow"),
    # Who holds a connection for so long has a transaction open.
    trouble("pool", "DatabasePoolHigh DatabasePoolCritical", "PostgresLongTransaction"),
    trouble("brute-force", "BruteForceAttack AuthFailureRateCritical"),
    trouble("cache", "CacheHitRateLow"),
    trouble("queue", "QueueBacklog QueueNotMoving"),
    trouble("dependency", "CircuitBreakerOpen ProbeFailed AppCheckDegraded"),
    trouble("disk", "AppStorageFillsUp AppStorageHigh AppStorageCritical AppCheckUnhealthy", "AppCheckDegraded"),
    trouble("redis stopped", "RedisDown ProbeFailed AppCheckUnhealthy", stops="redis", shows="redis_up"),
    # One step of four fails; of those who sign up meanwhile few complete.
    trouble("errors", "ApiErrorRateHigh ApiErrorRateCritical SloBudgetBurnsFast SloBudgetBurnsSlowly", "OnboardingConversionLow"),
    trouble("postgres stopped", "PostgresDown ProbeFailed AppCheckUnhealthy ApiErrorRateHigh ApiErrorRateCritical",
            # Requests wait for a connection, then fail; nothing that needs the database works.
            "SloBudgetBurnsFast SloBudgetBurnsSlowly ApiLatencyElevated ApiLatencyHigh ApiLatencyCritical MemoryOperationsFailing "
            "DatabasePoolHigh DatabasePoolCritical QueueNotMoving CacheHitRateLow DatabaseQueriesSlow OnboardingConversionLow "
            "TargetDown JobMostlyDown",
            stops="postgres", shows="pg_up"),
]


@dataclass(frozen=True)
class Lane:
    """What one stack goes through; the troubles in the order of TROUBLES."""

    name: str
    troubles: frozenset[str]
    # Healthy for the whole time, each query of rules and panels, each count, a replica lost; or only warm before the troubles.
    whole: bool = False


STOPPED = frozenset(one.name for one in TROUBLES if one.stops)
LANES = [Lane("healthy", STOPPED, whole=True), Lane("broken", frozenset(one.name for one in TROUBLES) - STOPPED)]
# Of the rules' time, ten minutes: by then nothing that a start could raise has stayed silent for its `for`.
WARM_SECONDS = 600
# How long nothing may fire in a lane that is healthy as a whole.
HEALTHY_SECONDS = 180
# Of a listing; a check has far fewer.
INCIDENTS_MAX = 100


class Check:
    def __init__(self, stack: Stack, lane: Lane, healthy_seconds: float | None):
        if not lane.whole and not lane.troubles or lane.troubles - {one.name for one in TROUBLES}:
            raise StackError(f"{lane.name}: nothing is checked by {sorted(lane.troubles)}")
        self.stack, self.lane = stack, lane
        warm = HEALTHY_SECONDS if lane.whole else WARM_SECONDS / stack.pace
        self.healthy_seconds = warm if healthy_seconds is None else healthy_seconds if lane.whole else min(healthy_seconds, warm)
        self.began = time.monotonic()
        self.host = Host(stack.pace)
        self.excused: set[str] = set()

    def say(self, text: str) -> None:
        print(f"[{self.lane.name:>7} {time.monotonic() - self.began:4.0f}s] {text}", flush=True)

    def run(self) -> None:
        stack = self.stack
        self.targets()
        stack.start_traffic()
        self.healthy()
        if self.lane.whole:
            lived = time.monotonic() - self.began
            live = lint.Live(stack, lived)
            self.say(live.run())
            self.say(lint.runbooks(live))
            self.counters()
            self.cardinality()
            stack.start_traffic("--seed", "2")
            self.quiet("after the counting")
        for one in TROUBLES:
            if one.name in self.lane.troubles:
                self.trouble(one)
        if self.lane.whole and stack.replicas == 2:
            self.replicas_lost()
        self.host.stop()
        said = f" (this machine was really busy or full: {', '.join(sorted(self.excused))})" if self.excused else ""
        self.say(f"all of it holds{said}")

    # ---- healthy

    def targets(self) -> None:
        """Prometheus hands targets to its scrapers every five seconds; from then on two intervals must do."""
        limit = 5 + 2 * max(self.stack.interval, max(SLOWER.values()) / 1000) + 2

        def all_up():
            found = self.stack.get("prometheus", "/api/v1/targets", state="active")["data"]["activeTargets"]
            self.seen = {(t["labels"]["job"], t["labels"]["instance"], t["health"], t["lastError"]) for t in found}
            jobs = {job for job, *_ in self.seen}
            return jobs >= {"prometheus", "alertmanager", "watchfire", "shop", "node", "postgres", "redis", "blackbox",
                            "blackbox-http", "blackbox-tcp"} and all(health == "up" for _, _, health, _ in self.seen)

        try:
            until("all targets up", all_up, limit)
        except StackError as error:
            raise StackError(f"{error}: {sorted(t for t in self.seen if t[2] != 'up')}") from error
        self.say(f"{len(self.seen)} targets up")
        self.discovery()
        self.metrics()

    def discovery(self) -> None:
        """A target comes and goes with its file, without a restart or a reload."""
        port, path = self.stack.ports["node-exporter"], self.stack.data / "prometheus/targets/node.yml"
        before = path.read_text()
        path.write_text(before + f'- targets: ["localhost:{port}"]\n')

        def there() -> bool:
            found = self.stack.get("prometheus", "/api/v1/targets", state="active")["data"]["activeTargets"]
            return any(t["labels"]["instance"] == f"localhost:{port}" and t["health"] == "up" for t in found)

        # The refresh interval of the file, at our pace, and what a new target takes.
        limit = 30 / self.stack.pace + 5 + 2 * self.stack.interval + 2
        until("a target comes with its file", there, limit)
        path.write_text(before)
        until("a target goes with its file", lambda: not there(), limit)
        self.say("a target came and went with its file")

    def metrics(self) -> None:
        """What we and the shop export is well formed, by the rules of promtool."""
        for service in ("shop", "watchfire"):
            text = self.stack.text(service, "/metrics")
            done = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
            if done.returncode or done.stdout or done.stderr:
                raise StackError(f"/metrics of {service}: {done.stdout}{done.stderr}")

    def _is_excused(self, name: str) -> bool:
        if self.host.is_right(name):
            self.excused.add(name)
            return True
        return False

    def in_both(self, states: tuple[str, ...]) -> tuple[set[str], set[str]]:
        """Names of alerts by their states, in Prometheus and in Watchfire's own rules."""
        found = [self.stack.get(service, "/api/v1/alerts")["data"]["alerts"] for service in ("prometheus", "watchfire")]
        names = [{a["labels"]["alertname"] for a in alerts if a["state"] in states} for alerts in found]
        return names[0], names[1]

    def ours(self, names: set[str]) -> set[str]:
        """Without what always fires and without what this machine confirms."""
        return {n for n in names if n not in ALWAYS and not self._is_excused(n)}

    def in_watchfire(self) -> set[str]:
        """What Watchfire holds as firing, from its own rules or sent by Prometheus."""
        return {a["labels"]["alertname"] for a in self.stack.get("watchfire", "/api/v2/alerts")}

    def firing(self) -> tuple[set[str], set[str]]:
        """What fires in Prometheus and in Watchfire, of ours."""
        return self.ours(self.in_both(("firing",))[0]), self.ours(self.in_watchfire())

    def healthy(self) -> None:
        end = time.monotonic() + self.healthy_seconds
        until("the watchdog fires in both", lambda: ALWAYS <= self.in_both(("firing",))[0] and ALWAYS <= self.in_watchfire(), 30)
        while time.monotonic() < end:
            prometheus, watchfire = self.firing()
            if prometheus or watchfire:
                raise StackError(f"a healthy stack, and yet: {sorted(prometheus)} in Prometheus, {sorted(watchfire)} in Watchfire\n"
                                 f"{json.dumps(self.stack.get('prometheus', '/api/v1/alerts')['data']['alerts'], indent=1)}")
            if ended := self.stack.ended():
                raise StackError(f"{ended} ended:\n{self.stack.processes[ended[0]].tail()}")
            time.sleep(0.5)
        span = f"{int(self.healthy_seconds)}s"
        for service in ("prometheus", "watchfire"):
            rows = self.stack.query(f'count_over_time(ALERTS{{alertstate="firing"}}[{span}])', service)
            if late := self.not_excused({row["metric"]["alertname"] for row in rows}):
                raise StackError(f"fired between two looks in {service}: {sorted(late)}")
        self.no_incident()
        minutes = self.healthy_seconds * self.stack.pace / 60
        self.say(f"nothing fired for {span} under traffic ({minutes:.0f} minutes of the rules' time)")

    def not_excused(self, names: set[str]) -> set[str]:
        """Of ours, also when they are over: what this machine confirmed at that time stays excused."""
        return self.ours(names - self.excused)

    def no_incident(self) -> None:
        """Watchfire has opened no incident, not even one that was over between two looks, and none for the watchdog: a heartbeat."""
        def opened() -> int:
            text = self.stack.text("watchfire", "/metrics")
            return int(re.search(r'^watchfire_incidents_events_total\{event="opened"\} (\d+)', text, re.MULTILINE)[1])

        until("each incident that was opened is listed", lambda: opened() == len(self.listed()), 10)
        if found := [one["id"] for one in self.listed() if ALWAYS & self.names(one["id"])]:
            raise StackError(f"the watchdog is a heartbeat, and yet it has an incident: {found}")
        if found := [one for one in self.listed() if self.is_ours(one)]:
            raise StackError(f"a healthy stack, and yet: {[(i['id'], i['title'], i['status']) for i in found]}")

    def quiet(self, when: str) -> None:
        """Until nothing fires in either of the two, and nothing is about to: what comes next is not to blame for it."""
        self.last = self.firing(), []

        def look():
            self.last = self.firing(), [self.ours(names) for names in self.in_both(("firing", "pending"))]
            return not any(names for part in self.last for names in part)

        try:
            until("nothing fires", look, PATIENCE_SECONDS)
        except StackError as error:
            raise StackError(f"{when}: still firing: {self.last[0]}, or pending: {self.last[1]}") from error

    # ---- counting

    def counters(self) -> None:
        traffic = self.stack.processes["traffic"]
        self.stack.stop("traffic")
        summary = json.loads((self.stack.data / "traffic.json").read_text())
        if summary["unanswered"]:
            raise StackError(f"{summary['unanswered']} requests were not answered:\n{traffic.tail()}")
        requests = {key: count for key, count in summary["requests"].items()}
        events = {f"onboarding {step}": summary["events"].get(step, 0) for step in ("signed_up", "profile", "team", "completed")}
        events |= {f"login {how}": summary["events"].get(f"login_{how}", 0) for how in ("success", "failure")}

        def counted(service: str) -> tuple[dict, dict]:
            rows = self.stack.query('http_requests_total{job="shop", handler!="none"} > 0', service)
            seen = {f'{r["metric"]["method"]} {r["metric"]["handler"]} {r["metric"]["status"]}': int(float(r["value"][1])) for r in rows}
            steps = {f'onboarding {r["metric"]["step"]}': int(float(r["value"][1]))
                     for r in self.stack.query("user_onboarding_total", service)}
            logins = {f'login {r["metric"]["status"]}': int(float(r["value"][1]))
                      for r in self.stack.query("user_authentication_total", service)}
            return seen, steps | logins

        for service in ("prometheus", "watchfire"):
            try:
                until("counters agree", lambda service=service: counted(service) == (requests, events), 10 + 4 * self.stack.interval)
            except StackError as error:
                seen = counted(service)
                differ = {k: (v, seen[0].get(k)) for k, v in requests.items() if seen[0].get(k) != v}
                raise StackError(f"{service} counted otherwise than the traffic script: {differ}, {events} and {seen[1]}, "
                                 f"{set(seen[0]) - set(requests)}") from error
        rows = self.stack.query('http_request_duration_seconds_count{job="shop"}')
        durations = sum(int(float(r["value"][1])) for r in rows if r["metric"]["handler"] != "none")
        if durations != sum(requests.values()):
            raise StackError(f"{durations} durations for {sum(requests.values())} requests")
        self.say(f"{sum(requests.values())} requests and {sum(events.values())} events, counted to the last one by both")

    def cardinality(self) -> None:
        def series() -> int:
            # Of the scrape itself: records over it come and go with the traffic.
            return int(self.stack.query('sum(scrape_samples_scraped{job="shop"})')[0]["value"][1])

        def strangers(count: int) -> None:
            done = subprocess.run([sys.executable, str(ROOT / "examples/shop/traffic.py"), "strangers", "--url",
                                   self.stack.url("shop"), "--count", str(count)], capture_output=True, text=True)
            if done.returncode or json.loads(done.stdout) != {"404": count}:
                raise StackError(f"strangers were not told 404: {done.stdout}{done.stderr}")

        def at_handler_none() -> int:
            rows = self.stack.query('sum(http_requests_total{job="shop", handler="none"})')
            return int(float(rows[0]["value"][1])) if rows else 0

        strangers(1)
        until("the stranger is counted", lambda: at_handler_none() == 1, 10 + 3 * self.stack.interval)
        before = series()
        strangers(10_000)
        until("all strangers are counted", lambda: at_handler_none() == 10_001, 15 + 3 * self.stack.interval)
        if series() != before:
            raise StackError(f"{before} series of the shop became {series()} by 10000 URLs")
        self.say(f"{before} series of the shop before and after 10000 random URLs")

    # ---- trouble

    def listed(self) -> list[dict]:
        """All incidents, also those that are over."""
        return self.stack.get("watchfire", "/api/v1/incidents", limit=INCIDENTS_MAX)["data"]["incidents"]

    def names(self, number: str) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self.incident(number)["alerts"]}

    def is_ours(self, incident: dict) -> bool:
        """Whatever it is about, but for what this machine confirms."""
        return bool(self.not_excused(self.names(incident["id"])))

    def incidents(self) -> list[dict]:
        """The open ones that are ours."""
        return [one for one in self.listed() if one["status"] != "resolved" and self.is_ours(one)]

    def incident(self, number: str) -> dict:
        return self.stack.get("watchfire", f"/api/v1/incidents/{number}")["data"]["incident"]

    def trouble(self, one: Trouble) -> None:
        self.quiet(f"before {one.name}")
        began, seen = time.monotonic(), (set(), set())
        before = {incident["id"] for incident in self.listed()}

        def look() -> None:
            for kept, now in zip(seen, self.firing()):
                kept |= now
                if strange := now - one.must - one.may:
                    raise StackError(f"{one.name}: {sorted(strange)} should not fire")

        def all_fire() -> bool:
            look()
            return all(one.must <= kept for kept in seen)

        with ExitStack() as broken:
            self.breaks(one, broken)
            try:
                until("they all fire", all_fire, PATIENCE_SECONDS)
            except StackError as error:
                missing = [sorted(one.must - kept) for kept in seen]
                raise StackError(f"{one.name}: missing in Prometheus {missing[0]}, in Watchfire {missing[1]}: {error}") from error
            fired = time.monotonic() - began
            number = self.one_incident(one, look)
        until(f"{one.name}: incident {number} is resolved", lambda: self.incident(number)["status"] == "resolved", PATIENCE_SECONDS)
        self.quiet(f"after {one.name}")
        # What a trouble may raise can come when its incident is over, such as the slow burn of what it has cost: that is another.
        more = [i for i in self.listed() if i["id"] not in before | {number} and self.is_ours(i)]
        over = self.incident(number)["resolved_at"]
        if more := [i for i in more if i["opened_at"] < over or not self.names(i["id"]) <= one.may]:
            raise StackError(f"{one.name}: besides {number}: {[(i['id'], i['title']) for i in more]}")
        self.say(f"{one.name}: {', '.join(sorted(seen[0]))} after {fired:.0f}s; {number} escalated, acknowledged, resolved "
                 f"after {time.monotonic() - began:.0f}s")

    def breaks(self, one: Trouble, broken: ExitStack) -> None:
        """Breaks something; it is mended when `broken` is closed."""
        stack = self.stack
        if not one.stops:
            self.chaos(one.name, broken)
            return
        stack.stop(one.stops)
        broken.callback(stack.start, one.stops)
        # The exporter hears of it at the first scrape, Prometheus stores it; Watchfire gets it at once after that.
        limit = 2 * max(stack.interval, SLOWER.get(one.stops, 0) / 1000) + 2
        for service in ("prometheus", "watchfire"):
            until(f"{one.shows} is 0 in {service}", lambda service=service: any(
                r["value"][1] == "0" for r in stack.query(one.shows, service)), limit)
        self.say(f"{one.name}: seen by both within {limit:.1f}s")

    def chaos(self, mode: str, broken: ExitStack) -> None:
        child = subprocess.Popen(
            [sys.executable, str(ROOT / "examples/shop/traffic.py"), "chaos", mode, "--seconds", "3600", "--url",
             self.stack.url("shop"), "--payments-url", self.stack.url("payments")], stdout=subprocess.DEVNULL)

        def mend() -> None:
            child.terminate()
            if child.wait(20):
                self.say(f"the traffic script ended with {child.returncode} on {mode}")

        broken.callback(mend)

    def one_incident(self, one: Trouble, look) -> str:
        """All of it is one incident; nobody answers, so it escalates; then somebody does."""
        def gathered():
            look()
            found = self.incidents()
            if len(found) > 1:
                raise StackError(f"{one.name}: {len(found)} incidents: {[(i['id'], i['title']) for i in found]}")
            if not found:
                return None
            names = self.names(found[0]["id"])
            return found[0] if one.must <= names <= one.must | one.may else None

        number = until(f"{one.name}: one incident holds {sorted(one.must)}", gathered, 30)["id"]

        def escalated():
            look()
            return any(line["kind"] == "escalated" for line in self.incident(number)["timeline"])

        until(f"{one.name}: {number} is escalated", escalated, 60)
        self.stack.ask("watchfire", f"/api/v1/incidents/{number}/acknowledge", {"by": "the stack's check"}, "POST")
        until(f"{one.name}: {number} is acknowledged", lambda: self.incident(number)["acknowledged_at"], 5)
        return number

    def replicas_lost(self) -> None:
        """One of the pair dies in the middle of trouble, comes back, and the other dies: whichever is listened to, the other takes
        over. No gap, no second incident."""
        with ExitStack() as broken:
            self.chaos("cache", broken)
            until("the cache alert fires", lambda: "CacheHitRateLow" in self.in_watchfire(), PATIENCE_SECONDS)
            number = until("an incident", self.incidents, 30)[0]["id"]
            for replica in ("prometheus", "prometheus-b"):
                self.stack.stop(replica)
                end = time.monotonic() + self.stack.interval * 20
                while time.monotonic() < end:
                    if "CacheHitRateLow" not in self.in_watchfire():
                        raise StackError(f"the alert ended with {replica}")
                    time.sleep(0.5)
                # What is held because nothing comes any more looks the same from outside.
                self.taken_over(replica)
                # That a Prometheus is down is an incident of its own.
                if (found := [i["id"] for i in self.incidents() if i["labels"].get("job") != "prometheus"]) != [number]:
                    raise StackError(f"other incidents than {number}: {found}")
                dropped = self.dropped()
                self.stack.start_prometheus(replica)
                until(f"{replica} sends again, and is not listened to", lambda dropped=dropped: self.dropped() > dropped, 30)
        self.say(f"each replica of Prometheus died, the other took over, and {number} did not notice")

    def taken_over(self, replica: str) -> None:
        """Samples come, and no alert is held for want of them."""
        limit = 5 * self.stack.interval + 2
        rows = self.stack.query('time() - timestamp(up{job="shop"})', "watchfire")
        ages = [float(row["value"][1]) for row in rows]
        if not ages or max(ages) > limit:
            raise StackError(f"without {replica} nobody takes over: the last samples of the shop are {ages} s old, more than {limit:.1f} s")
        alerts = self.stack.get("watchfire", "/api/v1/alerts")["data"]["alerts"]
        if lost := sorted({a["labels"]["alertname"] for a in alerts if "sourceLostSince" in a}):
            raise StackError(f"without {replica} nobody takes over: {lost} are held, their source fell silent")

    def dropped(self) -> float:
        """Samples of the replica that is not listened to."""
        text = self.stack.text("watchfire", "/metrics")
        return float(re.search(r"^watchfire_ingest_ha_dropped_samples_total (\S+)", text, re.MULTILINE)[1])
