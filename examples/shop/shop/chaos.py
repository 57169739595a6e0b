"""What is broken on purpose at the moment. Each mode breaks something real: queries that sleep, connections that are held."""

MODES = ("slow", "errors", "pool", "cache", "queue", "disk")


class Chaos:
    def __init__(self):
        self.on: set[str] = set()
        self._requests = 0

    def __contains__(self, mode: str) -> bool:
        return mode in self.on

    def fail_now(self) -> bool:
        """One request of four, while `errors` is on."""
        self._requests += 1
        return "errors" in self.on and self._requests % 4 == 0


chaos = Chaos()
