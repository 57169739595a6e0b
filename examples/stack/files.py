"""The checked-in configuration, at this machine's addresses and at the pace that was asked for.

Nothing is configured twice: what runs here is what docker-compose.yml runs, with each `service:port` replaced by a port on
loopback. With a pace of 20 an hour passes in three minutes: every interval, window, `for` and delay is divided by it, thresholds
stay as they are (rates are per second at any pace).
"""

import re
from pathlib import Path

import yaml

from .processes import ROOT

UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION = r"(?:\d+(?:ms|[smhd]))+"
# Settings that are spans of time; time-outs of requests are not among them: the network is no faster.
SPANS = ("scrape_interval", "evaluation_interval", "refresh_interval", "group_wait", "group_interval", "repeat_interval", "after",
         "repeat_after", "interval", "for", "keep_firing_for")
# cAdvisor needs containers, and Docker's discovery needs Docker.
NOT_HERE = {"cadvisor"}
# The least interval of a job, in milliseconds: PostgreSQL's exporter tries for a second before it says that the server is down.
SLOWER = {"postgres": 2000}


def milliseconds(text: str) -> int:
    return sum(int(n) * UNIT_MS[unit] for n, unit in re.findall(r"(\d+)(ms|[smhd])", text))


def faster(text: str, pace: float) -> str:
    """`5m` at pace 20 is `15s`; what was longer than nothing stays so."""
    whole = milliseconds(text)
    return "0s" if whole == 0 else f"{max(1, round(whole / pace))}ms"


def faster_expr(expr: str, pace: float) -> str:
    """Ranges, offsets and the horizons of predictions (`4 * 3600`)."""
    if pace == 1:
        return expr
    expr = re.sub(rf"\[({DURATION})(:?)({DURATION})?\]",
                  lambda m: f"[{faster(m[1], pace)}{m[2]}{faster(m[3], pace) if m[3] else ''}]", expr)
    expr = re.sub(rf"\boffset ({DURATION})", lambda m: f"offset {faster(m[1], pace)}", expr)
    return re.sub(r"\b(\d+) \* 3600\b", lambda m: f"{m[1]} * {3600 / pace:g}", expr)


def faster_settings(text: str, pace: float) -> str:
    names = "|".join(SPANS)
    return re.sub(rf"\b({names}): ({DURATION})", lambda m: f"{m[1]}: {faster(m[2], pace)}", text) if pace != 1 else text


def rules(pace: float, folder: Path) -> None:
    """The shipped rules, faster. Annotations are kept: they say what holds at pace 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "rules").glob("*.yml")):
        if path.name.endswith(".test.yml"):
            continue
        whole = yaml.safe_load(path.read_text())
        for group in whole["groups"]:
            if "interval" in group:
                group["interval"] = faster(group["interval"], pace)
            for rule in group["rules"]:
                rule["expr"] = faster_expr(rule["expr"], pace)
                if "for" in rule:
                    rule["for"] = faster(rule["for"], pace)
        (folder / path.name).write_text(yaml.safe_dump(whole, sort_keys=False, width=1000))


class Layout:
    """Where each service listens, and where its files are."""

    def __init__(self, data: Path, ports: dict[str, int], pace: float):
        self.data, self.ports, self.pace = data, ports, pace

    def place(self, text: str) -> str:
        """Addresses and paths inside containers become those of this machine."""
        for service, port in self.ports.items():
            text = re.sub(rf"(?<![\w.-]){re.escape(service)}:\d+", f"127.0.0.1:{port}", text)
        for inside, here in (("/etc/prometheus", self.data / "prometheus"), ("/run/watchfire/token", self.data / "token")):
            text = text.replace(inside, str(here))
        return faster_settings(text, self.pace)

    def _copy(self, source: str, target: str) -> Path:
        path = self.data / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.place((ROOT / "monitoring" / source).read_text()))
        return path

    def write(self, replicas: int) -> None:
        prometheus = self._copy("prometheus/prometheus.yml", "prometheus/prometheus.yml")
        whole = yaml.safe_load(prometheus.read_text())
        whole.pop("scrape_config_files")
        whole["scrape_configs"] = [job for job in whole["scrape_configs"] if job["job_name"] not in NOT_HERE]
        interval = milliseconds(whole["global"]["scrape_interval"])
        whole["global"]["scrape_timeout"] = f"{min(interval, 10_000)}ms"
        for job in whole["scrape_configs"]:
            if job["job_name"] in SLOWER and interval < SLOWER[job["job_name"]]:
                job["scrape_interval"] = job["scrape_timeout"] = f"{SLOWER[job['job_name']]}ms"
        # Nothing may wait longer than an interval of ours in the sender's queue.
        whole["remote_write"][0]["queue_config"]["batch_send_deadline"] = f"{min(1000, max(100, interval // 3))}ms"
        prometheus.write_text(yaml.safe_dump(whole, sort_keys=False))
        for path in sorted((ROOT / "monitoring/prometheus/targets").glob("*.yml")):
            if path.stem not in NOT_HERE:
                self._copy(f"prometheus/targets/{path.name}", f"prometheus/targets/{path.name}")
        if replicas == 1:
            (self.data / "prometheus/targets/prometheus.yml").write_text(
                yaml.safe_dump([{"targets": [f"127.0.0.1:{self.ports['prometheus']}"]}]))
        self._copy("alertmanager/alertmanager.yml", "alertmanager/alertmanager.yml")
        self._copy("blackbox/blackbox.yml", "blackbox/blackbox.yml")
        rules(self.pace, self.data / "prometheus/rules")
        rules(self.pace, self.data / "watchfire/rules")
        self._watchfire()

    def _watchfire(self) -> None:
        path = self._copy("watchfire/watchfire.yml", "watchfire/watchfire.yml")
        probes = (ROOT / "monitoring/watchfire/probes.yml").read_text()
        whole = yaml.safe_load(path.read_text()) | yaml.safe_load(self.place(probes))
        whole["web"]["listen_address"] = f"127.0.0.1:{self.ports['watchfire']}"
        # Default of `evaluation.interval`, at our pace.
        whole["evaluation"] = {"interval": faster("15s", self.pace)}
        whole["ingest"]["replica_failover"] = faster("30s", self.pace)
        for rule in whole["correlation"]["rules"]:
            rule["window"] = faster(rule["window"], self.pace)
        for probe in whole["probes"]:
            probe["timeout"] = f"{min(milliseconds(probe['interval']), 5000)}ms"
        path.write_text(yaml.safe_dump(whole, sort_keys=False))
