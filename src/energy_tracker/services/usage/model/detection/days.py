"""A local day so far, and what is kept of it when it ends."""

from itertools import pairwise

from energy_tracker.services.usage.model.detection.lift import lift
from energy_tracker.services.usage.model.detection.medians import median
from energy_tracker.services.usage.model.detection.quarter_hours import NOTHING
from energy_tracker.services.usage.model.detection.schedule import UNKNOWN, used_hours
from energy_tracker.services.usage.model.detection.state import NO_WINDOW, Day, Reference, Runs, State

HOURS = 24
NIGHT_ENDS = 5
LEAST_QUARTERS = 48
"""A day of which less than half was measured is not compared."""


def end_day(state: State) -> Day:
    """Return what is kept of the day that has just ended."""
    today, reference, runs = state.today, state.reference, state.runs
    count = len(today.hours)
    means = state.means[-count:] if count else ()
    night = today.hours.index(NIGHT_ENDS) if NIGHT_ENDS in today.hours else 0
    known = [mean for mean in means if mean != NOTHING]
    enough = len(known) >= LEAST_QUARTERS
    on = [mean for mean in known if mean > reference.on_mw] if reference.days else []
    hours = _hours(means, today.hours)
    return Day(
        used=used_hours(hours, reference.use_mw) if reference.days else UNKNOWN,
        lift=lift(hours, state.history),
        date=today.date,
        covered=len(known),
        hours=hours,
        floor=_floor(means) if enough else NOTHING,
        night=_mean([hour for hour in hours[:NIGHT_ENDS] if hour != NOTHING]),
        night_floor=_floor(means[:night]),
        daytime_floor=_floor(means[night:]),
        peak=max(known) if enough else NOTHING,
        level=median(on) if on else NOTHING,
        highest=max(today.highests, default=0),
        lowest=today.lowest,
        energy=_mean(known),
        on_quarters=len(on),
        starts=today.starts,
        longest_run=max(today.longest_run, runs.on),
        longest_rest=max(today.longest_rest, runs.rest),
        longest_gap=max(today.longest_gap, runs.gap),
        flats=_flats(today.flats, runs, reference),
        most=today.most,
        least=today.least,
    )


def flat_class(flat_mw: int, reference: Reference) -> int:
    """Return which of the two usual lengths of equal readings counts: while off 0, while on 1."""
    return int(flat_mw > reference.on_mw)


def _flats(flats: tuple[int, int], runs: Runs, reference: Reference) -> tuple[int, int]:
    if not runs.flat:
        return flats
    return with_flat(flats, flat_class(runs.flat_mw, reference), runs.flat)


def with_flat(flats: tuple[int, int], index: int, length: int) -> tuple[int, int]:
    """Return the longest times of equal readings with one more."""
    off, on = flats
    return (off, max(on, length)) if index else (max(off, length), on)


def _hours(means: tuple[int, ...], clock: tuple[int, ...]) -> tuple[int, ...]:
    sums, counts = [0] * HOURS, [0] * HOURS
    for mean, hour in zip(means, clock, strict=True):
        if mean != NOTHING:
            sums[hour] += mean
            counts[hour] += 1
    return tuple(total // count if count else NOTHING for total, count in zip(sums, counts, strict=True))


def _floor(means: tuple[int, ...]) -> int:
    """Return the lowest mean of two quarter-hours on end."""
    pairs = [(one + two) // 2 for one, two in pairwise(means) if one != NOTHING != two]
    return min(pairs, default=NO_WINDOW)


def _mean(values: list[int]) -> int:
    return sum(values) // len(values) if values else NOTHING
