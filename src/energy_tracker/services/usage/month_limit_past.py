"""Trying a limit of the month over a home's stored past: on which days it would have been told."""

import asyncio
from bisect import bisect_right
from collections.abc import Iterator
from datetime import timedelta, tzinfo

from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.kit.instants import from_ms as instant_of
from energy_tracker.services.usage.hour_history import History, history_of
from energy_tracker.services.usage.model.calendar import start_of_date, zone_of
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.forecast.month import MONTH_HISTORY_DAYS
from energy_tracker.services.usage.model.month_limit import judge_month
from energy_tracker.services.usage.month_limit import home_of_all, month_so_far
from energy_tracker.services.usage.unusual import UnusualWatch


async def months_past_limit(
    watched: UnusualWatch, user: DirectoryUser, *, from_ms: int, to_ms: int, limit_kwh: float
) -> list[Episode]:
    """Judge the home at each of its midnights in `[from_ms, to_ms)`, as it would have been judged then."""
    zone = zone_of(user.time_zone)
    if from_ms >= to_ms:
        return []
    first, last = (instant_of(each).astimezone(zone).date() for each in (from_ms, to_ms))
    days = MONTH_HISTORY_DAYS + (last - first).days
    home = home_of_all(watched, user)
    history = await history_of(watched.store, home, zone=zone, now_ms=to_ms, days=days)
    ends = [hour.start_ms + hour.length_ms for hour in history.hours]
    episodes: dict[str, Episode] = {}
    for midnight_ms in _midnights(zone, from_ms, to_ms):
        over = History(history.hours[: bisect_right(ends, midnight_ms)], zone, midnight_ms)
        month = month_so_far(over, limit_kwh)
        known = list(episodes.values())
        for each in judge_month(known, month, user_id=user.id, zone=zone, now_ms=midnight_ms):
            episodes[each.id] = each
        await asyncio.sleep(0)
    return list(episodes.values())


def _midnights(zone: tzinfo, from_ms: int, to_ms: int) -> Iterator[int]:
    day = instant_of(from_ms).astimezone(zone).date()
    while (midnight_ms := start_of_date(zone, day)) < to_ms:
        if midnight_ms >= from_ms:
            yield midnight_ms
        day += timedelta(days=1)
