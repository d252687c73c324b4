"""How much of what comes from Kafka makes one batch, and how long more of it is waited for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Message

BATCH_BYTES: Final = 2_000_000
BATCH_RECORDS: Final = 20_000
WINDOW_S: Final = 0.005
"""How long a batch waits for more once it has something; what is there already is taken in any case."""
MEANWHILE_S: Final = 0.1
"""How long it does while one before it is under way: at most until that is to be committed."""
_AT_ONCE: Final = 2_000
_LARGE_BYTES: Final = 20_000.0  # what a message is taken to have before any was seen
_SMALL_BYTES: Final = 20.0


@dataclass(slots=True)
class Gathering:
    """One batch after the other: `wanted` messages are to be asked for next, for at most `timeout_s`."""

    wanted: int = 1
    timeout_s: float = 0.0
    _bytes: int = 0
    _messages: int = 0
    _window_s: float = WINDOW_S
    _until: float | None = None
    _mean_bytes: float = _LARGE_BYTES

    def begin(self, held: Sequence[Message], *, timeout_s: float, meanwhile: bool) -> None:
        """Begin a batch with what is there already; `meanwhile`: one before it is under way."""
        self._bytes, self._messages, self._until = sum(map(len, held)), len(held), None
        self.wanted, self.timeout_s = 1, timeout_s
        self._window_s = MEANWHILE_S if meanwhile else WINDOW_S

    @property
    def is_full(self) -> bool:
        """Whether nothing more belongs to the batch."""
        return self._bytes >= BATCH_BYTES or self._messages >= BATCH_RECORDS

    def add(self, found: Sequence[Message]) -> bool:
        """Count what has come; return whether more is to be waited for."""
        self._bytes += sum(map(len, found))
        self._messages += len(found)
        if self._messages:
            self._mean_bytes = max(self._bytes / self._messages, _SMALL_BYTES)
        now = time.monotonic()
        self._until = now + self._window_s if self._until is None else self._until
        if not found or self.is_full or (now >= self._until and len(found) < self.wanted):
            return False
        room = int((BATCH_BYTES - self._bytes) / self._mean_bytes) + 1
        self.wanted = min(BATCH_RECORDS - self._messages, room, _AT_ONCE)
        self.timeout_s = min(max(0.0, self._until - now), WINDOW_S)
        return True
