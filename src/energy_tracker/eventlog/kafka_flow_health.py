"""Whether a flow moves: written by its thread, and read by the event loop."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from energy_tracker.kit.health import PartHealth

_STANDS_S: Final = 30.0
"""A flow that has not committed for so long, while something waits, is not well."""

_WITHOUT_S: Final = 5.0
"""So long partitions are usually without anybody at most when they are given anew."""

_DETAIL_LIMIT: Final = 300


@dataclass(slots=True)
class FlowHealth:
    """What has gone wrong last, when something was committed last, and since when no partitions are known."""

    _error: str | None = "it has not joined the group yet"
    _moved_at: float = field(default_factory=time.monotonic)
    _without_since: float | None = None

    def failed(self, error: Exception) -> str:
        """Take note of an error, and return it in words."""
        self._error = str(error)[:_DETAIL_LIMIT]
        return self._error

    def moved(self) -> None:
        """Say that something was committed."""
        self._moved_at, self._error = time.monotonic(), None

    def taken(self) -> None:
        """Say that partitions are known."""
        self._without_since = None
        self.moved()

    def lost(self) -> None:
        """Say that the partitions are known no longer."""
        if self._without_since is None:
            self._without_since = time.monotonic()

    def health(self, partitions: Sequence[int], lag: int) -> PartHealth:
        """Say whether partitions are known, and whether what waits moves."""
        if self._error is not None:
            return PartHealth("DOWN", {"error": self._error})
        without_since, now = self._without_since, time.monotonic()
        if without_since is not None and now - without_since > _WITHOUT_S:
            return PartHealth("DOWN", {"error": f"Kafka has given it no partitions for {now - without_since:.0f} s"})
        details: dict[str, object] = {"partitions": list(partitions), "lag": lag}
        if lag and now - self._moved_at > _STANDS_S:
            return PartHealth("DOWN", details | {"error": f"nothing was committed for {now - self._moved_at:.0f} s"})
        return PartHealth("UP", details)
