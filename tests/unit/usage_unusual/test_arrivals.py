"""Readings that come in any order, twice or late: what is found is what there was."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from tests.support.arrivals import (
    METER,
    REFRIGERATOR,
    STUCK_MS,
    Arrival,
    arrive,
    devices,
    held_back,
    household,
    in_time,
    measured,
    shuffled,
    twice,
    unusual_episodes,
    user,
)
from tests.support.clock import VirtualClock
from tests.support.energy import DAY, HOUR, T0_MS
from tests.support.usage import KnownHomes, Usage, usage_on
from tests.unit.usage_unusual.test_watching import told, watching

from energy_tracker.kit.instants import from_ms
from energy_tracker.kit.principal import LOCAL
from energy_tracker.services.usage.model.detection.findings import Kind
from energy_tracker.services.usage.model.detection.household import Household
from energy_tracker.services.usage.model.detection.state import State
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.unusual import UnusualWatch
from energy_tracker.services.usage.unusual_wishes import WatchWishes

BEGIN_MS = T0_MS + 15 * DAY
END_MS = BEGIN_MS + 3 * DAY


@asynccontextmanager
async def begun(folder: Path) -> AsyncIterator[tuple[Usage, UnusualWatch]]:
    """Open a home of which two weeks are known and judged."""
    folder.mkdir()  # noqa: ASYNC240 - nothing else goes on
    homes = KnownHomes().add(user(), *devices())
    async with usage_on(folder, homes, VirtualClock(from_ms(BEGIN_MS - 15 * 60_000))) as usage:
        unusual = watching(usage)
        for day in range(15):
            await usage.record(list(measured(T0_MS + day * DAY, T0_MS + (day + 1) * DAY)))
        await arrive(usage, unusual, (), until_ms=BEGIN_MS)
        yield usage, unusual


async def outcome(folder: Path, arrivals: Sequence[Arrival]) -> tuple[list[Episode], Household]:
    async with begun(folder) as (usage, unusual):
        await arrive(usage, unusual, arrivals, until_ms=END_MS)
        known = await household(usage.store)
        assert known is not None
        return await unusual_episodes(usage.store), known


def ever_heard_of(known: Household) -> Household:
    """Return a home but for how long its devices were not heard of."""

    def of(state: State) -> State:
        history = tuple(msgspec.structs.replace(day, longest_gap=0) for day in state.history)
        today = msgspec.structs.replace(state.today, longest_gap=0)
        reference = msgspec.structs.replace(state.reference, gap=0)
        return msgspec.structs.replace(state, history=history, today=today, reference=reference)

    devices_then = {key: of(state) for key, state in known.devices.items()}
    return msgspec.structs.replace(known, home=of(known.home), devices=devices_then, judged=())


def live() -> list:
    return list(measured(BEGIN_MS, END_MS))


async def test_order_and_repeats_within_the_lateness_limit_change_nothing(tmp_path: Path) -> None:
    expected = await outcome(tmp_path / "in-order", in_time(live()))
    (episode,) = expected[0]
    assert episode.finding is not None
    assert (episode.device_id, episode.finding.kind) == (REFRIGERATOR, Kind.STUCK_ON)
    assert episode.ended_ms is not None
    for name, arrivals in (
        ("shuffled", shuffled(live(), seed=1)),
        ("shuffled again", shuffled(live(), seed=2)),
        ("twice", twice(live(), seed=3)),
    ):
        assert await outcome(tmp_path / name, arrivals) == expected, name


async def test_it_makes_no_difference_in_which_pieces_a_home_is_judged(tmp_path: Path) -> None:
    _, expected = await outcome(tmp_path / "by quarter-hours", in_time(live()))
    async with begun(tmp_path / "at once") as (usage, unusual):
        await usage.record(live())
        await arrive(usage, unusual, (), until_ms=BEGIN_MS + HOUR)  # the clock is behind what is stored
        await usage.clock.advance((END_MS - usage.clock.now_ms()) / 1000)
        while await unusual.look():
            pass
        known = await household(usage.store)
        assert known is not None
        assert msgspec.structs.replace(known, judged=()) == msgspec.structs.replace(expected, judged=())


async def test_what_a_gateway_delivers_hours_late_is_judged_as_if_it_had_come_in_time(tmp_path: Path) -> None:
    episodes, known = await outcome(tmp_path / "in-order", in_time(live()))
    late = held_back(live(), from_ms=STUCK_MS - 2 * HOUR, until_ms=STUCK_MS + 4 * HOUR, of=[REFRIGERATOR, METER])
    late_episodes, late_known = await outcome(tmp_path / "late", late)
    behaviour = [each for each in late_episodes if each.finding and each.finding.kind is not Kind.SILENT]
    assert behaviour == episodes
    assert ever_heard_of(late_known) == ever_heard_of(known)


async def test_a_silence_that_was_told_ends_when_its_readings_come_and_is_not_forgotten(tmp_path: Path) -> None:
    until_ms = BEGIN_MS + 8 * HOUR
    late = held_back(live(), from_ms=BEGIN_MS + 2 * HOUR, until_ms=until_ms, of=[REFRIGERATOR])
    async with begun(tmp_path / "home") as (usage, unusual):
        await arrive(usage, unusual, late, until_ms=until_ms)
        (silence,) = await unusual_episodes(usage.store)
        assert silence.finding is not None
        assert (silence.finding.kind, silence.device_id, silence.ended_ms) == (Kind.SILENT, REFRIGERATOR, None)
        await arrive(usage, unusual, late, until_ms=until_ms + HOUR)
        (silence,) = await unusual_episodes(usage.store)
        assert silence.ended_ms is not None
        assert [(each.state, each.notify) for each in await told(usage)] == [("open", True), ("ended", True)]
        known = await household(usage.store)
        assert known is not None
        assert known.devices[REFRIGERATOR].today.longest_gap >= 20
        assert [one.told for one in known.judged] == [True]


async def test_what_began_unheard_and_goes_on_is_told_once(tmp_path: Path) -> None:
    """The refrigerator's episode is known from live readings; its beginning comes later, and moves it back."""
    late = held_back(live(), from_ms=STUCK_MS + HOUR, until_ms=STUCK_MS + 9 * HOUR, of=[REFRIGERATOR])
    async with begun(tmp_path / "home") as (usage, unusual):
        await arrive(usage, unusual, late, until_ms=END_MS)
        news = [each for each in await told(usage) if each.kind != Kind.SILENT]
        assert [(each.state, each.notify) for each in news] == [("open", True), ("ended", True)]
        assert len({each.id for each in news}) == 1


