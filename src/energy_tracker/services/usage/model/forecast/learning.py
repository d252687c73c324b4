"""What is learned from past forecasts, a few numbers per home or device: how far to trust bands and views."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Final

QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
"""The levels that every forecast states."""

MEDIAN: Final = QUANTILES.index(0.5)

_RATE_PER_DAY: Final = 0.04
_ROOM: Final = 0.01
_LOSS_KEPT_PER_DAY: Final = 0.95
_SHARPNESS: Final = 60.0
_HOURS_PER_DAY: Final = 24


@dataclass(frozen=True, slots=True)
class Learned:
    """The levels at which the sample is read so that the stated ones hold, and how wrong each view was of late.

    The levels follow adaptive conformal inference (Gibbs and Candès, NeurIPS 2021): after each day a level moves
    against its own miss, so that over weeks the stated share lies below it whatever the home does. The median stays:
    on the bench a median that moves has the larger error.
    """

    levels: tuple[float, ...] = QUANTILES
    view_errors_kwh: tuple[float, ...] = ()
    """The absolute errors of the views, fading; nothing before the first day."""
    days: float = 0.0

    def view_weights(self, views: int) -> list[float]:
        """Return how much each view counts; they add up to 1."""
        errors = self.view_errors_kwh
        mean = sum(errors) / len(errors) if errors else 0.0
        if mean <= 0:
            return [1 / views] * views
        least = min(errors)
        raw = [exp(-_SHARPNESS * (error - least) / mean) for error in errors]
        return [weight / sum(raw) for weight in raw]


NOTHING_LEARNED: Final = Learned()


@dataclass(frozen=True, slots=True)
class Outcome:
    """An hour that was forecast and has come: the quantiles and each view's median against what was used."""

    quantiles_kwh: Sequence[float]
    views_kwh: Sequence[float]
    actual_kwh: float


def learn(learned: Learned, outcomes: Sequence[Outcome]) -> Learned:
    """Return what is known after the outcomes of about a day (fewer hours teach less)."""
    if not outcomes:
        return learned
    part = min(1.0, len(outcomes) / _HOURS_PER_DAY)
    levels = []
    for place, (level, stated) in enumerate(zip(learned.levels, QUANTILES, strict=True)):
        below = sum(_below(outcome.actual_kwh, outcome.quantiles_kwh[place], stated) for outcome in outcomes)
        moved = level + _RATE_PER_DAY * part * (stated - below / len(outcomes))
        levels.append(level if place == MEDIAN else min(max(moved, _ROOM), 1 - _ROOM))
    kept = _LOSS_KEPT_PER_DAY**part
    count = len(outcomes[0].views_kwh)
    before = learned.view_errors_kwh or (0.0,) * count
    errors = [
        kept * before[view] + sum(abs(outcome.views_kwh[view] - outcome.actual_kwh) for outcome in outcomes)
        for view in range(count)
    ]
    return Learned(_ordered(levels), tuple(errors), learned.days + part)


def _ordered(levels: Sequence[float]) -> tuple[float, ...]:
    """Return the levels so that none crosses another or the median."""
    low, high = levels[:MEDIAN], levels[MEDIAN + 1 :]
    median = levels[MEDIAN]
    return (*sorted(min(level, median) for level in low), median, *sorted(max(level, median) for level in high))


def _below(actual_kwh: float, quantile_kwh: float, stated: float) -> float:
    """Tell whether a value lies below a quantile; on it, as where both are zero, it says nothing."""
    if actual_kwh == quantile_kwh:
        return stated
    return 1.0 if actual_kwh < quantile_kwh else 0.0
