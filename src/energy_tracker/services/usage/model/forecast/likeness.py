"""Quantiles of an hour to come from the hours of the past that are like it.

An hour is like another the more recent it is, the nearer its time of day and the more its weekday is of the same kind.
Three views weigh this differently; `learning` weighs the views. Another thing that makes days alike, such as the
outdoor temperature, would be one more factor in `day_weights`.

The sample's own weighted quantiles are the forecast (Meinshausen's quantile regression forests do this with weights
from trees, JMLR 7, 2006): they cannot cross, are never outside of what was seen, and one odd day does not move them.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Final

from energy_tracker.services.usage.model.forecast.hours import SLOTS, Days

MOST_DAYS: Final = 70
"""Older days would weigh next to nothing."""


@dataclass(frozen=True, slots=True)
class View:
    """How much hours of the past count."""

    half_life_days: float
    same_weekday: float
    same_kind: float
    """Another working day for a working day, the other day of a weekend."""
    other_kind: float
    next_hour: float
    """The hour before and the hour after, against the same hour."""


VIEWS: Final = (View(5, 1.3, 1, 0.6, 0.5), View(14, 2, 1, 0.3, 0.3), View(40, 5, 1, 0.2, 0.1))
"""For homes that change fast and know no week, for most, and for those that keep a strict week."""

_SATURDAY: Final = 5
_LEVEL_HALF_LIFE_DAYS: Final = 2
_LEVEL_PRIOR: Final = 0.3
_LEVEL_FOLLOWED: Final = 0.5
_LEVEL_KEPT_PER_DAY: Final = 0.8
_LEVEL_WITHIN: Final = (0.4, 2.5)


def day_weights(view: View, days: Days, target: int) -> list[float]:
    """Return how much each row counts for a day, by age and weekday; then, again for each row, its hours beside."""
    weekday, weekend = days.weekday(target), days.weekday(target) >= _SATURDAY
    decay = 0.5 ** (1 / view.half_life_days)
    weights = []
    for index in range(len(days.rows)):
        other = days.weekday(index)
        kind = view.same_kind if (other >= _SATURDAY) == weekend else view.other_kind
        weights.append((view.same_weekday if other == weekday else kind) * decay ** (target - index))
    return weights + [view.next_hour * weight for weight in weights]


def levels(days: Days) -> list[float]:
    """Return the level of use before each row and after the last: recent days over what is usual at their hours.

    A day counts by how much of it was measured, so that a gap is no low day and half a day is judged by its half.
    """
    usual = [_mean([row[slot] for row in days.rows]) for slot in range(SLOTS)]
    whole = sum(usual)
    decay = 0.5 ** (1 / _LEVEL_HALF_LIFE_DAYS)
    used = measured = 0.0
    found = []
    for row in days.rows:
        found.append((used + _LEVEL_PRIOR) / (measured + _LEVEL_PRIOR))
        used, measured = used * decay, measured * decay
        expected = sum(usual[slot] for slot, energy in enumerate(row) if energy is not None)
        if whole > 0 and expected > 0:
            share = expected / whole
            ratio = sum(energy for energy in row if energy is not None) / expected
            used += share * min(max(ratio, 0.0), 4.0)
            measured += share
    found.append((used + _LEVEL_PRIOR) / (measured + _LEVEL_PRIOR))
    return found


def _mean(energies: Sequence[float | None]) -> float:
    known = [energy for energy in energies if energy is not None]
    return sum(known) / len(known) if known else 0.0


def scales(level: Sequence[float], days_ahead: int) -> list[float]:
    """Return by what each row is multiplied to be at the level of a day ahead; the level fades with the days."""
    low, high = _LEVEL_WITHIN
    coming = 1 + (min(max(level[-1], low), high) - 1) * _LEVEL_KEPT_PER_DAY ** max(0, days_ahead - 1)
    return [(coming / min(max(past, low), high)) ** _LEVEL_FOLLOWED for past in level[:-1]]


@dataclass(frozen=True, slots=True)
class Sample:
    """Energies in ascending order, and for each view the weight of each and that of all up to it."""

    energies_kwh: list[float]
    weights: list[list[float]]
    reached: list[list[float]]

    def quantile(self, view: int, level: float) -> float:
        """Return a view's quantile.

        An energy lies at the middle of its weight; between two it is linear, beyond the ends the least and the largest.
        """
        energies, weights, reached = self.energies_kwh, self.weights[view], self.reached[view]
        wanted = level * reached[-1]
        above = min(bisect_left(reached, wanted), len(reached) - 1)
        if reached[above] - weights[above] / 2 < wanted:
            above += 1
        if above == 0:
            return energies[0]
        if above == len(reached):
            return energies[-1]
        below_at, above_at = (reached[place] - weights[place] / 2 for place in (above - 1, above))
        part = (wanted - below_at) / (above_at - below_at) if above_at > below_at else 1.0
        return energies[above - 1] + part * (energies[above] - energies[above - 1])

    def mean_kwh(self, view: int) -> float:
        """Return a view's mean."""
        total: float = sum(map(mul, self.energies_kwh, self.weights[view]))
        return total / self.reached[view][-1]


def sample_of(
    line: Sequence[float | None], slot: int, weights: Sequence[Sequence[float]], scale: Sequence[float]
) -> Sample | None:
    """Return what is like an hour of the clock: that hour and its neighbours in all rows. None where nothing is.

    `line` is all rows in one; `weights` has for each view what `day_weights` returns.
    """
    count = len(scale)
    pool: list[tuple[float, int]] = []
    for offset, beside in ((0, 0), (-1, count), (1, count)):
        first = slot + offset
        hours = [None, *line[SLOTS - 1 :: SLOTS]] if first < 0 else line[first::SLOTS]
        pool += [
            (energy * factor, beside + index)
            for index, (energy, factor) in enumerate(zip(hours, scale, strict=False))
            if energy is not None
        ]
    if not pool:
        return None
    pool.sort()
    order = [index for _, index in pool]
    weighed = [list(map(of_rows.__getitem__, order)) for of_rows in weights]
    return Sample([energy for energy, _ in pool], weighed, [list(accumulate(of_view)) for of_view in weighed])
