"""Use at other hours than usual: the last days are likelier when the usual hours are moved.

For each hour of the day the weeks before say how likely use is. The evidence of a move is how many bits likelier the
last days are under the best move than under none: a log-likelihood ratio, which adds up over days and is below zero
where nothing was moved.
"""

from collections.abc import Sequence
from math import log2
from operator import mul
from typing import Final

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.usage.model.detection.findings import Candidate, Comparison, Kind, Measure
from energy_tracker.services.usage.model.detection.medians import median
from energy_tracker.services.usage.model.detection.quarter_hours import NOTHING
from energy_tracker.services.usage.model.detection.state import KEPT_DAYS, Day, Reference

SPANS: Final = (1, 2, 3, 5)
HOURS: Final = 24
JITTER: Final = (-1, 0, 1)
MOVES: Final = tuple(range(3, 22))
LOOKED_AT: Final = 40
"""The best of so many moves is likelier by four bits by chance."""

LEAST_PAST: Final = 10
LEAST_MARGIN: Final = 100
"""Ten bits, about a thousand to one, beyond what chance did in the weeks before."""

UNKNOWN: Final = -1
_TENTHS_OF_BITS: Final = (0, *(round(10 * log2(count)) for count in range(1, KEPT_DAYS + 5)))
_BUSY_PERCENT: Final = 85
_VARIES_PERCENT: Final = 15
_LEAST_MW: Final = 500


def used_hours(hours: Sequence[int], limit_mw: int) -> int:
    """Return the hours of a day in which more was drawn than at rest, as bits; -1 where too little was measured.

    What never rests is used where it draws more than in half of all hours; what hardly varies, in all.
    """
    if hours.count(NOTHING) > HOURS // 4:
        return UNKNOWN
    used = 0
    for hour, mean in enumerate(hours):
        if mean > limit_mw:
            used |= 1 << hour
    return used


def use_limit(days: Sequence[Day], floor: int, peak: int) -> int:
    """Return the mean power of an hour above which there is use."""
    every = sorted(mean for day in days for mean in day.hours if mean != NOTHING)
    limit = floor + max((peak - floor) // 10, _LEAST_MW)
    busy = sum(mean > limit for mean in every)
    if busy * 100 <= len(every) * _BUSY_PERCENT:
        return limit
    middle, tenth = every[len(every) // 2], len(every) // 10
    varies = every[-1 - tenth] - every[tenth] > max(middle * _VARIES_PERCENT // 100, _LEAST_MW)
    return middle if varies else NOTHING


def evidence(history: Sequence[Day]) -> tuple[int, ...]:
    """Return for each of `SPANS` the evidence in tenths of a bit that the last days were moved."""
    days = [day.used for day in history if day.used != UNKNOWN]
    uses = _uses(days)
    return tuple(_evidence(uses, len(days) - span, days[-span:]) for span in SPANS)


def _uses(days: Sequence[int]) -> list[int]:
    """Return in how many of the days each hour was used; by columns of text, since that is what is fast."""
    return [column.count("1") for column in zip(*[f"{day:0{HOURS}b}" for day in days], strict=True)][::-1]


def _evidence(uses: Sequence[int], past: int, recent: Sequence[int]) -> int:
    """Return the evidence for the recent days beside the past ones before them; `uses` are those of both."""
    if past < LEAST_PAST:
        return 0
    counts = _uses(recent)
    uses = [both - count for both, count in zip(uses, counts, strict=True)]
    if sum(counts) * past * 10 < sum(uses) * len(recent) * 7:
        return 0  # used less, as on a holiday, is not used at other hours
    more = [_TENTHS_OF_BITS[past - count + 2] - _TENTHS_OF_BITS[count + 2] for count in uses] * 3
    # hour by hour, what it is likelier that the hour so many before it was not used
    here: int = min([sum(map(mul, counts, more[HOURS - move :])) for move in JITTER])
    moved: int = min([sum(map(mul, counts, more[HOURS - move :])) for move in MOVES])
    return here - moved


def schedule_candidates(history: Sequence[Day], reference: Reference, end_ms: int) -> list[Candidate]:
    """Return what the last days' evidence gives cause to say, beside that of the days before."""
    if reference.days < LEAST_PAST or history[-1].used == UNKNOWN:
        return []
    found = []
    for index, span in enumerate(SPANS):
        past, bits = [day.shift[index] for day in history[:-span] if day.shift], history[-1].shift[index]
        high, middle = max(past, default=0), median(past)
        margin = max((high - middle) // 2, LEAST_MARGIN)
        score = (bits - max(high, LOOKED_AT)) * 100 // margin
        if score > 0:
            usual, seen = profiles(history, span)
            from_ms = end_ms - span * MS_PER_DAY
            compared = Comparison(
                Measure.SHAPE, from_ms, end_ms, bits, middle, min(past, default=0), high, tuple(usual), tuple(seen)
            )
            found.append(Candidate(Kind.SCHEDULE_SHIFTED, score, from_ms, 0, compared))
    return found


def lost_percent(history: Sequence[Day], span: int) -> int:
    """Return how much of the use at the usual hours is missing in the last days, in percent."""
    usual, seen = profiles(history, span)
    known = [hour for hour in range(HOURS) if usual[hour] != NOTHING and seen[hour] != NOTHING]
    if not known:
        return 0
    least = min(usual[hour] for hour in known)
    swing = sum(usual[hour] - least for hour in known)
    return sum(max(usual[hour] - seen[hour], 0) for hour in known) * 100 // max(swing, 1)


def profiles(history: Sequence[Day], span: int) -> tuple[list[int], list[int]]:
    """Return the mean power of each hour in the days before the last ones, and in those; -1 where never measured."""
    return _profile(history[:-span]), _profile(history[-span:])


def _profile(days: Sequence[Day]) -> list[int]:
    columns = ([day.hours[hour] for day in days if day.hours[hour] != NOTHING] for hour in range(HOURS))
    return [sum(column) // len(column) if column else NOTHING for column in columns]
