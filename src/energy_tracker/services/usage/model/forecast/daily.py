"""What a day uses, how that goes on, and how far off such a guess is: the ground of a month's forecast."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt
from statistics import median
from typing import Final

from energy_tracker.services.usage.model.forecast.hours import SLOTS, Days

_HALF_LIVES_DAYS: Final = (3.0, 8.0, 24.0)
_WEEKDAY_HALF_LIFE_DAYS: Final = 42.0
_WEEKDAY_PRIOR_DAYS: Final = 4.0
_TREND_HALF_LIFE_DAYS: Final = 20.0
_TREND_BELIEVED: Final = 0.3
_TREND_ENDS_AFTER_DAYS: Final = 20
_TREND_PRIOR: Final = 500.0
"""Square days of spread that say that there is none: without, two days would be a trend."""

_LEAST_SHARE: Final = 0.7
"""A day counts as a day where the hours that were measured usually make up this much of one."""

_OUTLIER: Final = 5.0
"""How many times the usual distance from the median a day is let count."""

_SELDOM: Final = 2
"""How many days in six weeks may be odd; a washing machine's days come more often."""

_FIRST_TRY: Final = 7
"""In the first week nothing is tried: too little was known."""

_TRIED_AHEAD_DAYS: Final = 10
_TRIED_DAYS: Final = (5, 8, 12, 17, 24)
_UNKNOWN_DEVIATION: Final = 0.5
_SHARPNESS: Final = 6.0
_PRIOR_TRIES: Final = 4.0
_CARRY: Final = 0.35
"""How much of a day's error the next one has, on average over homes."""

_CARRIED: Final = (1 + _CARRY) / (1 - _CARRY)
"""By how much this raises the variance of a sum of days."""

_PRIOR_DRIFT: Final = 0.02
"""By how much of itself the level of a home wanders in a day: over 25 days by a tenth."""


def usual_hours(days: Days, most_days: int = 28) -> list[float]:
    """Return what each hour of the clock uses on average over the last days, in kWh; 0 where none was measured."""
    found = []
    for slot in range(SLOTS):
        known = [energy for row in days.rows[-most_days:] if (energy := row[slot]) is not None]
        found.append(sum(known) / len(known) if known else 0.0)
    return found


def day_totals(days: Days, usual: Sequence[float]) -> list[float | None]:
    """Return what each day used in kWh, filled up for hours that are missing; None where too many are."""
    whole = sum(usual)
    found: list[float | None] = []
    for row in days.rows:
        hours = [(energy, usual[slot]) for slot, energy in enumerate(row) if energy is not None]
        share = sum(expected for _, expected in hours) / whole if whole > 0 else len(hours) / SLOTS
        found.append(sum(energy for energy, _ in hours) / share if share >= _LEAST_SHARE else None)
    return found


@dataclass(frozen=True, slots=True)
class Course:
    """How a home's days go on: expected kWh of the days behind the last, and the spread of their sums."""

    level_kwh: float
    trend_kwh: float
    weekday_factors: tuple[float, ...]
    day_deviation_kwh: float
    """How far a day is from what is expected of it, as a standard deviation."""
    drift_kwh: float
    """By how much the level wanders in a day, as a standard deviation; over n days by its root times that."""

    def day_kwh(self, ahead: int, weekday: int) -> float:
        """Return what a day uses that is `ahead` (from 1) days behind the last one known."""
        grown = self.level_kwh + self.trend_kwh * min(ahead, _TREND_ENDS_AFTER_DAYS)
        return max(0.0, grown) * self.weekday_factors[weekday]

    def deviation_kwh(self, days: float) -> float:
        """Return the standard deviation of the sum of the next days around what is expected.

        Days in a row err alike, and the level wanders: the deviation grows faster than with the root of the days.
        """
        if days <= 0:
            return 0.0
        return days * sqrt(self.day_deviation_kwh**2 * _CARRIED / days + self.drift_kwh**2 * days)


def course_of(totals: Sequence[float | None], weekdays: Sequence[int]) -> Course:
    """Return how days go on. At least one total is known."""
    calm = _without_outliers(totals)
    factors = _weekday_factors(calm, weekdays)
    plain = [None if day is None else day / factors[weekday] for day, weekday in zip(calm, weekdays, strict=True)]
    paths = [_levels(plain, half_life) for half_life in _HALF_LIVES_DAYS]
    trust = _trust(plain, paths)
    mixed = [
        sum(part * path[index] for part, path in zip(trust, paths, strict=True)) for index in range(len(plain) + 1)
    ]
    known = [
        (day - level) ** 2
        for day, level in zip(plain[_FIRST_TRY:], mixed[_FIRST_TRY:-1], strict=True)
        if day is not None
    ]
    deviation = sqrt(sum(known) / len(known)) if known else _UNKNOWN_DEVIATION * mixed[-1]
    return Course(
        mixed[-1], _TREND_BELIEVED * _slope(plain), tuple(factors), deviation, _drift(plain, mixed, deviation)
    )


