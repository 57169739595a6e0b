"""What the environment says. Every setting has a default that works beside examples/run-local."""

import os
import tempfile
from dataclasses import dataclass, field


STORAGE_DIR = os.path.join(tempfile.gettempdir(), "shop-storage")


def _secret(name: str, default: str) -> str:
    """A value, or the content of the file that NAME_FILE names: secrets come from files."""
    path = os.environ.get(f"{name}_FILE")
    if path:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    return os.environ.get(name, default)


@dataclass(frozen=True)
class Settings:
    database_url: str = field(default_factory=lambda: _secret("SHOP_DATABASE_URL", "postgresql://127.0.0.1:5432/shop"))
    redis_url: str = field(default_factory=lambda: _secret("SHOP_REDIS_URL", "redis://127.0.0.1:6379/0"))
    payments_url: str = field(default_factory=lambda: os.environ.get("SHOP_PAYMENTS_URL", "http://127.0.0.1:8001"))
    storage_dir: str = field(default_factory=lambda: os.environ.get("SHOP_STORAGE_DIR", STORAGE_DIR))
    storage_capacity: int = field(default_factory=lambda: int(os.environ.get("SHOP_STORAGE_CAPACITY_BYTES", 64 * 2**20)))
    # Off unless asked for: whoever reaches the port could break the application with it.
    chaos: bool = field(default_factory=lambda: os.environ.get("SHOP_CHAOS") == "1")
    # How many times faster than real time windows pass; the tests of the stack run hours in minutes.
    pace: float = field(default_factory=lambda: float(os.environ.get("SHOP_PACE", "1")))

    def seconds(self, real: float) -> float:
        """A span of real time at our pace."""
        return real / self.pace
