"""What a month will have used when it ends, with a range."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from statistics import NormalDist
from typing import Final

from energy_tracker.kit.instants import MS_PER_HOUR, from_ms
from energy_tracker.services.usage.model.calendar import start_of_date
from energy_tracker.services.usage.model.forecast.daily import course_of, day_totals, usual_hours
from energy_tracker.services.usage.model.forecast.day_ahead import ENOUGH_DAYS, LEAST_DAYS
from energy_tracker.services.usage.model.forecast.hours import SLOTS, HourUse, TooLittleHistory, lay_days, places

MONTH_HISTORY_DAYS: Final = 112

_DEVIATIONS: Final = 1.2816
"""Of a normal distribution 80 % lie within this many standard deviations."""

_GUESSED: Final = 1.1
"""The deviation is itself a guess, from about seven tries: Student's t with so many degrees is this much wider."""


@dataclass(frozen=True, slots=True)
class MonthEnd:
    """What the month of an instant will have used, in kWh; `low_kwh` to `high_kwh` holds it in 80 of 100 months.

    `so_far_kwh` was measured; `gaps_kwh` is what the hours before the instant that were not measured used, as they
    usually do. Both are in `expected_kwh`.
    """

    month: date
    made_at_ms: int
    so_far_kwh: float
    gaps_kwh: float
    expected_kwh: float
    low_kwh: float
    high_kwh: float
    measured_days: int
    little_history: bool

    def chance_to_pass(self, limit_kwh: float) -> float:
        """Return the probability (0 to 1) that the month uses more than a limit."""
        deviation_kwh = (self.high_kwh - self.expected_kwh) / _DEVIATIONS
        if limit_kwh < self.so_far_kwh:
            return 1.0
        if deviation_kwh <= 0:
            return float(self.expected_kwh > limit_kwh)
        return 1 - NormalDist(self.expected_kwh, deviation_kwh).cdf(limit_kwh)


def expect_month(history: Sequence[HourUse], *, zone: tzinfo, at_ms: int) -> MonthEnd:
    """Forecast the use at the end of the local month that an instant lies in, from the hours that were over then.

    `history` reaches back `MONTH_HISTORY_DAYS` days where there are as many. Raises `TooLittleHistory`.
    """
    days = lay_days(history, zone, until_ms=at_ms, most_days=MONTH_HISTORY_DAYS)
    if days.measured < LEAST_DAYS:
        message = f"A forecast needs {LEAST_DAYS} measured days; there are {days.measured}."
        raise TooLittleHistory(message)
    today = from_ms(at_ms).astimezone(zone).date()
    over = days.before(today)
    usual = usual_hours(over)
    totals = day_totals(over, usual)
    if all(day is None for day in totals):
        message = "A forecast needs days that were measured for most of their hours; there is none."
        raise TooLittleHistory(message)
    course = course_of(totals, [over.weekday(index) for index in range(len(totals))])
    shares = _shares(usual)
    month = today.replace(day=1)
    first_ms, end_ms = (start_of_date(zone, day) for day in (month, _next_month(month)))
    so_far_kwh, missing = _so_far(history, shares, zone, first_ms, at_ms)
    coming_kwh = coming_days = 0.0
    for place in places(zone, at_ms, end_ms) if at_ms < end_ms else ():
        share = shares[place.slot] * place.length_ms / MS_PER_HOUR
        coming_days += share
        coming_kwh += share * course.day_kwh((place.day - today).days + 1, place.day.weekday())
    gaps_kwh = missing * course.day_kwh(0, today.weekday())
    expected_kwh = so_far_kwh + gaps_kwh + coming_kwh
    deviation_kwh = _DEVIATIONS * _GUESSED * course.deviation_kwh(coming_days + missing)
    if days.measured < ENOUGH_DAYS:
        deviation_kwh *= 1 + 3 / days.measured
    return MonthEnd(
        month=month,
        made_at_ms=at_ms,
        so_far_kwh=so_far_kwh,
        gaps_kwh=gaps_kwh,
        expected_kwh=expected_kwh,
        low_kwh=max(so_far_kwh, expected_kwh - deviation_kwh),
        high_kwh=expected_kwh + deviation_kwh,
        measured_days=days.measured,
        little_history=days.measured < ENOUGH_DAYS,
    )


def _shares(usual: Sequence[float]) -> list[float]:
    """Return which part of a day's use each hour of the clock has."""
    whole = sum(usual)
    return [hour / whole for hour in usual] if whole > 0 else [1 / SLOTS] * SLOTS


def _next_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _so_far(
    history: Sequence[HourUse], shares: Sequence[float], zone: tzinfo, first_ms: int, at_ms: int
) -> tuple[float, float]:
    """Return what was measured of the month in kWh, and what was not as a part of a usual day.

    Hours before the first one that was ever measured are not missing: there was nothing to measure yet.
    """
    measured = [hour for hour in history if hour.energy_kwh is not None and hour.start_ms + hour.length_ms <= at_ms]
    begin_ms = max(first_ms, min((hour.start_ms for hour in measured), default=at_ms))
    of_month = {hour.start_ms: hour for hour in measured if hour.start_ms >= begin_ms}
    missing = 0.0
    for place in places(zone, begin_ms, at_ms) if begin_ms < at_ms else ():
        hour = of_month.get(place.start_ms)
        not_covered_ms = place.length_ms - (min(hour.covered_ms, place.length_ms) if hour else 0)
        missing += shares[place.slot] * not_covered_ms / MS_PER_HOUR
    return sum(hour.energy_kwh or 0.0 for hour in of_month.values()), missing
