"""Watching homes on the real store: what opens, what is told and held, and that it does not matter when one looks."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from tests.support.clock import VirtualClock
from tests.support.energy import DAY, HOUR, MINUTE, T0_MS
from tests.support.usage import KnownHomes, Usage, usage_on

from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.contracts.readings import EpisodeTransition
from energy_tracker.contracts.topics import ENERGY_ALERT_EPISODES
from energy_tracker.kit.ids import derived_event_key
from energy_tracker.kit.instants import from_ms
from energy_tracker.kit.principal import LOCAL
from energy_tracker.services.usage.model.detection.findings import Kind
from energy_tracker.services.usage.model.detection.keeping import device_of
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.ports import Recorded
from energy_tracker.services.usage.unusual import UnusualWatch
from energy_tracker.services.usage.unusual_wishes import WatchWishes

EVERY = 5 * MINUTE
BROKEN_MS = T0_MS + 20 * DAY + 10 * HOUR


def device(number: int, **fields: object) -> DirectoryDevice:
    known: dict[str, object] = {"kind": "power", "user_id": 1, "assignments": (Assignment(user_id=1),)}
    return DirectoryDevice(id=number, version=number, name=f"Device {number}", **(known | fields))  # type: ignore[arg-type]  # as given


def home(*devices: DirectoryDevice) -> KnownHomes:
    user = DirectoryUser(id=1, version=1, name="Anna", email="anna@example.org", alerting=True, time_zone="UTC")
    return KnownHomes().add(user, *devices)


def power(number: int, time_ms: int, watts: float) -> Reading:
    key = derived_event_key(number, time_ms * 1000, "power", "import", watts, None)
    return Reading(number, time_ms, key, "power", watts)


def refrigerator(time_ms: int) -> float:
    """80 W for 20 minutes of every hour, the door opened more in the evening; 1 W otherwise."""
    minute = time_ms // MINUTE % 60
    evening = 5 * (17 <= time_ms // HOUR % 24 < 20)
    noise = math.sin(time_ms / 7_000_000) + math.sin(time_ms / 61_000_000)
    return round(80 + 2 * noise if minute < 20 + evening else 1 + 0.1 * noise, 1)


def broken(time_ms: int) -> float:
    """The same, and on without a break from an instant on."""
    return round(80 + math.sin(time_ms / 1_000_000), 1) if time_ms >= BROKEN_MS else refrigerator(time_ms)


def readings(days: int, number: int = 1, of=broken, first: int = 0) -> Iterator[list[Reading]]:
    for day in range(first, first + days):
        start = T0_MS + day * DAY
        yield [power(number, at, of(at)) for at in range(start, start + DAY, EVERY)]


def watching(usage: Usage) -> UnusualWatch:
    service = usage.service
    return UnusualWatch(usage.store, usage.directory, service.homes, service.recorder, usage.clock)


async def look(usage: Usage, unusual: UnusualWatch | None = None) -> list[Episode]:
    unusual = unusual or watching(usage)
    while await unusual.look():
        pass
    return await episodes(usage)


async def episodes(usage: Usage) -> list[Episode]:
    return [each for each in await usage.store.episodes(user_id=1, from_ms=0, to_ms=2**53) if each.finding]


async def told(usage: Usage) -> list[EpisodeTransition]:
    waiting = await usage.store.outgoing(limit=1_000)
    return [
        msgspec.json.decode(news.value, type=EpisodeTransition)
        for _, news in waiting
        if news.topic == ENERGY_ALERT_EPISODES
    ]


def at(time_ms: int) -> VirtualClock:
    return VirtualClock(from_ms(time_ms))


async def record(usage: Usage, days: Iterator[Sequence[Reading]]) -> None:
    for day in days:
        await usage.record(day)


async def test_a_refrigerator_that_runs_without_a_break_is_told_within_hours(tmp_path: Path) -> None:
    async with usage_on(tmp_path, home(device(1)), at(T0_MS + 20 * DAY)) as usage:
        unusual = watching(usage)
        await record(usage, readings(20))
        assert await look(usage, unusual) == []
        opened_ms = None
        for quarter in range(96):
            begin = T0_MS + 20 * DAY + quarter * 15 * MINUTE
            await usage.record(
                [power(1, begin + number * EVERY, broken(begin + number * EVERY)) for number in range(3)]
            )
            await usage.clock.advance(15 * 60)
            if await look(usage, unusual) and opened_ms is None:
                opened_ms = usage.clock.now_ms()
        (episode,) = await episodes(usage)
        assert episode.finding is not None
        assert episode.finding.kind in {Kind.STUCK_ON, Kind.NEVER_OFF}
        assert (episode.device_id, episode.rule, episode.held) == (1, "unusual-use", False)
        assert opened_ms is not None
        assert opened_ms - BROKEN_MS <= 8 * HOUR
        (transition,) = await told(usage)
        assert (transition.notify, transition.kind, transition.device_name) == (True, episode.finding.kind, "Device 1")
        assert transition.message.startswith("Device 1 ")
        assert "kWh a month" in transition.message


async def test_it_does_not_matter_when_one_looks_or_in_which_pieces(tmp_path: Path) -> None:
    found: list[list[Episode]] = []
    for name, every in (("daily", 1), ("weekly", 7), ("at-last", 24)):
        folder = tmp_path / name
        folder.mkdir()
        async with usage_on(folder, home(device(1)), at(T0_MS)) as usage:
            for first in range(0, 24, every):
                await record(usage, readings(min(every, 24 - first), first=first))
                await usage.clock.advance(min(every, 24 - first) * 86_400)
                await look(usage)
            found.append([msgspec.structs.replace(each, notify=False) for each in await episodes(usage)])
    assert found[0]
    assert found[0] == found[1] == found[2]


async def test_a_restart_between_any_two_looks_changes_nothing(tmp_path: Path) -> None:
    clock = at(T0_MS + 24 * DAY)
    async with AsyncExitStack() as stack:
        one = tmp_path / "one"
        one.mkdir()
        usage = await stack.enter_async_context(usage_on(one, home(device(1)), clock))
        await record(usage, readings(24))
        expected = await look(usage)
        assert expected
    two = tmp_path / "two"
    two.mkdir()
    async with usage_on(two, home(device(1)), clock) as usage:
        await record(usage, readings(24))
        while await watching(usage).look():
            pass
        assert await episodes(usage) == expected


async def test_what_is_imported_of_the_past_is_no_news(tmp_path: Path) -> None:
    async with usage_on(tmp_path, home(device(1)), at(T0_MS + 60 * DAY)) as usage:
        await record(usage, readings(24))
        assert [each.notify for each in await look(usage)][:1] == [False]
        assert not any(transition.notify for transition in await told(usage))


async def test_the_history_of_a_device_that_comes_after_the_others_is_judged(tmp_path: Path) -> None:
    both = home(device(1), device(2))
    async with usage_on(tmp_path, both, at(T0_MS + 24 * DAY)) as usage:
        await record(usage, readings(24, of=refrigerator))
        assert await look(usage) == []
        await record(usage, readings(24, number=2))
        await usage.clock.advance(61)
        assert {each.device_id for each in await look(usage)} >= {2}


async def test_a_plug_that_falls_silent_is_told_within_an_hour_unless_the_home_has_its_own_rule(tmp_path: Path) -> None:
    for name, fields, expected in (("own", {"silent_after_ms": HOUR}, set()), ("none", {}, {Kind.SILENT})):
        folder = tmp_path / name
        folder.mkdir()
        async with usage_on(folder, home(device(1, **fields), device(2)), at(T0_MS + 20 * DAY)) as usage:
            unusual = watching(usage)
            await record(usage, readings(20, of=refrigerator))
            await record(usage, readings(21, number=2, of=refrigerator))
            await look(usage, unusual)
            await usage.clock.advance(3_600 + 20 * 60)
            found = await look(usage, unusual)
            assert {each.finding.kind for each in found if each.finding} == expected


@pytest.mark.parametrize("gone", ["erased", "deleted"])
async def test_nothing_is_kept_of_whoever_has_gone(tmp_path: Path, gone: str) -> None:
    async with usage_on(tmp_path, home(device(1)), at(T0_MS + 24 * DAY)) as usage:
        await record(usage, readings(24))
        assert await look(usage)
        if gone == "erased":
            usage.directory.add(device(1, erased=True))
            await usage.service.follow_registry(device_ids=[1])
            assert {device_of(key) for key in await usage.store.detectors(1)} == {None}
        else:
            usage.directory.add(DirectoryUser(id=1, version=2, deleted=True))
            await usage.service.forget_users(user_ids=[1])
            assert await usage.store.detectors(1) == {}
        assert await look(usage) == []


@pytest.mark.parametrize("fields", [{"kind": "interval"}, {"kind": "power", "behind": True}])
async def test_what_the_mains_measures_is_told_of_the_home(tmp_path: Path, fields: dict[str, object]) -> None:
    is_behind = bool(fields.pop("behind", False))
    others = [device(2, parent_id=1)] if is_behind else []
    async with usage_on(tmp_path, home(device(1, **fields), *others), at(T0_MS + 24 * DAY)) as usage:
        await record(usage, readings(24))
        assert {each.device_id for each in await look(usage)} == {None}


async def test_a_device_of_which_nothing_can_be_judged_does_not_stop_its_home(tmp_path: Path) -> None:
    async with usage_on(tmp_path, home(device(1), device(2)), at(T0_MS + 24 * DAY)) as usage:
        unusual = watching(usage)
        sent = [msgspec.structs.replace(each, direction="export") for each in (power(2, T0_MS + 3 * DAY, 5.0),)]
        await usage.record(sent)
        await record(usage, readings(24))
        for _ in range(30):
            if not await unusual.look():
                break
        else:
            pytest.fail("there is always more to judge")
        assert {each.device_id for each in await episodes(usage)} == {1}


async def test_what_was_called_normal_stays_so_when_a_home_is_judged_anew(tmp_path: Path) -> None:
    both = home(device(1), device(2))
    async with usage_on(tmp_path, both, at(T0_MS + 22 * DAY)) as usage:
        unusual = watching(usage)
        await record(usage, readings(22))
        (found,) = [each for each in await look(usage, unusual) if each.ended_ms is None]
        wishes = WatchWishes(unusual, usage.clock)
        await wishes.call_normal(principal=LOCAL, user_id=1, episode_id=found.id)
        await record(usage, readings(26, number=2, of=refrigerator))
        await record(usage, readings(4, first=22))
        await usage.clock.advance(4 * 86_400)
        assert [each.id for each in await look(usage, unusual)] == [found.id]


async def test_an_episode_of_which_nothing_goes_on_ends(tmp_path: Path) -> None:
    async with usage_on(tmp_path, home(device(1)), at(T0_MS + 22 * DAY)) as usage:
        await record(usage, readings(22))
        (found,) = await look(usage)
        assert found.ended_ms is None
        usage.directory.add(device(1, retired_at_ms=usage.clock.now_ms()), device(2))
        await record(usage, readings(1, number=2, first=22))
        await usage.clock.advance(86_400)
        assert [each.ended_ms is not None for each in await look(usage)] == [True]


async def test_a_home_that_cannot_be_judged_leaves_the_others_alone(tmp_path: Path) -> None:
    other = DirectoryDevice(id=2, version=2, kind="power", user_id=2, assignments=(Assignment(user_id=2),))
    homes = home(device(1)).add(DirectoryUser(id=2, version=2), other)
    async with usage_on(tmp_path, homes, at(T0_MS + 24 * DAY)) as usage:
        await usage.store.commit(Recorded(detectors={(2, 0): b"nonsense"}))
        await record(usage, readings(24))
        assert await look(usage)
