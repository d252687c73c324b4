"""Tests when a local day ends: the last days beside the weeks before, by ranks and margins.

Of the last `k` days each has to be above what the days before had: where days can be exchanged that happens by chance
once in (n + k choose k) cases, whatever their distribution is. So a long stretch needs less of a margin.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.usage.model.detection.findings import Candidate, Comparison, Kind, Measure
from energy_tracker.services.usage.model.detection.medians import median
from energy_tracker.services.usage.model.detection.naming import Rise, evidence_of, name_of
from energy_tracker.services.usage.model.detection.quarter_hours import NOTHING
from energy_tracker.services.usage.model.detection.schedule import schedule_candidates
from energy_tracker.services.usage.model.detection.state import Day, State

STEADY: Final = {1: 100, 2: 50, 3: 25, 5: 15, 10: 8}
"""Margin in percent of the usual spread that a number of days on end needs: what hardly depends on people."""
LEVELS: Final = {1: 200, 2: 75, 3: 30, 5: 15, 10: 8}
"""The same of what depends on how something is used."""
LONG_LEVELS: Final = {2: 100, 3: 40, 5: 20}
"""The same of what may be seen once or twice a day only."""
USE: Final = {1: 400, 2: 120, 3: 50, 5: 20}
"""The same of how much it is used."""

LEAST_PAST: Final = 7
FORGIVING_DAYS: Final = 3
"""From this many days on, one odd day in fifteen of the past does not count."""


class Feature(NamedTuple):
    """A figure of a day that may rise; by less than the larger of both limits it is not worth a word."""

    measure: Measure
    of: Callable[[Day], int]
    least: int
    percent: int
    needed: Mapping[int, int]


FEATURES: Final = (
    Feature(Measure.FLOOR, attrgetter("floor"), 1_000, 10, STEADY),
    Feature(Measure.NIGHT_FLOOR, attrgetter("night_floor"), 1_500, 15, LEVELS),
    Feature(Measure.NIGHT, attrgetter("night"), 2_000, 15, USE),
    Feature(Measure.PEAK, attrgetter("peak"), 2_000, 10, LEVELS),
    Feature(Measure.HIGHEST, attrgetter("highest"), 2_000, 10, LONG_LEVELS),
    Feature(Measure.LEVEL, attrgetter("level"), 2_000, 10, LONG_LEVELS),
    Feature(Measure.ENERGY, attrgetter("energy"), 2_000, 10, USE),
    Feature(Measure.STARTS, attrgetter("starts"), 4, 30, USE),
    Feature(Measure.DUTY, attrgetter("on_quarters"), 8, 30, USE),
    Feature(Measure.LIFT, attrgetter("lift"), 80, 0, {2: 60, 3: 25, 5: 10}),
)


DAYTIME_FLOOR: Final = Feature(Measure.DAYTIME_FLOOR, attrgetter("daytime_floor"), 0, 0, {})
HOME_NIGHT: Final = FEATURES[2]._replace(needed=LEVELS)
"""A home's nights are more alike than those of a device that may be used at night."""

HOME_FEATURES: Final = (*FEATURES[:2], HOME_NIGHT, *FEATURES[3:])
LOWER: Final = (
    Feature(Measure.FLOOR, attrgetter("floor"), 2_000, 20, LEVELS),
    Feature(Measure.HIGHEST, attrgetter("highest"), 2_000, 20, LONG_LEVELS),
    Feature(Measure.LEVEL, attrgetter("level"), 2_000, 20, LONG_LEVELS),
)
"""What may fall, of the days on which a device was used: less use, as on a holiday, is no defect."""


def candidates(state: State, end_ms: int) -> list[Candidate]:
    """Return what the day that has just ended, the last of the history, gives cause to say."""
    history = state.history
    if not history or history[-1].floor == NOTHING:
        return []
    measured = [day for day in history if day.floor != NOTHING]
    series = {
        feature.measure: [value for value in map(feature.of, measured) if value != NOTHING]
        for feature in (*FEATURES, DAYTIME_FLOOR)
    }
    rises = _rises(series, HOME_FEATURES if state.is_home else FEATURES, history[-1])
    shifted = schedule_candidates(history, state.reference, end_ms)
    if not rises:
        return [*_fallen(state, end_ms), *shifted]
    best = max(rises, key=lambda one: one.score)
    kind = name_of(evidence_of(state, series, rises, best, is_shifted=bool(shifted)))
    return [_candidate(series, best, end_ms, kind), *shifted]


def _rises(series: Mapping[Measure, Sequence[int]], features: Sequence[Feature], last: Day) -> list[Rise]:
    return [
        Rise(feature.measure, score, days)
        for feature in features
        if feature.of(last) != NOTHING
        for days, needed in feature.needed.items()
        if (score := rise(series[feature.measure], days, feature) * 100 // needed) > 0
    ]


def _fallen(state: State, end_ms: int) -> list[Candidate]:
    """Return what draws less than it ever did when it was used."""
    history, reference = state.history, state.reference
    if state.is_home or history[-1].highest <= reference.on_mw:
        return []
    used = [day for day in history if day.floor != NOTHING and day.highest > reference.on_mw]
    series = {feature.measure: [-value for day in used if (value := feature.of(day)) > 0] for feature in LOWER}
    falls = _rises(series, [feature for feature in LOWER if feature.of(history[-1]) > 0], history[-1])
    if not falls:
        return []
    best = max(falls, key=lambda one: one.score)
    series[Measure.ENERGY] = [-day.energy for day in used]
    lower = _candidate(series, best, end_ms, Kind.UNUSUAL_DAY)
    compared = lower.comparison
    turned = Comparison(
        best.measure,
        compared.from_ms,
        end_ms,
        -compared.seen,
        -compared.expected,
        -compared.usual_high,
        -compared.usual_low,
        tuple(-value for value in compared.past),
        tuple(-value for value in compared.recent),
    )
    return [Candidate(lower.kind, lower.score, lower.since_ms, -lower.extra_mw, turned)]


def rise(values: Sequence[int], days: int, feature: Feature) -> int:
    """Return by how much the last days are above the ones before, in percent of what is usual between days."""
    if len(values) - days < LEAST_PAST:
        return 0
    past, recent = values[:-days], min(values[-days:])
    ordered = sorted(past)
    high = ordered[-1 - (len(past) // 15 if days >= FORGIVING_DAYS else 0)]
    middle = ordered[(len(ordered) - 1) // 2]
    least = max(feature.least, abs(middle) * feature.percent // 100)
    if recent - middle < least:
        return 0
    return (recent - high) * 100 // max(high - middle, least)


def _candidate(series: Mapping[Measure, Sequence[int]], best: Rise, end_ms: int, kind: Kind) -> Candidate:
    past, recent = series[best.measure][: -best.days], series[best.measure][-best.days :]
    energy = series[Measure.ENERGY]
    compared = Comparison(
        best.measure,
        end_ms - best.days * MS_PER_DAY,
        end_ms,
        sum(recent) // best.days,
        median(past),
        min(past),
        max(past),
        tuple(past),
        tuple(recent),
    )
    extra = median(energy[-best.days :]) - median(energy[: -best.days])
    return Candidate(kind, best.score, compared.from_ms, extra, compared)
