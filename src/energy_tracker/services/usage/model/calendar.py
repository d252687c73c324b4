"""Where hours, days, weeks and months are cut in a home's zone.

What is stored are quarter-hours in UTC. A zone only decides where they are cut when somebody asks, so another zone,
or other rules of the same one, change no stored figure. Every zone in use since 2000 cuts at multiples of a
quarter-hour.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, assert_never
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from energy_tracker.contracts.usage import Resolution
from energy_tracker.kit.instants import (
    MS_PER_DAY,
    MS_PER_HOUR,
    MS_PER_QUARTER_HOUR,
    from_ms,
    quarter_hour_start,
    to_ms,
)

EARLIEST_MS: Final = to_ms(datetime(2000, 1, 1, tzinfo=UTC))
"""Readings begin here; before, there are zones that are no multiple of a quarter-hour."""

LATEST_MS: Final = to_ms(datetime(2100, 1, 1, tzinfo=UTC))

SHORTEST_MS: Final[dict[Resolution, int]] = {
    "hour": MS_PER_HOUR,
    "day": 23 * MS_PER_HOUR,
    "week": 7 * MS_PER_DAY - MS_PER_HOUR,
    "month": 28 * MS_PER_DAY - MS_PER_HOUR,
}
"""About the least that lies between two cuts, which bounds how many a range can have."""

_DECEMBER: Final = 12


def zone_of(name: str) -> tzinfo:
    """Return the zone of a name; UTC where this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def quarter_hour_end(instant_ms: int) -> int:
    """Return the first boundary of quarter-hours at or after an instant; both in ms since 1970."""
    return instant_ms + -instant_ms % MS_PER_QUARTER_HOUR


def start_of_date(zone: tzinfo, day: date) -> int:
    """Return the first instant of a local date, in ms since 1970.

    A midnight that a clock change skips is the instant of the change, one that it repeats is the first of the two (as
    `atStartOfDay` of java.time has it). A date that a zone skips begins where the next one does.
    """
    return quarter_hour_start(to_ms(datetime(day.year, day.month, day.day, tzinfo=zone)))


def same_time_days_before(zone: tzinfo, instant_ms: int, days: int) -> int:
    """Return the instant at which the local clock showed the same time `days` dates before, in ms since 1970.

    Over a clock change a day is 23 or 25 hours long.
    """
    return to_ms(from_ms(instant_ms).astimezone(zone) - timedelta(days=days))


def bucket_start(zone: tzinfo, resolution: Resolution, instant_ms: int) -> int:
    """Return the start of the day, week or month that holds an instant, in ms since 1970; of an hour, the instant."""
    if resolution == "hour":
        return instant_ms
    return start_of_date(zone, _first_date(resolution, from_ms(instant_ms).astimezone(zone).date()))


def cut(zone: tzinfo, resolution: Resolution, start_ms: int, end_ms: int) -> list[int]:
    """Return the boundaries of the buckets that tile `[start_ms, end_ms)`, both ends included, in ms since 1970.

    The ends are multiples of a quarter-hour and lie between `EARLIEST_MS` and `LATEST_MS`; all boundaries are such
    multiples. The first and the last bucket are clipped to the range.
    """
    cuts = _hours(zone, start_ms, end_ms) if resolution == "hour" else _dates(zone, resolution, start_ms, end_ms)
    boundaries = [start_ms]
    for instant_ms in cuts:
        if boundaries[-1] < instant_ms < end_ms:
            boundaries.append(instant_ms)
    boundaries.append(end_ms)
    return boundaries


def _dates(zone: tzinfo, resolution: Resolution, start_ms: int, end_ms: int) -> Iterator[int]:
    day = _first_date(resolution, from_ms(start_ms).astimezone(zone).date())
    instant_ms = start_ms
    while instant_ms < end_ms:
        day = _next_date(resolution, day)
        instant_ms = start_of_date(zone, day)
        yield instant_ms


def _first_date(resolution: Resolution, day: date) -> date:
    """Return the first date of the day, week or month that holds a date."""
    if resolution == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if resolution == "month" else day


def _next_date(resolution: Resolution, first: date) -> date:
    if resolution == "week":
        return first + timedelta(days=7)
    if resolution == "month":
        return date(first.year + first.month // _DECEMBER, first.month % _DECEMBER + 1, 1)
    if resolution == "day":
        return first + timedelta(days=1)
    if resolution == "hour":
        message = "hours are not made of dates"
        raise ValueError(message)
    assert_never(resolution)


def _hours(zone: tzinfo, start_ms: int, end_ms: int) -> Iterator[int]:
    """Yield the instants at which the local clock shows a full hour, and where a change moves them.

    A change by half an hour, as on Lord Howe Island, ends an hour early, so that none is longer than an hour.
    """
    for from_, until, phase_ms in _phases(zone, start_ms, end_ms):
        yield from_
        yield from range(from_ + -(from_ + phase_ms) % MS_PER_HOUR, until, MS_PER_HOUR)


def _phases(zone: tzinfo, start_ms: int, end_ms: int) -> Iterator[tuple[int, int, int]]:
    """Yield the spans in which full hours keep their minute of UTC: (start, end, offset modulo an hour), in ms."""
    began, phase_ms = start_ms, _phase_ms(zone, start_ms)
    for day_ms in range(start_ms, end_ms, MS_PER_DAY):
        if _phase_ms(zone, day_ms + MS_PER_DAY) == phase_ms:
            continue
        for quarter_ms in range(day_ms, min(day_ms + MS_PER_DAY, end_ms), MS_PER_QUARTER_HOUR):
            found_ms = _phase_ms(zone, quarter_ms)
            if found_ms != phase_ms:
                yield began, quarter_ms, phase_ms
                began, phase_ms = quarter_ms, found_ms
    yield began, end_ms, phase_ms


def _phase_ms(zone: tzinfo, instant_ms: int) -> int:
    local = from_ms(instant_ms).astimezone(zone)
    return (to_ms(local.replace(tzinfo=UTC)) - instant_ms) % MS_PER_HOUR
