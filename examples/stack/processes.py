"""Programs and processes: where they are, how they start and stop. Everything that was started here is stopped here."""

import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Other names of a program, in the order in which they are tried.
NAMES = {
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "node_exporter": ("prometheus-node-exporter", "node_exporter"),
    "postgres_exporter": ("prometheus-postgres-exporter", "postgres_exporter"),
    "redis_exporter": ("prometheus-redis-exporter", "redis_exporter"),
    "blackbox_exporter": ("prometheus-blackbox-exporter", "blackbox_exporter"),
}
PACKAGES = {"postgres": "postgresql", "initdb": "postgresql", "redis-server": "redis-server", "promtool": "prometheus 3"}


class StackError(Exception):
    """What went wrong, for people; the run ends with it."""


def program(name: str) -> str:
    """The path of a program: WATCHFIRE_PEERS, the PATH, then Debian's folders of PostgreSQL; each under all of its names."""
    path = os.pathsep.join(filter(None, (os.environ.get("WATCHFIRE_PEERS"), os.environ.get("PATH"))))
    postgres = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    for folder in [*path.split(os.pathsep), *postgres]:
        for candidate in NAMES.get(name, (name,)):
            if folder and (found := shutil.which(candidate, path=folder)):
                return found
    raise StackError(f"{name} is not here: install {PACKAGES.get(name, name)}, or let WATCHFIRE_PEERS name its folder")


def prometheus() -> str:
    """Version 3: the checked-in configuration writes by remote write 2.0."""
    path = program("prometheus")
    said = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
    version = re.search(r"version (\d+)\.", said)
    if not version or int(version[1]) < 3:
        raise StackError(f"{path} is older than Prometheus 3: let WATCHFIRE_PEERS name a folder with a newer one")
    return path


def watchfire() -> str:
    """WATCHFIRE_BIN, or the newest build."""
    if given := os.environ.get("WATCHFIRE_BIN"):
        return given
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [p for p in (target / d / "watchfire" for d in ("release", "e2e", "debug")) if p.exists()]
    if not built:
        raise StackError("watchfire is not built: cargo build --release, or let WATCHFIRE_BIN name it")
    return str(max(built, key=lambda p: p.stat().st_mtime))


def free_ports(count: int, lane: int = 0) -> list[int]:
    """Ports below those that the kernel hands out for outgoing connections: a service that was stopped finds its port free when
    it comes back. Each lane has a range of its own."""
    first = 20_000 + 4_000 * lane
    found: list[int] = []
    for port in random.sample(range(first, first + 4_000), 4_000):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise StackError(f"fewer than {count} free ports between {first} and {first + 4_000}")


def service_user() -> str | None:
    """PostgreSQL refuses to run as root; then it runs as `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise StackError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def answers(url: str, timeout: float = 2.0) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status < 400
    except (urllib.error.URLError, OSError):
        return False


def connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def until(what: str, condition, seconds: float, every: float = 0.1):
    """Waits for a condition; its first true answer is returned."""
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            raise StackError(f"not within {seconds:.0f}s: {what}")
        time.sleep(every)


class Process:
    """One child in a process group of its own, its output in a file."""

    def __init__(self, name: str, command: list[str], logs: Path, env: dict | None = None, user: str | None = None,
                 cwd: Path | None = None):
        self.name, self.command, self.user, self.cwd = name, command, user, cwd
        self.env = {**os.environ, **(env or {})}
        self.log = logs / f"{name}.log"
        self.child: subprocess.Popen | None = None

    def start(self) -> None:
        extra = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if self.user else {}
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                                          cwd=self.cwd, start_new_session=True, **extra)

    def alive(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def stop(self, how: int = signal.SIGTERM, seconds: float = 15) -> None:
        if not self.alive():
            return
        self.child.send_signal(how)
        try:
            self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait(5)

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def ready(self, condition, seconds: float = 30) -> None:
        def look():
            if not self.alive():
                raise StackError(f"{self.name} has ended:\n{self.tail()}")
            return condition()

        try:
            until(f"{self.name} is ready", look, seconds)
        except StackError as error:
            raise StackError(f"{error}\n{self.tail()}") from error
