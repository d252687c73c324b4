"""Use at other hours than usual: the profile of the last days fits better when it is moved."""

from collections.abc import Sequence
from typing import Final

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.usage.model.detection.findings import Candidate, Comparison, Kind, Measure
from energy_tracker.services.usage.model.detection.quarter_hours import NOTHING
from energy_tracker.services.usage.model.detection.reference import median
from energy_tracker.services.usage.model.detection.state import Day, Reference

SPANS: Final = (1, 3, 5)
HOURS: Final = 24
MOVES: Final = tuple(range(3, 22))
LEAST_PAST: Final = 10
MOST_UNKNOWN_HOURS: Final = 6
LEAST_MW: Final = 2_000
LEAST_SPREAD: Final = {1: 40, 3: 30, 5: 25}
"""How much better in percent a moved profile has to fit at least: a mean of several days has less of chance in it."""


def moved_fits_better(history: Sequence[Day]) -> tuple[int, ...]:
    """Return for each of `SPANS` how much better the last days fit the weeks before when moved, in percent."""
    return tuple(_fit(history, span)[0] for span in SPANS)


def _fit(history: Sequence[Day], span: int) -> tuple[int, Sequence[int], Sequence[int]]:
    whole = _whole(history)
    past, recent = whole[:-span], whole[-span:]
    if len(past) < LEAST_PAST:
        return 0, (), ()
    usual, seen = _profile(past), _profile(recent)
    swing = sum(usual) - HOURS * min(usual)
    if swing < max(HOURS * LEAST_MW // 4, sum(usual) // 10):
        return 0, usual, seen
    here = _distance(usual, seen, 0)
    moved = min(_distance(usual, seen, hours) for hours in MOVES)
    return (here - moved) * 100 // swing, usual, seen


def lost_percent(history: Sequence[Day], span: int) -> int:
    """Return how much of the use at the usual hours is missing in the last days, in percent."""
    whole = _whole(history)
    past, recent = whole[:-span], whole[-span:]
    if not past or not recent:
        return 0
    usual, seen = _profile(past), _profile(recent)
    swing = sum(usual) - HOURS * min(usual)
    return sum(max(one - two, 0) for one, two in zip(usual, seen, strict=True)) * 100 // max(swing, 1)


def _whole(history: Sequence[Day]) -> list[tuple[int, ...]]:
    """Return the hours of the days that were measured for the most part; an hour not known is as the one before it."""
    whole = []
    for day in history:
        unknown = day.hours.count(NOTHING)
        if not unknown:
            whole.append(day.hours)
        elif unknown <= MOST_UNKNOWN_HOURS:
            before = next(hour for hour in day.hours if hour != NOTHING)
            filled = []
            for hour in day.hours:
                before = before if hour == NOTHING else hour
                filled.append(before)
            whole.append(tuple(filled))
    return whole


def _profile(days: Sequence[tuple[int, ...]]) -> list[int]:
    return [sum(day[hour] for day in days) // len(days) for hour in range(HOURS)]


def _distance(usual: Sequence[int], seen: Sequence[int], hours: int) -> int:
    return sum(abs(usual[hour] - seen[hour - HOURS + hours]) for hour in range(HOURS))


def schedule_candidates(history: Sequence[Day], reference: Reference, end_ms: int) -> list[Candidate]:
    """Return what the last day's fit gives cause to say, beside those of the days before."""
    if reference.days < LEAST_PAST:
        return []
    found = []
    for index, span in enumerate(SPANS):
        fits = [day.shift[index] for day in history if day.shift]
        past, fit = fits[:-span], fits[-1]
        if len(past) < LEAST_PAST or fit <= 0:
            continue
        high, middle = max(past), median(past)
        scale = max(high - middle, LEAST_SPREAD[span])
        score = (fit - max(high, 0)) * 100 // scale
        if score > 0:
            _, usual, seen = _fit(history, span)
            from_ms = end_ms - span * MS_PER_DAY
            compared = Comparison(
                Measure.SHAPE, from_ms, end_ms, fit, middle, min(past), high, tuple(usual), tuple(seen)
            )
            found.append(Candidate(Kind.SCHEDULE_SHIFTED, score, from_ms, 0, compared))
    return found
