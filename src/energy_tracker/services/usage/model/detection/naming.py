"""What a rise is called: by where in the day and at which power the difference lies."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from energy_tracker.services.usage.model.detection.findings import Candidate, Kind, Measure
from energy_tracker.services.usage.model.detection.medians import median
from energy_tracker.services.usage.model.detection.schedule import lost_percent
from energy_tracker.services.usage.model.detection.state import State

CLEAR: Final = 60
"""A rise with this score counts as evidence of its own beside a stronger one."""

FITS_MOVED: Final = 60
"""So many tenths of a bit are enough to explain what is clear otherwise."""
LOST_PERCENT: Final = 40
"""What is only moved is missing where it used to be."""


class Rise(NamedTuple):
    """A figure that was above all of its past for some days, and how clearly."""

    measure: Measure
    score: int
    days: int


def name_of(
    state: State,
    series: Mapping[Measure, Sequence[int]],
    rises: Sequence[Rise],
    best: Rise,
    shifted: Sequence[Candidate],
) -> Kind:
    """Return the kind that explains the clear rises together."""
    clear = {one.measure for one in rises if one.score >= min(CLEAR, best.score)}
    change = {measure: _change(values, best.days) for measure, values in series.items()}
    before = {measure: median(values[: -best.days]) for measure, values in series.items()}
    reference, runs = state.reference, state.runs
    if runs.on > reference.run and reference.on_mw > reference.floor:
        return Kind.STUCK_ON
    if Measure.FLOOR in clear:
        rests = min(day.lowest for day in state.history[-best.days :])
        if rests < before[Measure.FLOOR] + change[Measure.FLOOR] // 4 and reference.on_mw > reference.floor:
            return Kind.CYCLING
        return _of_floor(state, clear, change, before)
    if _is_moved(state, change, shifted, best.days):
        return Kind.SCHEDULE_SHIFTED
    return _of_use(clear, change, before)


def _of_use(clear: set[Measure], change: Mapping[Measure, int], before: Mapping[Measure, int]) -> Kind:
    """Tell a higher night, use at night, a higher draw and longer use apart."""
    if Measure.NIGHT_FLOOR in clear:
        return Kind.NIGHT_UP
    if Measure.NIGHT in clear and change[Measure.NIGHT] * 5 >= change[Measure.ENERGY] * 12:
        return Kind.SCHEDULE_SHIFTED
    if clear & {Measure.PEAK, Measure.HIGHEST, Measure.LEVEL}:
        return Kind.DRAWS_MORE
    if clear & {Measure.STARTS, Measure.DUTY}:
        return Kind.CYCLING
    return Kind.DRAWS_MORE if change[Measure.LEVEL] * 10 > before[Measure.LEVEL] else Kind.UNUSUAL_DAY


def _change(values: Sequence[int], days: int) -> int:
    return median(values[-days:]) - median(values[:-days])


def _of_floor(state: State, clear: set[Measure], change: Mapping[Measure, int], before: Mapping[Measure, int]) -> Kind:
    """Tell a floor that rose by itself from one that rose in proportion, and from a device that stays on."""
    reference = state.reference
    floor = before[Measure.FLOOR] + change[Measure.FLOOR]
    switches = reference.on_mw > reference.floor
    if switches and floor > reference.on_mw and change[Measure.FLOOR] * 2 > reference.level - reference.floor:
        return Kind.NEVER_OFF
    highs = clear & {Measure.PEAK, Measure.HIGHEST, Measure.LEVEL}
    if any(change[measure] * 2 >= change[Measure.FLOOR] * 3 for measure in highs):
        return Kind.DRAWS_MORE
    return Kind.STANDBY_UP if switches else Kind.DRAWS_MORE


def _is_moved(state: State, change: Mapping[Measure, int], shifted: Sequence[Candidate], days: int) -> bool:
    """Return whether the same use at other hours explains it: the profile fits moved, and no more energy is used."""
    fit = max(state.history[-1].shift, default=0)
    usual = median([day.energy for day in state.history])
    fits = bool(shifted) or fit >= FITS_MOVED
    return fits and change[Measure.ENERGY] * 4 <= usual and lost_percent(state.history, days) >= LOST_PERCENT
