"""What is remembered of a home is what is stored of it, whoever changes that."""

from pathlib import Path

import msgspec
import pytest
from tests.support.arrivals import (
    METER,
    REFRIGERATOR,
    STUCK_MS,
    arrive,
    devices,
    held_back,
    in_time,
    shuffled,
    unusual_episodes,
    user,
)
from tests.support.energy import HOUR, QUARTER
from tests.support.usage import Usage
from tests.unit.usage_unusual.test_arrivals import BEGIN_MS, END_MS, begun, live
from tests.unit.usage_unusual.test_watching import device

from energy_tracker.kit.principal import LOCAL
from energy_tracker.services.usage import remembered
from energy_tracker.services.usage.ports import Recorded
from energy_tracker.services.usage.remembered import RememberedHomes
from energy_tracker.services.usage.unusual import UnusualWatch
from energy_tracker.services.usage.unusual_wishes import WatchWishes


async def compare(usage: Usage, unusual: UnusualWatch) -> bool:
    """Hold what is remembered against what is stored; return whether anything was."""
    known = await unusual.remembered.home(1)
    stored = await RememberedHomes(usage.store, usage.service.recorder).home(1)
    assert known.household == stored.household
    assert known.entries == stored.entries
    assert known.episodes == stored.episodes
    assert known.version == stored.version
    return await unusual.remembered.home(1) is known


@pytest.mark.parametrize("way", ["in time", "shuffled", "hours late"])
async def test_it_follows_what_is_judged(tmp_path: Path, way: str) -> None:
    arrivals = {
        "in time": in_time(live()),
        "shuffled": shuffled(live(), seed=4),
        "hours late": held_back(live(), from_ms=STUCK_MS - HOUR, until_ms=STUCK_MS + 4 * HOUR, of=[REFRIGERATOR]),
    }[way]
    known = 0
    async with begun(tmp_path / "home") as (usage, unusual):
        for until_ms in range(BEGIN_MS + QUARTER, END_MS - 30 * HOUR, QUARTER):
            await arrive(
                usage, unusual, [each for each in arrivals if each[0] >= until_ms - QUARTER], until_ms=until_ms
            )
            known += await compare(usage, unusual)
    assert known > 100


async def test_it_follows_what_others_change(tmp_path: Path) -> None:
    async with begun(tmp_path / "home") as (usage, unusual):
        await arrive(usage, unusual, in_time(live()), until_ms=STUCK_MS + 4 * HOUR)
        assert await compare(usage, unusual)
        (stuck,) = await unusual_episodes(usage.store)
        wishes = WatchWishes(unusual, usage.clock)
        await wishes.call_normal(principal=LOCAL, user_id=1, episode_id=stuck.id)
        assert not await compare(usage, unusual)
        await wishes.change_watch(principal=LOCAL, user_id=1, notices_a_month=9, muted_device_ids=frozenset())
        assert not await compare(usage, unusual)
        usage.directory.add(device(METER, retired_at_ms=usage.clock.now_ms()), device(3))
        await arrive(usage, unusual, in_time(live()), until_ms=STUCK_MS + 6 * HOUR)
        assert await compare(usage, unusual)
        known = await unusual.remembered.home(1)
        assert known.household is not None
        assert METER in known.household.devices
        usage.directory.add(device(METER, erased=True))
        await usage.service.follow_registry()
        assert not await compare(usage, unusual)
        await usage.service.recorder.commit(Recorded(forgotten_users={1}))
        assert not await compare(usage, unusual)
        assert (await unusual.remembered.home(1)).entries == {}


async def test_a_turn_that_fails_is_forgotten(tmp_path: Path) -> None:
    async with begun(tmp_path / "home") as (usage, unusual):
        await arrive(usage, unusual, in_time(live()), until_ms=BEGIN_MS + HOUR)
        assert await compare(usage, unusual)
        await usage.service.recorder.take_up()
        assert not await compare(usage, unusual)


async def test_only_some_homes_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST_DEVICES", 2)
    async with begun(tmp_path / "home") as (usage, unusual):
        await arrive(usage, unusual, in_time(live()), until_ms=BEGIN_MS + HOUR)
        assert not await compare(usage, unusual)


async def test_a_home_of_which_nothing_is_new_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with begun(tmp_path / "home") as (usage, unusual):
        await arrive(usage, unusual, in_time(live()), until_ms=BEGIN_MS + HOUR)
        read: list[int] = []

        async def home(user_id: int) -> None:
            read.append(user_id)
            raise AssertionError

        monkeypatch.setattr(unusual, "remembered", type("Nothing", (), {"home": staticmethod(home)})())
        for _ in range(5):
            await usage.clock.advance(90)
            assert not await unusual.look()
        assert read == []
        usage.directory.add(msgspec.structs.replace(devices()[0], version=9), user())
        await usage.clock.advance(90)
        await unusual.look()
        assert read == [1]
