"""An eye of its own on this machine, so that an alert about it can be told from a false alarm.

The stack's machine alerts watch the real machine. When that really is busy or full (a build beside the test), they are right to
fire; the checks then ask here, where nothing goes through exporter, Prometheus or rules.
"""

import os
import threading
import time
from collections import deque


class Host:
    """Reads CPU, memory and disks twice a second."""

    def __init__(self, window_seconds: float):
        self.window = window_seconds
        self.readings: deque[dict] = deque(maxlen=4000)
        self.stopped = threading.Event()
        self.cpu_before = self._cpu()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    @staticmethod
    def _cpu() -> tuple[float, float]:
        with open("/proc/stat", encoding="ascii") as file:
            numbers = [float(n) for n in file.readline().split()[1:9]]
        return numbers[3], sum(numbers)

    @staticmethod
    def _memory() -> float:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = {line.split(":")[0]: float(line.split()[1]) for line in file}
        return 1 - fields["MemAvailable"] / fields["MemTotal"]

    @staticmethod
    def _disks() -> dict[str, tuple[float, float]]:
        found = {}
        with open("/proc/mounts", encoding="utf-8") as file:
            for line in file:
                device, place, kind = line.split()[:3]
                if kind in ("tmpfs", "overlay", "squashfs", "ramfs", "devtmpfs") or not device.startswith("/"):
                    continue
                try:
                    stat = os.statvfs(place)
                except OSError:
                    continue
                if stat.f_blocks:
                    found[place] = (1 - stat.f_bavail / stat.f_blocks, stat.f_bavail * stat.f_frsize)
        return found

    def _watch(self) -> None:
        while not self.stopped.wait(0.5):
            idle, total = self._cpu()
            was_idle, was_total = self.cpu_before
            self.cpu_before = idle, total
            busy = 1 - (idle - was_idle) / max(total - was_total, 1e-9)
            self.readings.append({"at": time.monotonic(), "cpu": busy, "memory": self._memory(), "disks": self._disks()})

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()

    def is_right(self, alert: str, horizon_seconds: float) -> bool:
        """Whether the machine itself confirms an alert about it, from the readings of the last windows.

        `horizon_seconds` is how far the alerts that predict look ahead.
        """
        recent = [r for r in list(self.readings) if r["at"] > time.monotonic() - 3 * self.window]
        if not recent:
            return False
        worst_disk = max((used for r in recent for used, _ in r["disks"].values()), default=0)
        if alert.startswith("NodeCpu"):
            return max(_means([r["cpu"] for r in recent], 6)) > (0.9 if alert.endswith("Critical") else 0.75)
        if alert.startswith("NodeMemory"):
            return max(r["memory"] for r in recent) > (0.95 if alert.endswith("Critical") else 0.85)
        if alert in ("NodeDiskHigh", "NodeDiskCritical"):
            return worst_disk > (0.9 if alert.endswith("Critical") else 0.85)
        if alert == "NodeDiskFillsUp":
            # Whether some stretch of the window lost space at a pace that ends within the horizon.
            last = recent[-1]
            return any(
                free + (free - r["disks"][place][1]) / (last["at"] - r["at"]) * horizon_seconds < 0.2 * free
                for place, (_, free) in last["disks"].items() for r in recent[:-10] if place in r["disks"])
        return False


def _means(values: list[float], width: int) -> list[float]:
    return [sum(values[i:i + width]) / len(values[i:i + width]) for i in range(0, max(1, len(values) - width + 1))]
