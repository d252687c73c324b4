"""A home is judged when its threshold changes, or becomes known: nobody waits for its next reading."""

from pathlib import Path

import pytest
from tests.support.clock import START, VirtualClock
from tests.support.usage import KnownHomes, Usage, usage_on

from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.services.usage.model.readings import Reading

START_MS = round(START.timestamp() * 1000)
PLUG = DirectoryDevice(id=1, version=1, user_id=1, assignments=(Assignment(user_id=1),))


def home(threshold: float | None, *, alerting: bool = True) -> DirectoryUser:
    return DirectoryUser(id=1, version=1, alerting=alerting, energy_alerting_threshold=threshold)


def interval(minute: int, kwh: float) -> Reading:
    return Reading(1, START_MS + minute * 60_000, f"id {minute}".encode(), "interval", kwh)


async def open_episodes(usage: Usage) -> int:
    return len(await usage.store.open_episodes())


@pytest.mark.parametrize("before", [None, home(9.0), home(1.0, alerting=False)])
async def test_a_threshold_that_is_passed_already_is_told(tmp_path: Path, before: DirectoryUser | None) -> None:
    homes = KnownHomes().add(PLUG, *([] if before is None else [before]))
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        await usage.record([interval(-30, 0.2), interval(-10, 0.9), interval(0, 0.9)])
        assert await open_episodes(usage) == 0
        homes.add(home(1.0))
        await usage.service.judge_homes(user_ids=[1])
        assert await open_episodes(usage) == 1
        await usage.service.judge_homes(user_ids=[1])
        assert await open_episodes(usage) == 1


async def test_what_is_older_than_the_hour_opens_nothing(tmp_path: Path) -> None:
    homes, clock = KnownHomes().add(PLUG, home(9.0)), VirtualClock()
    async with usage_on(tmp_path, homes, clock) as usage:
        await usage.record([interval(-30, 0.2), interval(0, 0.9)])
        await clock.advance(2 * 3_600)
        homes.add(home(0.5))
        await usage.service.judge_homes(user_ids=[1])
        assert await open_episodes(usage) == 0


async def test_a_threshold_that_was_raised_ends_the_episode(tmp_path: Path) -> None:
    homes = KnownHomes().add(PLUG, home(0.5))
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        await usage.record([interval(-30, 0.2), interval(0, 0.9)])
        assert await open_episodes(usage) == 1
        homes.add(home(50.0))
        await usage.service.judge_homes(user_ids=[1])
        assert await open_episodes(usage) == 0
