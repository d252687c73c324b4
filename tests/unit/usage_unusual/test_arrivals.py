"""Readings that come in any pieces: what is found is what there was."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from tests.support.arrivals import (
    Arrival,
    arrive,
    devices,
    household,
    in_time,
    measured,
    unusual_episodes,
    user,
)
from tests.support.clock import VirtualClock
from tests.support.energy import DAY, HOUR, T0_MS
from tests.support.usage import KnownHomes, Usage, usage_on
from tests.unit.usage_unusual.test_watching import watching

from energy_tracker.kit.instants import from_ms
from energy_tracker.services.usage.model.detection.household import Household
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.unusual import UnusualWatch

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


def live() -> list:
    return list(measured(BEGIN_MS, END_MS))


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
