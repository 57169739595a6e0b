"""All services of the stack, in the order in which they need each other."""

import json
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .files import Layout, milliseconds
from .processes import ROOT, Process, StackError, answers, connects, free_ports, program, prometheus, service_user, watchfire

# The ports that docker-compose.yml publishes.
PORTS = {
    "prometheus": 9090, "prometheus-b": 9091, "alertmanager": 9093, "watchfire": 9095, "node-exporter": 9100,
    "postgres-exporter": 9187, "redis-exporter": 9121, "blackbox-exporter": 9115, "shop": 8000, "payments": 8001,
    "postgres": 5432, "redis": 6379,
}
# Debian starts its servers of both when they are installed. Ours are found by DATABASE_URL and REDIS_URL, not by their ports.
MOVABLE = ("postgres", "redis")


def usual_ports() -> list[int]:
    """Those of PORTS, free ones for databases whose port is taken."""
    free = iter(free_ports(len(MOVABLE)))
    return [next(free) if service in MOVABLE and connects(port) else port for service, port in PORTS.items()]


class Stack:
    def __init__(self, data: Path, pace: float = 1.0, replicas: int = 1, ports: list[int] | None = None):
        self.data, self.pace, self.replicas = data.resolve(), pace, replicas
        self.ports = dict(zip(PORTS, ports)) if ports else dict(PORTS)
        self.layout = Layout(self.data, self.ports, pace)
        self.processes: dict[str, Process] = {}
        self.user = service_user()
        self.token, self.password = secrets.token_hex(24), secrets.token_hex(16)
        # Of the checked-in prometheus.yml, at our pace.
        self.interval = milliseconds("15s") / 1000 / pace

    # ---- addresses

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    @property
    def database_url(self) -> str:
        return f"postgresql://shop:{self.password}@127.0.0.1:{self.ports['postgres']}/shop"

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.ports['redis']}/0"

    def get(self, service: str, path: str, **query):
        """JSON from a service; Watchfire wants its token."""
        text = "?" + urllib.parse.urlencode(query, doseq=True) if query else ""
        return self.ask(service, path + text)

    def ask(self, service: str, path: str, body=None, method: str | None = None):
        text = self.text(service, path, body, method)
        return json.loads(text) if text.strip() else None

    def text(self, service: str, path: str, body=None, method: str | None = None) -> str:
        headers = {"content-type": "application/json"}
        if service == "watchfire":
            headers["authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url(service) + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise StackError(f"{service} answers {path} with {error.code}: {error.read().decode(errors='replace')[:500]}") from error
        except OSError as error:
            raise StackError(f"{service} does not answer {path}: {error}\n{self.processes[service].tail()}") from error

    def query(self, expr: str, service: str = "prometheus") -> list[dict]:
        return self.get(service, "/api/v1/query", query=expr)["data"]["result"]

    def environment(self) -> dict[str, str]:
        """What the commands of the runbooks read."""
        return {
            "PROMETHEUS": self.url("prometheus"), "ALERTMANAGER": self.url("alertmanager"), "WATCHFIRE": self.url("watchfire"),
            "WATCHFIRE_TOKEN": self.token, "SHOP": self.url("shop"), "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url, "REDISCLI_AUTH": self.password,
        }

    # ---- life

    def up(self) -> None:
        for service, port in self.ports.items():
            if connects(port):
                raise StackError(f"port {port} of {service} is taken: stop what listens there")
        # Whatever is missing is said before anything starts.
        for name in ("initdb", "postgres", "redis-server", "node_exporter", "postgres_exporter", "redis_exporter", "blackbox_exporter",
                     "alertmanager", "promtool"):
            program(name)
        prometheus(), watchfire()
        shutil.rmtree(self.data, ignore_errors=True)
        for folder in ("logs", "storage", "secrets"):
            (self.data / folder).mkdir(parents=True)
        for name, text in (("token", self.token), ("secrets/password", self.password)):
            (self.data / name).touch(0o600)
            (self.data / name).write_text(text)
        self.layout.write(self.replicas)
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.environment().items())
        (self.data / "env").touch(0o600)
        (self.data / "env").write_text(exports)
        self._databases()
        self._shop()
        self._exporters()
        self._monitors()

    def _add(self, name: str, command: list, **more) -> Process:
        process = Process(name, [str(part) for part in command], self.data / "logs", **more)
        self.processes[name] = process
        process.start()
        return process

    def _databases(self) -> None:
        folder, port = self.data / "postgres", self.ports["postgres"]
        folder.mkdir()
        # initdb reads the password as the user that PostgreSQL will run as.
        secret = folder.parent / "secrets/initdb"
        secret.touch(0o600)
        secret.write_text(self.password)
        if self.user:
            shutil.chown(folder, self.user)
            shutil.chown(secret, self.user)
        run = {"user": self.user} if self.user else {}
        command = [program("initdb"), "-D", folder / "db", "--username=shop", f"--pwfile={secret}", "--auth=scram-sha-256",
                   "--encoding=UTF8", "--no-sync"]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd="/", **run)
        if done.returncode:
            raise StackError(f"initdb: {done.stderr}\n(every folder above {folder} must be open to the user {self.user})")
        postgres = self._add("postgres", [program("postgres"), "-D", folder / "db", "-p", port, "-h", "127.0.0.1", "-k", "",
                                          "-c", "fsync=off"], user=self.user, cwd=Path("/"))
        redis = self.data / "redis"
        redis.mkdir()
        config = self.data / "secrets/redis.conf"
        config.touch(0o600)
        config.write_text(f"bind 127.0.0.1\nport {self.ports['redis']}\nrequirepass {self.password}\nmaxmemory 64mb\n"
                          f"maxmemory-policy allkeys-lru\nsave \"\"\nappendonly no\ndir {redis}\n")
        self._add("redis", [program("redis-server"), config])
        postgres.ready(lambda: connects(port) and self._create_database())
        self.processes["redis"].ready(lambda: connects(self.ports["redis"]))

    def _create_database(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.database_url.removesuffix("/shop") + "/postgres", autocommit=True) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'shop'").fetchone():
                    connection.execute("CREATE DATABASE shop")
            return True
        except psycopg.OperationalError:
            return False

    def _shop(self) -> None:
        self._add("payments", [sys.executable, ROOT / "examples/shop/payments.py", "--port", self.ports["payments"]])
        self._start_shop()

    def _start_shop(self) -> None:
        env = {
            "SHOP_DATABASE_URL": self.database_url, "SHOP_REDIS_URL": self.redis_url, "SHOP_PAYMENTS_URL": self.url("payments"),
            "SHOP_STORAGE_DIR": str(self.data / "storage"), "SHOP_CHAOS": "1", "SHOP_PACE": str(self.pace),
        }
        shop = self._add("shop", [sys.executable, "-m", "uvicorn", "shop.main:app", "--host", "127.0.0.1", "--port",
                                  self.ports["shop"], "--no-access-log", "--forwarded-allow-ips", "127.0.0.1",
                                  # Longer than any client keeps an idle connection: none is closed in the face of a request.
                                  "--timeout-keep-alive", "75"],
                         env=env, cwd=ROOT / "examples/shop")
        shop.ready(lambda: answers(self.url("shop") + "/health/ready"), 60)

    def _exporters(self) -> None:
        listen = lambda name: f"--web.listen-address=127.0.0.1:{self.ports[name]}"  # noqa: E731
        self._add("node-exporter", [program("node_exporter"), listen("node-exporter"),
                                    # Debian's package switches more on than the image does, some of it slow.
                                    "--collector.disable-defaults", "--collector.cpu", "--collector.meminfo",
                                    "--collector.filesystem", "--collector.netdev", "--collector.loadavg",
                                    "--collector.timex", "--collector.diskstats", "--collector.uname", "--collector.vmstat"])
        self._add("postgres-exporter", [program("postgres_exporter"), listen("postgres-exporter")], env={
            "DATA_SOURCE_URI": f"127.0.0.1:{self.ports['postgres']}/shop?sslmode=disable", "DATA_SOURCE_USER": "shop",
            "DATA_SOURCE_PASS_FILE": str(self.data / "secrets/password")}, cwd=self.data)
        self._add("redis-exporter", [program("redis_exporter"), listen("redis-exporter"),
                                     f"--redis.addr=redis://127.0.0.1:{self.ports['redis']}"],
                  env={"REDIS_PASSWORD": self.password})
        self._add("blackbox-exporter", [program("blackbox_exporter"), listen("blackbox-exporter"),
                                        f"--config.file={self.data / 'blackbox/blackbox.yml'}"])
        for name in ("node-exporter", "postgres-exporter", "redis-exporter", "blackbox-exporter"):
            self.processes[name].ready(lambda name=name: answers(self.url(name) + "/metrics", 5))

    def _monitors(self) -> None:
        self._add("watchfire", [watchfire(), "serve", f"--config.file={self.data / 'watchfire/watchfire.yml'}",
                                f"--storage.path={self.data / 'watchfire/data'}", f"--web.external-url={self.url('watchfire')}"])
        self._add("alertmanager", [program("alertmanager"), f"--config.file={self.data / 'alertmanager/alertmanager.yml'}",
                                   f"--storage.path={self.data / 'alertmanager/data'}", "--cluster.listen-address=",
                                   f"--web.listen-address=127.0.0.1:{self.ports['alertmanager']}"], cwd=self.data)
        for name in ("watchfire", "alertmanager"):
            self.processes[name].ready(lambda name=name: answers(self.url(name) + "/-/ready"))
        for name in ("prometheus", "prometheus-b")[: self.replicas]:
            self.start_prometheus(name)
        for name in ("prometheus", "prometheus-b")[: self.replicas]:
            self.processes[name].ready(lambda name=name: answers(self.url(name) + "/-/ready"))

    def start_prometheus(self, name: str) -> None:
        self._add(name, [prometheus(), f"--config.file={self.data / 'prometheus/prometheus.yml'}",
                         f"--storage.tsdb.path={self.data / name / 'data'}", "--storage.tsdb.retention.time=15d",
                         "--storage.tsdb.retention.size=900MB", "--enable-feature=metadata-wal-records", "--web.enable-lifecycle",
                         f"--web.listen-address=127.0.0.1:{self.ports[name]}"],
                  env={"PROMETHEUS_REPLICA": name}, cwd=self.data)

    def start_traffic(self, *more: str) -> Process:
        return self._add("traffic", [sys.executable, ROOT / "examples/shop/traffic.py", "run", "--url", self.url("shop"),
                                     "--summary", self.data / "traffic.json", "--pace", self.pace, *more])

    def stop(self, name: str) -> None:
        # PostgreSQL waits for its clients on SIGTERM and hangs up on them on SIGINT.
        self.processes[name].stop(signal.SIGINT if name == "postgres" else signal.SIGTERM)

    def start(self, name: str) -> None:
        self.processes[name].start()

    def down(self) -> None:
        for name in reversed(list(self.processes)):
            self.stop(name)

    def ended(self) -> list[str]:
        return [name for name, process in self.processes.items() if not process.alive()]

    def wait(self) -> None:
        """Until somebody presses Ctrl-C or something ends by itself."""
        while not self.ended():
            time.sleep(0.5)
        name = self.ended()[0]
        raise StackError(f"{name} has ended:\n{self.processes[name].tail()}")
