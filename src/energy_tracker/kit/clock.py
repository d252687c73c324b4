"""The only place where the time of day is read."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits; tests pass one that runs on virtual time."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""

    def now_ms(self) -> int:
        """Return the current instant in whole milliseconds since 1970-01-01T00:00Z."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock's time."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC."""
        return datetime.now(UTC)

    def now_ms(self) -> int:
        """Return the current instant in whole milliseconds since 1970-01-01T00:00Z."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)
