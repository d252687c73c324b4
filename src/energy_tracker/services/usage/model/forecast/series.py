"""Forecasting any series of `timestamp,value`, without a store or a home."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from itertools import pairwise
from math import isfinite
from typing import Final

from energy_tracker.kit.instants import MS_PER_HOUR
from energy_tracker.services.usage.model.forecast.day_ahead import DayAhead, forecast_hours, learn_from_history
from energy_tracker.services.usage.model.forecast.hours import HourUse

LONGEST_STEP_MS: Final = MS_PER_HOUR
"""What is coarser cannot be forecast by the hour."""


class StepTooLong(ValueError):
    """The points of a series are usually more than an hour apart."""


def hours_of_points(points: Iterable[tuple[int, float | None]]) -> list[HourUse]:
    """Add up points (start in ms since 1970, kWh until the next) to full hours of UTC.

    The step is the most frequent distance between points; what no point covers is missing, not zero, and so is a
    point of None or NaN. Of points at one instant the last counts. Raises `StepTooLong`.
    """
    by_start = {start_ms: value for start_ms, value in points if value is not None and isfinite(value)}
    steps = Counter(after - before for before, after in pairwise(sorted(by_start)))
    step_ms = min(steps, key=lambda step: (-steps[step], step)) if steps else MS_PER_HOUR
    if step_ms > LONGEST_STEP_MS:
        message = f"The points are {step_ms / MS_PER_HOUR:g} hours apart; a forecast by the hour needs one at most."
        raise StepTooLong(message)
    hours: dict[int, list[float]] = defaultdict(list)
    for start_ms, energy_kwh in by_start.items():
        hours[start_ms - start_ms % MS_PER_HOUR].append(energy_kwh)
    return [
        HourUse(start_ms, MS_PER_HOUR, sum(energies), min(MS_PER_HOUR, step_ms * len(energies)))
        for start_ms, energies in sorted(hours.items())
    ]


def forecast_series(
    points: Sequence[tuple[int, float | None]], *, zone: tzinfo = UTC, hours: int = 24, from_ms: int | None = None
) -> DayAhead:
    """Forecast the hours behind a series, or behind `from_ms`, a full hour: from then on nothing of it is seen.

    Learns from the last weeks of the series itself. Raises `StepTooLong` and `TooLittleHistory`.
    """
    history = hours_of_points(point for point in points if from_ms is None or point[0] < from_ms)
    if from_ms is None:
        from_ms = max((hour.start_ms + hour.length_ms for hour in history), default=0)
    learned = learn_from_history(history, zone=zone, until_ms=from_ms)
    return forecast_hours(history, zone=zone, from_ms=from_ms, to_ms=from_ms + hours * MS_PER_HOUR, learned=learned)
