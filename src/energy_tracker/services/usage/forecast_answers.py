"""How usage-service writes forecasts: kWh and ISO-8601 instants; null, with a reason, where nothing can be said."""

from datetime import timedelta
from typing import Final

from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.contracts.forecast import ForecastAccuracy, ForecastAnswer, ForecastHour, MonthForecast
from energy_tracker.kit.instants import to_iso
from energy_tracker.services.usage.hour_history import History
from energy_tracker.services.usage.model.calendar import start_of_date
from energy_tracker.services.usage.model.forecast.accuracy import STATED_BAND
from energy_tracker.services.usage.model.forecast.day_ahead import ENOUGH_DAYS, DayAhead, HourForecast
from energy_tracker.services.usage.model.forecast.hours import lay_days
from energy_tracker.services.usage.model.forecast.likeness import MOST_DAYS
from energy_tracker.services.usage.model.forecast.month import MonthEnd
from energy_tracker.services.usage.model.forecast.past_days import PastDays

_DIGITS: Final = 6
"""A milliwatt-hour: far below what a forecast knows, and the same on every machine."""


def forecast_answer(
    user: DirectoryUser,
    device_id: int | None,
    history: History,
    *,
    ahead: DayAhead | str,
    month: MonthEnd | str,
    past: PastDays,
) -> ForecastAnswer:
    """Write a forecast; a text in place of a part is why it cannot be made."""
    measured = lay_days(history.hours, history.zone, until_ms=history.at_ms, most_days=MOST_DAYS).measured
    return ForecastAnswer(
        user_id=user.id,
        device_id=device_id,
        time_zone=user.time_zone,
        made_at=to_iso(history.at_ms),
        measured_days=measured,
        little_history=measured < ENOUGH_DAYS,
        hours=tuple(_hour(hour) for hour in ahead.hours) if isinstance(ahead, DayAhead) else None,
        reason=ahead if isinstance(ahead, str) else None,
        month=_month(history, month),
        accuracy=_accuracy(history, past),
    )


def _kwh(energy_kwh: float) -> float:
    return round(energy_kwh, _DIGITS)


def _hour(hour: HourForecast) -> ForecastHour:
    p10, p25, p50, p75, p90 = (_kwh(energy) for energy in hour.quantiles_kwh)
    return ForecastHour(
        start=to_iso(hour.start_ms),
        end=to_iso(hour.start_ms + hour.length_ms),
        p10_kwh=p10,
        p25_kwh=p25,
        p50_kwh=p50,
        p75_kwh=p75,
        p90_kwh=p90,
        mean_kwh=_kwh(hour.mean_kwh),
    )


def _month(history: History, month: MonthEnd | str) -> MonthForecast:
    from_ms, to_ms = history.month_ms
    used_kwh = history.used_kwh(from_ms)
    made = month if isinstance(month, MonthEnd) else None
    return MonthForecast(
        from_=to_iso(from_ms),
        to=to_iso(to_ms),
        used_kwh=None if used_kwh is None else _kwh(used_kwh),
        gaps_kwh=None if made is None else _kwh(made.gaps_kwh),
        expected_kwh=None if made is None else _kwh(made.expected_kwh),
        low_kwh=None if made is None else _kwh(made.low_kwh),
        high_kwh=None if made is None else _kwh(made.high_kwh),
        reason=month if isinstance(month, str) else None,
    )


def _accuracy(history: History, past: PastDays) -> ForecastAccuracy | None:
    scored = past.accuracy
    error_kwh, share = scored.mean_absolute_error_kwh, scored.band_coverage
    if past.first is None or past.last is None or error_kwh is None or share is None:
        return None
    return ForecastAccuracy(
        from_=to_iso(start_of_date(history.zone, past.first)),
        to=to_iso(start_of_date(history.zone, past.last + timedelta(days=1))),
        days=past.days,
        hours=scored.hours,
        mean_absolute_error_kwh=_kwh(error_kwh),
        relative_error=None if scored.relative_error is None else _kwh(scored.relative_error),
        in_band_share=_kwh(share),
        stated_band_share=_kwh(STATED_BAND),
    )
