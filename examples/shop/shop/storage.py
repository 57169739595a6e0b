"""Uploads: a folder with a budget."""

import os

from . import metrics


class Storage:
    def __init__(self, folder: str, capacity: int):
        self.folder, self.capacity = folder, capacity
        os.makedirs(folder, exist_ok=True)
        metrics.storage_capacity.set(capacity)

    def used(self) -> int:
        with os.scandir(self.folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())

    def measure(self) -> None:
        metrics.storage_used.set(self.used())

    def grow(self, size: int) -> None:
        """Chaos `disk`: one more file, up to the budget."""
        if self.used() + size <= self.capacity:
            with open(os.path.join(self.folder, f"chaos-{os.urandom(8).hex()}"), "wb") as file:
                file.write(b"\0" * size)

    def clean(self) -> None:
        for name in os.listdir(self.folder):
            if name.startswith("chaos-"):
                os.remove(os.path.join(self.folder, name))
