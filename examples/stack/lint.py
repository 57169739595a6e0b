"""Lints. `offline` needs programs but nothing running; `Live` asks a running Prometheus about every selector and panel."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from . import compose
from .files import SLOWER, Layout, faster_expr
from .processes import ROOT, StackError, program, watchfire
from .stack import PORTS, Stack

SEVERITIES = {"critical", "high", "medium", "low", "info"}
CATEGORIES = {"performance", "security", "availability", "capacity", "quality", "business"}
ANNOTATIONS = {"summary", "description", "impact", "action", "runbook_url"}
RUNBOOKS = ROOT / "docs/runbooks"
DASHBOARDS = ROOT / "monitoring/grafana/dashboards"
# Containers are seen by cAdvisor only, which needs Docker: their rules are unit-tested, and live in the profile `full`.
ELSEWHERE = re.compile(r"^container[_:]")
# Recorded only while the storage fills; that it is recorded then is unit-tested.
SELDOM = re.compile(r"^instance:app_storage:seconds_to_full\{")
# Checkers that `lint --without` may leave out, by hand; what runs before a change lands leaves out none.
BY_HAND = ("docker-compose", "grafana")


def rule_files() -> list[Path]:
    return [p for p in sorted((ROOT / "rules").glob("*.yml")) if not p.name.endswith(".test.yml")]


def all_rules() -> list[tuple[str, dict]]:
    """(file, rule) of everything under rules/."""
    return [(path.name, rule) for path in rule_files() for group in yaml.safe_load(path.read_text())["groups"]
            for rule in group["rules"]]


def alerts() -> list[tuple[str, dict]]:
    return [(file, rule) for file, rule in all_rules() if "alert" in rule]


def run(*command, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        raise StackError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


# ---- without anything running ----------------------------------------------------------------------------------------

def house_rules() -> list[str]:
    """Labels, annotations, runbook and unit tests of each alert; names of records."""
    found = []
    tests = {path.name: yaml.safe_load((ROOT / "rules" / f"{path.stem}.test.yml").read_text()) for path in rule_files()}
    seen = set()
    for file, rule in all_rules():
        if "record" in rule:
            if not re.fullmatch(r"[a-z]+:[a-z0-9_]+:[a-z0-9_]+", rule["record"]):
                found.append(f"{file}: {rule['record']} is not level:metric:operation")
            elif not any(_names(rule["record"], e["expr"]) for e in _expressions(tests[file])):
                found.append(f"{file}: {rule['record']} has no unit test")
            continue
        name, labels, notes = rule["alert"], rule.get("labels", {}), rule.get("annotations", {})
        if name in seen:
            found.append(f"{file}: {name} is there twice")
        seen.add(name)
        if labels.get("severity") not in SEVERITIES or labels.get("category") not in CATEGORIES:
            found.append(f"{file}: {name}: severity or category is none of ours")
        if set(notes) != ANNOTATIONS:
            found.append(f"{file}: {name}: annotations are {sorted(notes)}")
        if not str(notes.get("runbook_url", "")).endswith(f"/runbooks/{name}"):
            found.append(f"{file}: {name}: runbook_url does not end in /runbooks/{name}")
        if not (RUNBOOKS / f"{name}.md").exists():
            found.append(f"{file}: {name} has no docs/runbooks/{name}.md")
        cases = [a for t in tests[file]["tests"] for a in t.get("alert_rule_test", []) if a["alertname"] == name]
        fires = sorted(_minutes(a["eval_time"]) for a in cases if a.get("exp_alerts"))
        quiet = sorted(_minutes(a["eval_time"]) for a in cases if not a.get("exp_alerts"))
        if not fires:
            found.append(f"{file}: {name} has no unit test in which it fires")
        elif name != "Watchdog" and not (quiet and quiet[0] < fires[0] and quiet[-1] > fires[-1]):
            found.append(f"{file}: {name} has no unit test before it fires, or none after its end")
        if "for" in rule:
            # Pending in one minute and firing in the next: then `for` is as long as it says.
            states = {state: [_minutes(e["eval_time"]) for e in _expressions(tests[file])
                              if f'alertname="{name}", alertstate="{state}"' in e["expr"]] for state in ("pending", "firing")}
            if not {minute + 1 for minute in states["pending"]} & {*fires, *states["firing"]}:
                found.append(f"{file}: {name} has no unit test of when its `for` ends")
    for path in RUNBOOKS.glob("*.md"):
        if path.stem not in seen | {"README"}:
            found.append(f"docs/runbooks/{path.name} belongs to no alert")
    return found


def _expressions(file: dict) -> list[dict]:
    """The tests of expressions that expect something: of nothing, also a misspelt one is the result."""
    return [e for t in file["tests"] for e in t.get("promql_expr_test", []) if e.get("exp_samples")]


def _names(metric: str, expr: str) -> bool:
    return re.search(rf"(?<![\w:]){re.escape(metric)}(?![\w:])", expr) is not None


def _minutes(text: str) -> float:
    return sum(float(n) * {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}[u] for n, u in re.findall(r"(\d+)([smhd])", str(text)))


def panels(board: dict):
    for panel in board["panels"]:
        yield from panel.get("panels") or [panel] if panel["type"] == "row" else [panel]


def dashboards() -> list[str]:
    """What a dashboard needs besides data: units, thresholds, legends, links, places."""
    found, uids = [], set()
    files = sorted(DASHBOARDS.glob("*.json"))
    if len(files) < 10:
        found.append(f"only {len(files)} dashboards")
    for path in files:
        board = json.loads(path.read_text())
        say = lambda what, path=path: found.append(f"{path.name}: {what}")  # noqa: E731
        if board["uid"] in uids:
            say("its uid is taken")
        uids.add(board["uid"])
        urls = [link["url"] for link in board["links"]]
        if not any(link["type"] == "dashboards" for link in board["links"]) or not any("/incidents" in url for url in urls):
            say("does not lead to the other dashboards and to Watchfire")
        places = set()
        for panel in panels(board):
            title = panel.get("title")
            if panel["type"] == "row":
                continue
            defaults = panel.get("fieldConfig", {}).get("defaults", {})
            if not panel.get("description") or not panel.get("targets"):
                say(f"{title}: no description or no query")
            if panel["type"] not in ("state-timeline", "table") and not defaults.get("unit"):
                say(f"{title}: no unit")
            if panel["type"] != "table" and not defaults.get("thresholds"):
                say(f"{title}: no thresholds")
            if panel["type"] == "timeseries" and not panel["options"]["legend"]["showLegend"]:
                say(f"{title}: no legend")
            place = tuple(panel["gridPos"][key] for key in "xy")
            if place in places or panel["gridPos"]["x"] + panel["gridPos"]["w"] > 24:
                say(f"{title}: two panels at one place")
            places.add(place)
    return found


def routes(config: Path) -> None:
    """Each alert's labels reach the receiver they are meant for."""
    def one(rule: dict) -> None:
        labels = {"alertname": rule["alert"], **rule["labels"]}
        expected = ("dead-mans-switch" if rule["alert"] == "Watchdog" else "nobody" if labels["severity"] == "info" else "watchfire")
        run(program("amtool"), "config", "routes", "test", f"--config.file={config}", f"--verify.receivers={expected}",
            *[f"{k}={v}" for k, v in labels.items()])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, [rule for _, rule in alerts()]))


