"""What a rise is called: by where in the day and at which power the difference lies."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from energy_tracker.services.usage.model.detection.findings import Kind, Measure
from energy_tracker.services.usage.model.detection.medians import median
from energy_tracker.services.usage.model.detection.schedule import lost_percent
from energy_tracker.services.usage.model.detection.state import State

CLEAR: Final = 60
"""A rise with this score counts as evidence of its own beside a stronger one."""

MOVED: Final = 60
"""So many tenths of a bit are enough to explain what is clear otherwise."""

LOST_PERCENT: Final = 40
"""What is only moved is missing where it used to be."""

NIGHT_ENDS: Final = 5
_HIGHS: Final = frozenset({Measure.PEAK, Measure.HIGHEST, Measure.LEVEL})


class Rise(NamedTuple):
    """A figure that was above all of its past for some days, and how clearly."""

    measure: Measure
    score: int
    days: int


class Evidence(NamedTuple):
    """What is known when a rise is named: the clear rises, how all figures changed, and what they were before."""

    state: State
    clear: frozenset[Measure]
    change: Mapping[Measure, int]
    before: Mapping[Measure, int]
    days: int
    is_shifted: bool

    @property
    def switches(self) -> bool:
        """Return whether the device is off at times."""
        return self.state.reference.on_mw > self.state.reference.floor


def evidence_of(
    state: State, series: Mapping[Measure, Sequence[int]], rises: Sequence[Rise], best: Rise, *, is_shifted: bool
) -> Evidence:
    """Gather what the name depends on."""
    return Evidence(
        state,
        frozenset(one.measure for one in rises if one.score >= min(CLEAR, best.score)),
        {measure: median(values[-best.days :]) - median(values[: -best.days]) for measure, values in series.items()},
        {measure: median(values[: -best.days]) for measure, values in series.items()},
        best.days,
        is_shifted,
    )


def name_of(evidence: Evidence) -> Kind:
    """Return the kind that explains the clear rises together."""
    reference, runs = evidence.state.reference, evidence.state.runs
    if evidence.state.is_home:
        return _of_home(evidence)
    if evidence.switches and runs.on > reference.run:
        return Kind.STUCK_ON
    if Measure.FLOOR in evidence.clear:
        return _of_floor(evidence)
    if _is_moved(evidence):
        return Kind.SCHEDULE_SHIFTED
    return _of_use(evidence)


def _of_home(evidence: Evidence) -> Kind:
    """Tell use at other hours, a higher night, and a rise of all hours, alike or in proportion, apart."""
    if _is_moved(evidence):
        return Kind.SCHEDULE_SHIFTED
    change, before = evidence.change, evidence.before
    if change[Measure.NIGHT_FLOOR] > 2 * max(change[Measure.DAYTIME_FLOOR], 0):
        return Kind.NIGHT_UP
    floor, energy = max(change[Measure.FLOOR], change[Measure.NIGHT_FLOOR]), change[Measure.ENERGY]
    if floor <= 0 or energy <= 0:
        return Kind.UNUSUAL_DAY
    in_proportion = energy * energy * before[Measure.FLOOR] > floor * floor * before[Measure.ENERGY]
    return Kind.DRAWS_MORE if in_proportion else Kind.STANDBY_UP


def _of_use(evidence: Evidence) -> Kind:
    """Tell a higher night, use at night, a higher draw and longer use apart."""
    clear, change = evidence.clear, evidence.change
    if Measure.NIGHT_FLOOR in clear:
        return Kind.NIGHT_UP
    if Measure.NIGHT in clear and change[Measure.NIGHT] * NIGHT_ENDS * 2 >= change[Measure.ENERGY] * 24:
        return Kind.SCHEDULE_SHIFTED
    if clear & _HIGHS:
        return Kind.DRAWS_MORE
    if clear & {Measure.STARTS, Measure.DUTY}:
        return Kind.CYCLING
    return Kind.DRAWS_MORE if change[Measure.LEVEL] * 10 > evidence.before[Measure.LEVEL] else Kind.UNUSUAL_DAY


def _of_floor(evidence: Evidence) -> Kind:
    """Tell a floor that rose by itself from one that rose in proportion, and both from shorter rests."""
    change, before, reference = evidence.change, evidence.before, evidence.state.reference
    rise = change[Measure.FLOOR]
    if evidence.switches:
        lowest = min(day.lowest for day in evidence.state.history[-evidence.days :])
        if lowest < before[Measure.FLOOR] + rise // 4:
            return Kind.CYCLING
        if before[Measure.FLOOR] + rise > reference.on_mw and rise * 2 > reference.level - reference.floor:
            return Kind.NEVER_OFF
    if any(change[measure] * 2 >= rise * 3 for measure in evidence.clear & _HIGHS):
        return Kind.DRAWS_MORE
    return Kind.STANDBY_UP if evidence.switches else Kind.DRAWS_MORE


def _is_moved(evidence: Evidence) -> bool:
    """Return whether the same use at other hours explains it: likelier when moved, and no more energy is used."""
    history = evidence.state.history
    moved = evidence.is_shifted or max(history[-1].shift, default=0) >= MOVED
    usual = median([day.energy for day in history])
    return (
        moved and evidence.change[Measure.ENERGY] * 4 <= usual and lost_percent(history, evidence.days) >= LOST_PERCENT
    )
