"""What was measured of a home over a grid of spans, from the store."""

import asyncio
from collections.abc import Sequence
from datetime import tzinfo
from itertools import pairwise
from typing import Final

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.calendar import cut
from energy_tracker.services.usage.model.forecast.home_hours import HomeHours
from energy_tracker.services.usage.model.forecast.hours import HourUse
from energy_tracker.services.usage.model.homes import Home
from energy_tracker.services.usage.model.series import Measured, columns_by_device, lay_grid
from energy_tracker.services.usage.ports import ReadingQueries

_PIECE_MS: Final = 28 * MS_PER_DAY
"""So much is asked of the store and added up before others have their turn."""

_HOURS_AT_ONCE: Final = 24 * 7


async def measure(store: ReadingQueries, home: Home, boundaries_ms: list[int]) -> Measured:
    """Return what was measured of a home between successive boundaries. Raises `TemporarilyUnavailable`."""
    periods = home.periods(start_ms=boundaries_ms[0], end_ms=boundaries_ms[-1], grid_ms=MS_PER_QUARTER_HOUR)
    grid = lay_grid(boundaries_ms, periods)
    device_ids = sorted(frozenset().union(*(period.owned for period in periods)))
    if not device_ids:
        return Measured(grid, {})
    sums = await store.bucket_sums(device_ids=device_ids, boundaries_ms=grid.cuts_ms)
    return Measured(grid, columns_by_device(sums, grid))


async def hours_used(store: ReadingQueries, home: Home, *, zone: tzinfo, from_ms: int, to_ms: int) -> list[HourUse]:
    """Return the hours of `[from_ms, to_ms)`, multiples of a quarter-hour, of what is chosen of a home, added up.

    Raises `TemporarilyUnavailable`.
    """
    gathered = HomeHours()
    for piece in _pieces(cut(zone, "hour", from_ms, to_ms)):
        gathered.add(await measure(store, home, piece))
        await asyncio.sleep(0)
    hours: list[HourUse] = []
    while len(hours) < gathered.count:
        hours += gathered.hours(len(hours), len(hours) + _HOURS_AT_ONCE)
        await asyncio.sleep(0)
    return hours


def _pieces(boundaries_ms: Sequence[int]) -> list[list[int]]:
    """Return the boundaries in runs that begin where the one before ends."""
    starts = [0]
    for index, instant_ms in enumerate(boundaries_ms[:-1]):
        if instant_ms - boundaries_ms[starts[-1]] >= _PIECE_MS:
            starts.append(index)
    return [list(boundaries_ms[start : end + 1]) for start, end in pairwise([*starts, len(boundaries_ms) - 1])]
