"""An eye of its own on this machine, so that an alert about it can be told from a false alarm.

The stack's machine alerts watch the real machine. When that really is busy or full (a build beside the test), they are right to
fire; the checks then ask here, where nothing goes through exporter, Prometheus or rules. Each alert is asked about the very
quantity of its rule, over its rule's window. What is just below the threshold counts too: two who read the same counters at other
moments do not see quite the same.
"""

import os
import threading
import time
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

EVERY_SECONDS = 0.5
# From rules/node.yml: the window of the CPU rules, and how far predict_linear() of NodeDiskFillsUp looks back and ahead.
CPU_WINDOW_SECONDS, SLOPE_SECONDS, HORIZON_SECONDS = 300, 1800, 4 * 3600
# Threshold, how far below it the machine may be seen by us, and the rule's `for`.
LEVELS = {
    "NodeCpuHigh": (0.8, 0.1, 300), "NodeCpuCritical": (0.95, 0.1, 180),
    "NodeMemoryHigh": (0.85, 0.02, 300), "NodeMemoryCritical": (0.95, 0.02, 120),
    "NodeDiskHigh": (0.85, 0.01, 300), "NodeDiskCritical": (0.9, 0.01, 300),
}
DISK_FILLS_FOR_SECONDS = 900
# From a reading here to an alert in the last of the two systems: scrapes, evaluations, sending.
SETTLES_SECONDS = 15


@dataclass(frozen=True)
class Reading:
    at: float
    # Ticks of all processors together since the machine began: idle, and all.
    idle: float
    ticks: float
    memory: float
    # By place: share used, bytes free.
    disks: dict[str, tuple[float, float]]


class Host:
    """Reads CPU, memory and disks twice a second."""

    def __init__(self, pace: float):
        self.pace = pace
        self.readings: deque[Reading] = deque(maxlen=8000)
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    @staticmethod
    def _cpu() -> tuple[float, float]:
        with open("/proc/stat", encoding="ascii") as file:
            # The modes of the exporter: from user to steal.
            ticks = [float(n) for n in file.readline().split()[1:9]]
        return ticks[3], sum(ticks)

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
        while not self.stopped.is_set():
            self.readings.append(Reading(time.monotonic(), *self._cpu(), self._memory(), self._disks()))
            self.stopped.wait(EVERY_SECONDS)

    def stop(self) -> None:
        self.stopped.set()
        self.thread.join()

    def is_right(self, alert: str) -> bool:
        """Whether the machine itself confirms an alert about it, or nearly does."""
        readings, now = list(self.readings), time.monotonic()
        since = lambda real: [r for r in readings if r.at > now - real / self.pace - SETTLES_SECONDS]  # noqa: E731
        if alert == "NodeDiskFillsUp":
            return self._fills_up(since(SLOPE_SECONDS + DISK_FILLS_FOR_SECONDS))
        if alert not in LEVELS:
            return False
        threshold, near, lasts = LEVELS[alert]
        if alert.startswith("NodeCpu"):
            seen = self._busy(since(2 * CPU_WINDOW_SECONDS + lasts), CPU_WINDOW_SECONDS / self.pace)
        elif alert.startswith("NodeMemory"):
            seen = [r.memory for r in since(lasts)]
        else:
            seen = [used for r in since(lasts) for used, _ in r.disks.values()]
        return max(seen, default=0) > threshold - near

    @staticmethod
    def _busy(readings: list[Reading], window: float) -> list[float]:
        """Means over the window, as the rule takes them."""
        times, means = [r.at for r in readings], []
        for last in readings:
            first = readings[bisect_left(times, last.at - window)]
            if last.at - first.at > window / 2:
                means.append(1 - (last.idle - first.idle) / max(1, last.ticks - first.ticks))
        return means

    def _fills_up(self, readings: list[Reading]) -> bool:
        """Whether some disk ended (or nearly did) within the rule's horizon, by least squares over the rule's window as it was at
        some time while the alert waited or fired."""
        window, ahead, waits = (span / self.pace for span in (SLOPE_SECONDS, HORIZON_SECONDS, DISK_FILLS_FOR_SECONDS))
        last = readings[-1]
        for place in last.disks:
            points = [(r.at, r.disks[place][1]) for r in readings if place in r.disks]
            ends = [point for point in points if point[0] >= last.at - waits - SETTLES_SECONDS]
            for end, free in ends[::max(1, len(ends) // 60)]:
                seen = [(at - end, was) for at, was in points if end - window <= at <= end]
                # Who fires has seen at least its `for` of samples.
                if -seen[0][0] >= 0.9 * waits and _predicted(seen, ahead) < 0.2 * free:
                    return True
        return False


def _predicted(points: list[tuple[float, float]], ahead: float) -> float:
    """What predict_linear() says of points whose last one is at 0."""
    times, values = zip(*points)
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    slope = sum((t - middle) * (v - mean) for t, v in points) / sum((t - middle) ** 2 for t in times)
    return mean + slope * (ahead - middle)
