"""A lint for docker-compose.yml: what the plans promise of it, read from the file itself."""

import re
from pathlib import Path

import yaml

# The plans' budgets, in MiB; everything else may have half of what Prometheus has.
BUDGETS = {"prometheus": 512, "prometheus-b": 512, "grafana": 256, "alertmanager": 128, "watchfire": 128, "node-exporter": 64,
           "postgres-exporter": 64, "redis-exporter": 64, "blackbox-exporter": 64, "cadvisor": 128}
OTHERS = 256
CORE = {"secrets", "stage", "watchfire", "prometheus", "alertmanager"}
# Who is root, and why nobody else may be: volumes begin as root's; the groups of all containers and Docker's socket are root's.
ROOT_ALLOWED = {"secrets", "stage", "stage-full", "cadvisor", "docker-proxy"}
SECRET = re.compile(r"password|passwd|secret|token|api_?key|credential", re.IGNORECASE)


def mebibytes(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([kmg])b?", str(text).lower()).groups()
    return int(number) * {"k": 1 / 1024, "m": 1, "g": 1024}[unit]


def lint(text: str) -> list[str]:
    """Every breach, one line each."""
    whole = yaml.safe_load(text)
    found = []
    for name, service in whole["services"].items():
        say = lambda what, name=name: found.append(f"docker-compose.yml: {name}: {what}")  # noqa: E731
        tag = service.get("image", "").rpartition("/")[2].partition(":")[2]
        if not re.match(r"v?\d+\.\d+", tag):
            say(f"image {service.get('image')!r} is not pinned to a version")
        once = service.get("network_mode") == "none"
        if str(service.get("user", "0")).split(":")[0] in ("", "0", "root") and name not in ROOT_ALLOWED:
            say("runs as root")
        if "mem_limit" not in service:
            say("has no memory limit")
        elif mebibytes(service["mem_limit"]) > BUDGETS.get(name, OTHERS):
            say(f"may use {service['mem_limit']}, more than its budget of {BUDGETS.get(name, OTHERS)}m")
        if not once and not service.get("healthcheck", {}).get("test"):
            say("has no health check")
        if "no-new-privileges:true" not in service.get("security_opt", []):
            say("may gain privileges")
        if not once and not (service.get("read_only") and service.get("cap_drop") == ["ALL"]):
            say("its root is writable or it keeps capabilities")
        if service.get("privileged") or service.get("network_mode") == "host" or service.get("pid") == "host":
            say("is privileged, or shares the machine's network or processes")
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                say(f"port {port} is published beyond this machine")
        profiles = set(service.get("profiles", []))
        if profiles != ({"core", "full"} if name in CORE else {"full"}):
            say(f"is in the profiles {sorted(profiles)}")
        environment = service.get("environment", {})
        pairs = environment.items() if isinstance(environment, dict) else (e.partition("=")[::2] for e in environment)
        for key, value in pairs:
            if SECRET.search(key) and not key.upper().endswith(("_FILE", "_PASS_FILE")):
                say(f"{key} is a secret in the environment; name a file instead")
            if "://" in str(value) and re.search(r"://[^/@]*:[^/@]+@", str(value)):
                say(f"{key} holds a password")
        for mount in service.get("volumes", []):
            if isinstance(mount, str) and "docker.sock" in mount and name != "docker-proxy":
                say("reaches Docker's socket")
        for other in service.get("depends_on", {}):
            if other not in whole["services"]:
                say(f"depends on {other}, which is not there")
    return found


def check(path: Path) -> list[str]:
    text = path.read_text()
    found = lint(text)
    # The lint itself: each of these must be found.
    for old, new in (("prom/prometheus:v3.5.0", "prom/prometheus:latest"), ("mem_limit: 512m", "mem_limit: 2g"),
                     ('"127.0.0.1:9093:9093"', '"9093:9093"'), ('user: "472:65534"', 'user: "0:0"'),
                     ("POSTGRES_PASSWORD_FILE: /run/stack/postgres", "POSTGRES_PASSWORD: postgres"),
                     ("    read_only: true", "    privileged: true"),
                     ('      test: ["CMD", "/watchfire", "probe"]', "      disable: true")):
        broken = text.replace(old, new, 1) if old in text else text.replace(old.strip(), new.strip(), 1)
        if broken == text or not set(lint(broken)) - set(found):
            found.append(f"the lint does not see {new.strip()!r}")
    return found
