"""Clients for `bench.distributed_faults`: a steady rate of readings, each batch sent until it is answered 202.

A device sends a reading for each second of an event time that began long ago and passes quickly, so that what must be
stored follows from how many readings of the device were taken. Batches hold 100 to 1 000 readings of one home. Some are
sent again at once, and some later, when the door may have forgotten them.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.support.processes import PASSING
from tests.support.truth import HOUR_MS, iso

from bench.ingest import Connection, request

SMALLEST, LARGEST = 100, 1_000
REPEATED_AT_ONCE, REPEATED_LATER = 0.05, 0.05
"""These shares of the batches."""
KEPT = 64
"""So many batches back a later repeat may reach."""
ANSWER_S = 10.0
"""A client that has no answer after so long sends again, on a new connection."""
PAUSE_S = 0.1
_STEP_MS = 1_000
_NONE_REJECTED = b'"rejected":0'
_BUSY = 429


@dataclass
class Source:
    """A device, how many readings of it were taken, and their Wh by the hour (ms) in which they were used."""

    device_id: int
    begin_ms: int
    taken: int = 0
    wh: Counter[int] = field(default_factory=Counter)

    def next_items(self, count: int) -> list[str]:
        """Return so many readings as JSON, and take them as sent: whoever asks sends them until they are taken."""
        items = []
        for number in range(self.taken, self.taken + count):
            begin_ms = self.begin_ms + number * _STEP_MS
            wh = 1 + (number * 7 + self.device_id) % 9
            self.wh[begin_ms // HOUR_MS * HOUR_MS] += wh
            items.append(
                f'{{"deviceId":{self.device_id},"timestamp":"{iso(begin_ms + _STEP_MS)}","energyConsumed":0.00{wh}}}'
            )
        self.taken += count
        return items


class _Line(Connection):
    """A connection that says when it broke."""

    def connection_lost(self, error: Exception | None) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_exception(error or ConnectionResetError())


@dataclass
class Counts:
    """What clients have sent: readings that were taken, by how many they are new, repeated, or maybe taken twice."""

    unique: int = 0
    repeated: int = 0
    unsure: int = 0
    """In requests without an answer that says yes or no: each may count as repeated, as it was sent again."""
    refused: int = 0
    """Requests that were answered with a passing failure, or not at all."""
    most_behind_s: float = 0.0
    """How long after it was due a batch was sent."""


class Door:
    """Sends requests to ingestion-service, each until it is taken, and opens connections anew."""

    def __init__(self, port: Callable[[], int], counts: Counts) -> None:
        self._port = port
        self._line: _Line | None = None
        self.counts = counts

    async def send(self, message: bytes, readings: int) -> None:
        """Return when the batch is taken; raises where it is turned away for good."""
        while (answer := await self._once(message, readings)) is None or (status := int(answer[9:12])) != 202:
            self.counts.refused += 1
            if answer is not None:
                if status not in PASSING:
                    raise RuntimeError(f"a batch was answered {answer.decode()[:500]}")
                self.counts.unsure += readings if status != _BUSY else 0
            await asyncio.sleep(PAUSE_S)
        if _NONE_REJECTED not in answer:
            raise RuntimeError(f"readings were rejected: {answer.decode()[:500]}")

    async def _once(self, message: bytes, readings: int) -> bytes | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                line = await self._connected()
        except (OSError, TimeoutError):
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                return await line.post(message)
        except (OSError, TimeoutError):
            self.counts.unsure += readings
            self.close()
            return None

    async def _connected(self) -> _Line:
        if self._line is None or self._line.transport.is_closing():
            loop = asyncio.get_running_loop()
            _, self._line = await loop.create_connection(_Line, "127.0.0.1", self._port())
        return self._line

    def close(self) -> None:
        """Close the connection."""
        if self._line is not None:
            self._line.transport.close()
            self._line = None


class Gateway:
    """Sends the readings of some devices of a home, in order, a batch when it is due."""

    def __init__(self, door: Door, sources: Sequence[Source], chance: random.Random) -> None:
        self.door = door
        self.sources = sources
        self._chance = chance
        self._kept: deque[tuple[bytes, int]] = deque(maxlen=KEPT)

    async def run(self, rate: float, stopping: asyncio.Event) -> None:
        """Send so many new readings a second until told to stop."""
        begin, sent, counts = time.monotonic(), 0, self.door.counts
        while not stopping.is_set():
            behind_s = time.monotonic() - begin - sent / rate
            if behind_s < 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), -behind_s)
                continue
            counts.most_behind_s = max(counts.most_behind_s, behind_s)
            message, readings = self._next_batch()
            await self.door.send(message, readings)
            counts.unique += readings
            sent += readings
            await self._repeat(message, readings)

    def _next_batch(self) -> tuple[bytes, int]:
        each = self._chance.randint(SMALLEST, LARGEST) // len(self.sources)
        items = [item for source in self.sources for item in source.next_items(each)]
        return request("/api/v1/ingestion/batch", f"[{','.join(items)}]".encode()), len(items)

    async def _repeat(self, message: bytes, readings: int) -> None:
        again = []
        if self._chance.random() < REPEATED_AT_ONCE:
            again.append((message, readings))
        if self._kept and self._chance.random() < REPEATED_LATER:
            again.append(self._chance.choice(self._kept))
        self._kept.append((message, readings))
        for old, count in again:
            await self.door.send(old, count)
            self.door.counts.repeated += count


class SteadyLoad:
    """All gateways together."""

    def __init__(self, gateways: Sequence[Gateway], counts: Counts) -> None:
        self.gateways = gateways
        self.counts = counts
        self._work: list[asyncio.Task[None]] = []
        self._began = 0.0
        self._before = 0
        self._rate = 0.0

    @asynccontextmanager
    async def running(self, rate: float) -> AsyncIterator[None]:
        """Send so many new readings a second meanwhile; in the end wait until each batch under way is taken."""
        stopping = asyncio.Event()
        self._began, self._before, self._rate = time.monotonic(), self.counts.unique, rate
        each = rate / len(self.gateways)
        self._work = [asyncio.create_task(gateway.run(each, stopping)) for gateway in self.gateways]
        try:
            yield
            stopping.set()
            await asyncio.gather(*self._work)
        finally:
            for task in self._work:
                task.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)
            for gateway in self.gateways:
                gateway.door.close()

    @property
    def due(self) -> int:
        """How many new readings should have been sent by now, at the rate."""
        return self._before + int((time.monotonic() - self._began) * self._rate)

    def check(self) -> None:
        """Raise what made a gateway give up."""
        for task in self._work:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
