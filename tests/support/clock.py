"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools
from datetime import UTC, datetime

from energy_tracker.kit.instants import from_ms, to_ms

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
_TURNS = 20  # of the event loop, so that whoever was woken gets to its next wait


class VirtualClock:
    """Implements `kit.clock.Clock` on virtual time: `sleep` returns when `advance` has passed its end."""

    def __init__(self, start: datetime = START) -> None:
        self._now_ms = to_ms(start)
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the virtual instant, in UTC."""
        return from_ms(self._now_ms)

    def now_ms(self) -> int:
        """Return the virtual instant in ms since 1970."""
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        """Return once `advance` has moved the clock on by so much."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_ms + round(seconds * 1000), next(self._order), woken))
        await woken

    @property
    def next_wake_ms(self) -> int | None:
        """When the next sleeper wakes (ms since 1970); None: nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def advance(self, seconds: float) -> None:
        """Move on by so much, waking every sleeper at its own instant, and let each go as far as it gets."""
        end_ms = self._now_ms + round(seconds * 1000)
        await self.settle()
        while (wake_ms := self.next_wake_ms) is not None and wake_ms <= end_ms:
            self._now_ms = max(self._now_ms, wake_ms)
            _, _, woken = heapq.heappop(self._sleepers)
            woken.set_result(None)
            await self.settle()
        self._now_ms = end_ms

    async def settle(self) -> None:
        """Let every task that can go on do so, for some turns of the event loop."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
