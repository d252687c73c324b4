"""How far the worker takes batches ahead of what is being stored."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.clock import VirtualClock
from tests.support.usage import KnownHomes, usage_on

from energy_tracker.contracts.directory import Assignment, DirectoryDevice
from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.eventlog.port import Batch, Message
from energy_tracker.services.usage import worker as usage_worker
from energy_tracker.services.usage.adapters.embedded import EMBEDDED_PLACE, EmbeddedStream
from energy_tracker.services.usage.model.readings import Place
from energy_tracker.services.usage.ports import Recorded
from energy_tracker.services.usage.worker import UsageWorker

NOON_MS = 1_772_366_400_000
READINGS = 9


class HeldStore:
    """A store whose turns wait until they are let go."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.let_go = asyncio.Event()

    async def commit(self, turn: Recorded) -> None:
        await self.let_go.wait()
        await self._store.commit(turn)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class OneByOne(EmbeddedStream):
    """A stream whose batches are one record each; `taken` is how many there were."""

    def __init__(self, log: MemoryEventLog) -> None:
        super().__init__(log)
        self._log = log
        self.taken = 0

    async def batches(self, *, after: Mapping[Place, int]) -> AsyncIterator[Batch]:
        async for batch in self._log.consume(ENERGY_USAGE, group="one", after=after[EMBEDDED_PLACE], limit=1):
            self.taken += 1
            yield batch


@contextmanager
def running(worker: UsageWorker) -> Iterator[None]:
    task = asyncio.create_task(worker.consume())
    try:
        yield
    finally:
        task.cancel()


@pytest.mark.parametrize(("few", "ahead"), [(1, 3), (2, 2)])
async def test_small_batches_are_not_taken_far_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int, ahead: int
) -> None:
    """While one is stored and another is prepared, more would only wait; a large one is decoded meanwhile."""
    monkeypatch.setattr(usage_worker, "_FEW", few)
    clock = VirtualClock()
    homes = KnownHomes().add(DirectoryDevice(id=1, version=1, user_id=1, assignments=(Assignment(user_id=1),)))
    async with usage_on(tmp_path, homes, clock) as usage:
        store = HeldStore(usage.store)
        usage.service.store = usage.service.recorder.store = store  # type: ignore[assignment]  # stands for it
        log = MemoryEventLog(clock=clock)
        for minute in range(READINGS):
            reading = ReadingMessage(device_id=1, timestamp=NOON_MS + minute * 60_000, energy_consumed=0.5)
            await log.append(ENERGY_USAGE, [Message(None, msgspec.json.encode([reading]), readings=1)])
        stream = OneByOne(log)
        with running(UsageWorker(log, stream, store, usage.service, clock)):  # type: ignore[arg-type]  # stands for it
            async with asyncio.timeout(10):
                while stream.taken < ahead:
                    await usage.store.holdings()
            for _ in range(50):
                await usage.store.holdings()
            assert stream.taken == ahead
            store.let_go.set()
            async with asyncio.timeout(10):
                while (await usage.store.holdings()).stored < READINGS:
                    pass