async def test_what_was_called_normal_stays_so_when_readings_come_late(tmp_path: Path) -> None:
    until_ms = STUCK_MS + 8 * HOUR
    late = held_back(live(), from_ms=BEGIN_MS + HOUR, until_ms=until_ms, of=[METER])
    async with begun(tmp_path / "home") as (usage, unusual):
        await arrive(usage, unusual, late, until_ms=until_ms - HOUR)
        (stuck,) = [each for each in await unusual_episodes(usage.store) if each.device_id == REFRIGERATOR]
        await WatchWishes(unusual, usage.clock).call_normal(principal=LOCAL, user_id=1, episode_id=stuck.id)
        await arrive(usage, unusual, late, until_ms=END_MS)
        found = [each for each in await unusual_episodes(usage.store) if each.device_id == REFRIGERATOR]
        assert [(each.id, each.is_normal) for each in found] == [(stuck.id, True)]
        assert found[0].ended_ms is not None


@pytest.mark.parametrize("hours", [30, 60])
async def test_what_comes_later_than_is_kept_is_repaired_as_far_as_that_goes(tmp_path: Path, hours: int) -> None:
    arrivals = held_back(live(), from_ms=BEGIN_MS, until_ms=BEGIN_MS + hours * HOUR, of=[METER])
    async with begun(tmp_path / "home") as (usage, unusual):
        end_ms = BEGIN_MS + (hours + 2) * HOUR
        more = in_time(measured(END_MS, max(END_MS, end_ms)))
        await arrive(usage, unusual, [*arrivals, *more], until_ms=end_ms)
        known = await household(usage.store)
        assert known is not None
        assert (known.again_until_ms, known.through_ms) == (0, end_ms - HOUR // 4)
        assert known.devices[METER].runs.gap == 0