def offline(without: frozenset[str] = frozenset()) -> None:
    promtool, ours = program("promtool"), watchfire()
    found = house_rules() + dashboards() + compose.check(ROOT / "docker-compose.yml")
    if found:
        raise StackError("\n".join(found))
    names = [str(p) for p in rule_files()]
    tests = [str(p) for p in sorted((ROOT / "rules").glob("*.test.yml"))]
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", *names)
    run(promtool, "test", "rules", *tests)
    run(ours, "check", *names)
    run(ours, "test", *tests)
    with tempfile.TemporaryDirectory() as folder:
        for pace in (1.0, 20.0):
            data = Path(folder) / str(pace)
            data.mkdir()
            (data / "token").write_text("a token of the lint")
            Layout(data, PORTS, pace).write(2)
            run(promtool, "check", "config", data / "prometheus/prometheus.yml")
            run(program("amtool"), "check-config", data / "alertmanager/alertmanager.yml")
            run(ours, "check", data / "watchfire/watchfire.yml")
    run(promtool, "check", "config", "--syntax-only", ROOT / "monitoring/prometheus/prometheus.yml")
    run(promtool, "check", "config", "--syntax-only", ROOT / "monitoring/prometheus/scrape/docker.yml")
    routes(ROOT / "monitoring/alertmanager/alertmanager.yml")
    said = ["house rules, promtool, amtool and watchfire agree"]
    if "docker-compose" not in without:
        for profile in ("core", "full"):
            run(program("docker-compose"), "--profile", profile, "config", "--quiet", cwd=ROOT)
        said.append("docker-compose reads the file")
    if "grafana" not in without:
        if importlib.util.find_spec("grafana_foundation_sdk") is None:
            raise StackError("the Grafana foundation SDK is not here: "
                             f"{sys.executable} -m pip install -r monitoring/grafana/requirements.txt")
        run(sys.executable, ROOT / "monitoring/grafana/build.py", "--check")
        said.append("dashboards are what build.py makes")
    if without:
        said.append(f"left out by hand: {', '.join(sorted(without))}")
    print(f"lint: {len(alerts())} alerts, {len(tests)} test files, {len(list(DASHBOARDS.glob('*.json')))} dashboards: {'; '.join(said)}")


# ---- against a running stack -----------------------------------------------------------------------------------------

