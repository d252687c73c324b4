"""An episode that ended because its readings grew old stays ended, and is no second episode, also after a restart."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support.clock import START, VirtualClock
from tests.support.usage import KnownHomes, usage_on

from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.kit.ids import derived_event_key
from energy_tracker.services.usage.model.readings import Reading

START_MS = round(START.timestamp() * 1000)
MINUTE_MS = 60_000


def interval(minute: int, kwh: float) -> Reading:
    time_ms = START_MS + minute * MINUTE_MS
    return Reading(1, time_ms, derived_event_key(1, time_ms * 1000, "interval", "import", kwh, None), "interval", kwh)


@pytest.mark.parametrize("restart", [False, True])
async def test_what_aged_is_over(tmp_path: Path, *, restart: bool) -> None:
    clock = VirtualClock()
    homes = KnownHomes().add(
        DirectoryUser(id=1, version=1, alerting=True, energy_alerting_threshold=1.0),
        DirectoryDevice(id=1, version=1, user_id=1, assignments=(Assignment(user_id=1),)),
    )
    async with AsyncExitStack() as stack:
        usage = await stack.enter_async_context(usage_on(tmp_path, homes, clock))
        await usage.record([interval(-50, 0.1), interval(-20, 0.9), interval(0, 0.9)])
        await clock.advance(70 * 60)
        await usage.service.check(caught_up=True)
        before = await usage.store.episodes(user_id=1, from_ms=0, to_ms=2**60)
        assert [(each.ended_ms, each.version) for each in before] == [(START_MS + 60 * MINUTE_MS, 2)]
        if restart:
            await stack.aclose()
            usage = await stack.enter_async_context(usage_on(tmp_path, homes, clock))
        await usage.record([interval(69, 0.01)])
        assert await usage.store.episodes(user_id=1, from_ms=0, to_ms=2**60) == before
