"""How good a past forecast was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final

from energy_tracker.services.usage.model.forecast.learning import MEDIAN, QUANTILES, Outcome

STATED_BAND: Final = QUANTILES[-1] - QUANTILES[0]
"""The share of hours that should lie between the lowest and the highest quantile."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Sums over hours that were forecast and measured, so that those of days and homes can be added up."""

    hours: int = 0
    absolute_error_kwh: float = 0.0
    pinball_kwh: float = 0.0
    in_band_hours: float = 0.0
    actual_kwh: float = 0.0
    compared_error_kwh: float = 0.0
    """The absolute errors of those hours of which the same one a week before was measured, too."""
    week_before_error_kwh: float = 0.0
    """What they would be had each hour been forecast to be like the one a week before."""

    @property
    def relative_error(self) -> float | None:
        """The error as a part of that of taking the same hour a week before; None where that cannot be said."""
        return self.compared_error_kwh / self.week_before_error_kwh if self.week_before_error_kwh > 0 else None

    @property
    def mean_absolute_error_kwh(self) -> float | None:
        """The mean distance of the median from what was used in an hour."""
        return self.absolute_error_kwh / self.hours if self.hours else None

    @property
    def mean_pinball_kwh(self) -> float | None:
        """The mean pinball loss over hours and quantiles (Koenker and Bassett, 1978): less is better."""
        return self.pinball_kwh / self.hours / len(QUANTILES) if self.hours else None

    @property
    def band_coverage(self) -> float | None:
        """The share of the hours within the band; `STATED_BAND` is what it should be."""
        return self.in_band_hours / self.hours if self.hours else None

    def __add__(self, other: "Accuracy") -> "Accuracy":
        """Return the accuracy over the hours of both."""
        return Accuracy(
            self.hours + other.hours,
            self.absolute_error_kwh + other.absolute_error_kwh,
            self.pinball_kwh + other.pinball_kwh,
            self.in_band_hours + other.in_band_hours,
            self.actual_kwh + other.actual_kwh,
            self.compared_error_kwh + other.compared_error_kwh,
            self.week_before_error_kwh + other.week_before_error_kwh,
        )


def accuracy_of(outcomes: Iterable[Outcome], week_before_kwh: Iterable[float | None] = ()) -> Accuracy:
    """Score hours that were forecast against what came, and what they used a week before, where that is given."""
    hours = within = 0
    error = loss = actual = compared = naive = 0.0
    for outcome, before_kwh in zip(outcomes, chain(week_before_kwh, repeat(None)), strict=False):
        hours += 1
        actual += outcome.actual_kwh
        error += abs(outcome.actual_kwh - outcome.quantiles_kwh[MEDIAN])
        if before_kwh is not None:
            compared += abs(outcome.actual_kwh - outcome.quantiles_kwh[MEDIAN])
            naive += abs(outcome.actual_kwh - before_kwh)
        loss += pinball_loss(outcome.quantiles_kwh, outcome.actual_kwh)
        within += outcome.quantiles_kwh[0] <= outcome.actual_kwh <= outcome.quantiles_kwh[-1]
    return Accuracy(hours, error, loss, within, actual, compared, naive)


def pinball_loss(quantiles_kwh: Sequence[float], actual_kwh: float) -> float:
    """Return the pinball loss, added up over the quantiles."""
    pairs = zip(QUANTILES, quantiles_kwh, strict=True)
    return sum(max(level * (actual_kwh - energy), (level - 1) * (actual_kwh - energy)) for level, energy in pairs)
