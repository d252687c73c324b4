"""usage-service is DOWN while something does not go on, and UP again as soon as it does, also when nothing comes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.clock import VirtualClock
from tests.support.usage import KnownHomes, usage_on

from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.usage.adapters.embedded import EmbeddedStream
from energy_tracker.services.usage.worker import UsageWorker


class FailsOnce:
    """A store whose next call of one kind fails."""

    def __init__(self, store: Any, name: str) -> None:
        self._store = store
        self._name = name

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._store, name)
        if name != self._name:
            return member
        self._name = ""

        async def fail(*_: object, **__: object) -> None:
            raise TemporarilyUnavailable("It does not answer.")

        return fail


@pytest.mark.parametrize(
    ("call", "work"),
    [
        ("take_up", lambda worker: worker.consume()),
        ("outgoing", lambda worker: worker.publish()),
        ("parked", lambda worker: worker.watch_time()),
        ("known_devices", lambda worker: worker.consume()),
    ],
)
async def test_what_failed_once_is_forgotten_when_it_goes_on(
    tmp_path: Path, call: str, work: Callable[[UsageWorker], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    clock = VirtualClock()
    async with usage_on(tmp_path, KnownHomes(), clock) as usage:
        store = FailsOnce(usage.store, call)
        usage.service.store = usage.service.recorder.store = store
        log = MemoryEventLog(clock=clock)
        worker = UsageWorker(log, EmbeddedStream(log), store, usage.service, clock)
        task = asyncio.ensure_future(work(worker))

        async def reaches(status: str) -> None:
            async with asyncio.timeout(10):
                while (await worker.health()).status != status:  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(0.001)

        try:
            await reaches("DOWN")
            await clock.advance(12)
            await reaches("UP")
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