class Live:
    """Every selector of every rule, and every query of every panel, against the Prometheus of a stack."""

    def __init__(self, stack: Stack, lived_seconds: float):
        self.stack = stack
        # `$__range` and the comparison with an earlier time can reach back no further than the stack has lived.
        self.lived = max(10, int(lived_seconds * 0.5))

    def fill(self, expr: str) -> str:
        """A panel's query as Grafana would send it, at the stack's pace."""
        window = f"{max(4 * max(SLOWER.values()), round(self.stack.interval * 4 * 1000))}ms"
        expr = faster_expr(expr, self.stack.pace)
        for name, value in (("$__rate_interval", window), ("$__interval", window), ("$__range", f"{self.lived}s"),
                            ("$compare", f"{self.lived}s"), ("$service", "shop")):
            expr = expr.replace(name, value)
        return expr

    def selectors(self, expr: str) -> set[str]:
        """The selectors of an expression, by Prometheus' own parser."""
        tree = self.stack.get("prometheus", "/api/v1/parse_query", query=expr)["data"]
        found = set()

        def walk(node):
            if isinstance(node, list):
                for item in node:
                    walk(item)
            elif isinstance(node, dict):
                if node.get("type") in ("vectorSelector", "matrixSelector"):
                    matchers = ",".join(f'{m["name"]}{m["type"]}{json.dumps(m["value"])}' for m in node["matchers"]
                                        if m["name"] != "__name__")
                    found.add(f'{node["name"]}{{{matchers}}}')
                for value in node.values():
                    walk(value)

        walk(tree)
        return found

    def unmatched(self, named: list[tuple[str, str]]) -> list[str]:
        """(where, expression) → selectors without a series."""
        where: dict[str, str] = {}
        for name, expr in named:
            for selector in self.selectors(expr):
                where.setdefault(selector, name)
        wanted = {s: n for s, n in where.items() if not ELSEWHERE.match(s) and not SELDOM.match(s)}

        def look(selector: str) -> bool:
            return bool(self.stack.query(f"last_over_time({selector}[{self.lived}s])"))

        with ThreadPoolExecutor(4) as pool:
            return [f"{wanted[s]}: nothing is called {s}" for s, found in zip(wanted, pool.map(look, wanted)) if not found]

    def empty(self, queries: list[tuple[str, str]]) -> list[str]:
        def look(query: tuple[str, str]) -> bool:
            return any(row["value"][1] != "NaN" for row in self.stack.query(query[1]))

        with ThreadPoolExecutor(4) as pool:
            return [f"{name}: no data for {expr}" for (name, expr), found in zip(queries, pool.map(look, queries)) if not found]

    def panel_queries(self) -> list[tuple[str, str]]:
        out = []
        for path in sorted(DASHBOARDS.glob("*.json")):
            board = json.loads(path.read_text())
            for panel in panels(board):
                out += [(f"{board['title']} / {panel['title']}", self.fill(t["expr"])) for t in panel.get("targets") or []]
        return out

    def run(self) -> str:
        rules = [(f"{file}: {rule.get('alert') or rule['record']}", faster_expr(rule["expr"], self.stack.pace))
                 for file, rule in all_rules()]
        queries = self.panel_queries()
        found = self.unmatched(rules + queries) + self.empty(queries)
        if found:
            raise StackError("\n".join(found))
        # The lint itself: a name that nothing exports must be found, in a rule and in a panel.
        made_up = [("made up", "rate(http_requests_of_nobody_total[1m])")]
        if not self.unmatched(made_up) or not self.empty(made_up):
            raise StackError("the lint does not see a made-up metric")
        return f"{len(rules)} rules and {len(queries)} queries of panels match live series"


def runbook_commands() -> list[tuple[str, str]]:
    """(file, command) of every fenced `sh` block of the runbooks."""
    out = []
    for path in sorted(RUNBOOKS.glob("*.md")):
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL):
            out += [(path.name, line) for line in block.splitlines() if line]
    return out


def runbook_queries() -> list[tuple[str, str]]:
    """(file, expression) of what runbooks ask Prometheus."""
    words = [(name, shlex.split(command)) for name, command in runbook_commands() if command.startswith("promtool query instant ")]
    return [(name, expr) for name, (_, _, _, _, expr) in words]


def runbooks(live: Live) -> str:
    stack = live.stack
    # An empty answer is no failure of promtool's, and what a misspelt metric gives.
    if found := live.unmatched(runbook_queries()):
        raise StackError("\n".join(found))
    folders = [os.path.dirname(program("promtool")), os.path.dirname(program("postgres")), os.environ["PATH"]]
    env = {**os.environ, **stack.environment(), "PATH": os.pathsep.join(folders), "TERM": "dumb"}
    commands = sorted({command for _, command in runbook_commands()})

    def one(command: str) -> str | None:
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=env, timeout=60)
        # `head` may close a pipe early (SIGPIPE); everything else must succeed.
        return None if done.returncode in (0, 141) else f"{command}\n{done.stdout[-300:]}{done.stderr[-300:]}"

    with ThreadPoolExecutor(3) as pool:
        failed = [said for said in pool.map(one, commands) if said]
    if failed:
        raise StackError("commands of runbooks fail:\n" + "\n".join(failed))
    queries = {expr for _, expr in runbook_queries()}
    return f"{len(commands)} commands of {len(alerts())} runbooks work, their {len(queries)} queries match live series"
