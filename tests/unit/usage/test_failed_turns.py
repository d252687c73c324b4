"""A turn that cannot be stored is let go of at once: the store may be away for long, and each attempt is large."""

import asyncio
import gc
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
from energy_tracker.eventlog.port import Message
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.usage.adapters.embedded import EmbeddedStream
from energy_tracker.services.usage.ports import Recorded
from energy_tracker.services.usage.worker import RETRY_S, UsageWorker

ATTEMPTS = 5
NOON_MS = 1_772_366_400_000


class AwayStore:
    """A store that takes no turn."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.refused = 0

    async def commit(self, turn: Recorded) -> None:
        del turn
        self.refused += 1
        await asyncio.sleep(0)
        raise TemporarilyUnavailable("It does not answer.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def turns_in_memory() -> int:
    return sum(isinstance(each, Recorded) for each in gc.get_objects())


async def test_turns_that_failed_do_not_pile_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")
    clock = VirtualClock()
    homes = KnownHomes().add(DirectoryDevice(id=1, version=1, user_id=1, assignments=(Assignment(user_id=1),)))
    async with usage_on(tmp_path, homes, clock) as usage:
        store = AwayStore(usage.store)
        usage.service.store = usage.service.recorder.store = store
        log = MemoryEventLog(clock=clock)
        reading = ReadingMessage(device_id=1, timestamp=NOON_MS, energy_consumed=0.5)
        await log.append(ENERGY_USAGE, [Message(None, msgspec.json.encode([reading]), readings=1)])
        worker = UsageWorker(log, EmbeddedStream(log), store, usage.service, clock)
        gc.collect()
        gc.disable()
        task = asyncio.create_task(worker.consume())
        try:
            before = turns_in_memory()
            async with asyncio.timeout(10):
                while store.refused < ATTEMPTS:
                    await clock.advance(RETRY_S)
                    await asyncio.sleep(0)
            await clock.settle()
            assert turns_in_memory() - before <= 1
        finally:
            gc.enable()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
