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
    """Return how much each row counts for a day, by age and weekday."""
    weekday, weekend = days.weekday(target), days.weekday(target) >= _SATURDAY
    decay = 0.5 ** (1 / view.half_life_days)
    weights = []
    for index in range(len(days.rows)):
        other = days.weekday(index)
        kind = view.same_kind if (other >= _SATURDAY) == weekend else view.other_kind
        weights.append((view.same_weekday if other == weekday else kind) * decay ** (target - index))
    return weights


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
    """Energies in ascending order; for each view the part of all weight that lies below the middle of each."""

    energies_kwh: list[float]
    positions: list[list[float]]
    means_kwh: list[float]

    def quantile(self, view: int, level: float) -> float:
        """Return a view's quantile: linear between the energies, the least and the largest beyond the ends."""
        energies, positions = self.energies_kwh, self.positions[view]
        above = bisect_left(positions, level)
        if above == 0:
            return energies[0]
        if above == len(positions):
            return energies[-1]
        below_at, above_at = positions[above - 1], positions[above]
        part = (level - below_at) / (above_at - below_at) if above_at > below_at else 1.0
        return energies[above - 1] + part * (energies[above] - energies[above - 1])


def sample_of(days: Days, slot: int, weights: Sequence[Sequence[float]], scale: Sequence[float]) -> Sample | None:
    """Return what is like an hour of the clock: that hour and its neighbours in all rows. None where nothing is."""
    pool: list[tuple[float, int, bool]] = []
    rows, last = days.rows, len(days.rows) - 1
    for index, row in enumerate(rows):
        factor = scale[index]
        energy = row[slot]
        if energy is not None:
            pool.append((energy * factor, index, False))
        before = row[slot - 1] if slot else (rows[index - 1][-1] if index else None)
        if before is not None:
            pool.append((before * factor, index, True))
        after = row[slot + 1] if slot < SLOTS - 1 else (rows[index + 1][0] if index < last else None)
        if after is not None:
            pool.append((after * factor, index, True))
    if not pool:
        return None
    pool.sort()
    positions, means = [], []
    for view, of_rows in zip(VIEWS, weights, strict=True):
        weighed = [of_rows[index] * view.next_hour if beside else of_rows[index] for _, index, beside in pool]
        total = sum(weighed)
        positions.append(
            [(reached - weight / 2) / total for reached, weight in zip(accumulate(weighed), weighed, strict=True)]
        )
        means.append(sum(entry[0] * weight for entry, weight in zip(pool, weighed, strict=True)) / total)
    return Sample([entry[0] for entry in pool], positions, means)