def _without_outliers(totals: Sequence[float | None]) -> list[float | None]:
    """Return the days with those cut down that are far from all others; what comes again is no outlier."""
    known = [day for day in totals[-42:] if day is not None] or [day for day in totals if day is not None]
    middle = median(known)
    usual = 1.4826 * median(abs(day - middle) for day in known)
    if usual == 0 or len(known) <= 2 * _SELDOM:
        return list(totals)
    ordered = sorted(known)
    low = min(middle - _OUTLIER * usual, ordered[_SELDOM])
    high = max(middle + _OUTLIER * usual, ordered[-_SELDOM - 1])
    return [None if day is None else min(max(day, low), high) for day in totals]


def _weekday_factors(totals: Sequence[float | None], weekdays: Sequence[int]) -> list[float]:
    decay = 0.5 ** (1 / _WEEKDAY_HALF_LIFE_DAYS)
    sums, weights = [0.0] * 7, [0.0] * 7
    for age, (day, weekday) in enumerate(zip(reversed(totals), reversed(weekdays), strict=True)):
        if day is not None:
            sums[weekday] += day * decay**age
            weights[weekday] += decay**age
    mean = sum(sums) / sum(weights)
    if mean <= 0:
        return [1.0] * 7
    prior = _WEEKDAY_PRIOR_DAYS
    return [(of_day + prior * mean) / (weight + prior) / mean for of_day, weight in zip(sums, weights, strict=True)]


def _levels(totals: Sequence[float | None], half_life_days: float) -> list[float]:
    """Return the fading mean before each day and after the last; the first known day before anything is known."""
    decay = 0.5 ** (1 / half_life_days)
    used = weight = 0.0
    first = next(day for day in totals if day is not None)
    found = [first]
    for day in totals:
        used, weight = used * decay, weight * decay
        if day is not None:
            used, weight = used + day, weight + 1
        found.append(used / weight if weight > 0 else first)
    return found


def _means_ahead(totals: Sequence[float | None], count: int) -> list[float | None]:
    """Return, for each day from which `count` days follow that are mostly known, their mean."""
    found: list[float | None] = []
    for index in range(len(totals) - count + 1):
        known = [day for day in totals[index : index + count] if day is not None]
        found.append(sum(known) / len(known) if len(known) > count * _LEAST_SHARE else None)
    return found


def _trust(totals: Sequence[float | None], paths: Sequence[Sequence[float]]) -> list[float]:
    """Return how much each fading mean counts, by how well it met the days that followed; they add up to 1."""
    errors = [1e-9] * len(paths)
    for index, came in enumerate(_means_ahead(totals, _TRIED_AHEAD_DAYS)):
        if came is not None and index >= _FIRST_TRY:
            for place, path in enumerate(paths):
                errors[place] += abs(path[index] - came)
    mean, least = sum(errors) / len(errors), min(errors)
    raw = [exp(-_SHARPNESS * (error - least) / mean) for error in errors]
    return [weight / sum(raw) for weight in raw]


def _drift(totals: Sequence[float | None], levels: Sequence[float], day_deviation_kwh: float) -> float:
    """Return by how much the level wanders in a day.

    The level of each past day is tried on the mean of some days that followed; what it was off by more than days in
    themselves explain is the drift. Tries that overlap do not count as several, and what homes do counts beside.
    """
    variance, weight = _PRIOR_TRIES * (_PRIOR_DRIFT * levels[-1]) ** 2, _PRIOR_TRIES
    for count in _TRIED_DAYS:
        squares = [
            (came - levels[index]) ** 2
            for index, came in enumerate(_means_ahead(totals, count))
            if came is not None and index >= _FIRST_TRY
        ]
        if squares:
            unexplained = sum(squares) / len(squares) - day_deviation_kwh**2 * _CARRIED / count
            variance += len(squares) / count * max(0.0, unexplained / count)
            weight += len(squares) / count
    return sqrt(variance / weight)


def _slope(totals: Sequence[float | None]) -> float:
    """Return by how many kWh a day uses more than the one before, by a fading least-squares line."""
    decay: float = 0.5 ** (1 / _TREND_HALF_LIFE_DAYS)
    known = [(-age, day, decay**age) for age, day in enumerate(reversed(totals)) if day is not None]
    weight = sum(part for _, _, part in known)
    middle = sum(at * part for at, _, part in known) / weight
    mean = sum(day * part for _, day, part in known) / weight
    spread = sum(part * (at - middle) ** 2 for at, _, part in known)
    return sum(part * (at - middle) * (day - mean) for at, day, part in known) / (spread + _TREND_PRIOR)
