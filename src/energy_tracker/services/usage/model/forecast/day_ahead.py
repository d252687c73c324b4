"""The hours ahead, with quantiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Final

from energy_tracker.kit.instants import MS_PER_HOUR
from energy_tracker.services.usage.model.forecast.hours import (
    SLOTS,
    Days,
    HourUse,
    TooLittleHistory,
    lay_days,
    places,
)
from energy_tracker.services.usage.model.forecast.learning import (
    MEDIAN,
    NOTHING_LEARNED,
    QUANTILES,
    Learned,
    Outcome,
    learn,
)
from energy_tracker.services.usage.model.forecast.likeness import (
    MOST_DAYS,
    VIEWS,
    Sample,
    day_weights,
    levels,
    sample_of,
    scales,
)

LEAST_DAYS: Final = 3
"""With fewer measured days there is no forecast."""

ENOUGH_DAYS: Final = 14
"""With fewer measured days the forecast says that there is little history."""

_WIDEN_DAYS: Final = 2
_WIDEN_UNTIL_DAYS: Final = 40
"""Until there are so many days, bands are wider than the sample: by three fifths with 3 days, a tenth with 14."""

LEARNING_DAYS: Final = 28
_FIRST_LEARNING_DAY: Final = 7
_WEEK_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class HourForecast:
    """What an hour will use in kWh: at each of `QUANTILES`, on average, and the median of each view (to learn by)."""

    start_ms: int
    length_ms: int
    quantiles_kwh: tuple[float, ...]
    mean_kwh: float
    views_kwh: tuple[float, ...]

    @property
    def median_kwh(self) -> float:
        """The energy that is as likely exceeded as not."""
        return self.quantiles_kwh[MEDIAN]


@dataclass(frozen=True, slots=True)
class DayAhead:
    """A forecast of hours in a row, made from what was known at `made_at_ms`."""

    made_at_ms: int
    hours: tuple[HourForecast, ...]
    measured_days: int
    little_history: bool


def forecast_hours(
    history: Sequence[HourUse], *, zone: tzinfo, from_ms: int, to_ms: int, learned: Learned = NOTHING_LEARNED
) -> DayAhead:
    """Forecast the hours of `[from_ms, to_ms)`, multiples of a quarter-hour, from those that were over at `from_ms`.

    Raises `TooLittleHistory`.
    """
    days = lay_days(history, zone, until_ms=from_ms, most_days=MOST_DAYS)
    if days.measured < LEAST_DAYS:
        message = f"A forecast needs {LEAST_DAYS} measured days; there are {days.measured}."
        raise TooLittleHistory(message)
    ahead = places(zone, from_ms, to_ms)
    slots_of: dict[date, set[int]] = {}
    for place in ahead:
        slots_of.setdefault(place.day, set()).add(place.slot)
    made = {day: _forecast_day(days, days.index_of(day), slots, learned) for day, slots in slots_of.items()}
    hours = tuple(
        _scaled(made[place.day][place.slot], place.start_ms, place.length_ms / MS_PER_HOUR) for place in ahead
    )
    return DayAhead(from_ms, hours, days.measured, little_history=days.measured < ENOUGH_DAYS)


@dataclass(frozen=True, slots=True)
class PastDay:
    """A day that is over, forecast as it would have been at the midnight before, against what came.

    `week_before_kwh` is, for each outcome, what the same hour used a week before; None where that was not measured.
    """

    day: date
    outcomes: tuple[Outcome, ...]
    week_before_kwh: tuple[float | None, ...]
    learned: Learned
    """What is known after it."""


def play_through(
    history: Sequence[HourUse], *, zone: tzinfo, until_ms: int, most_days: int = LEARNING_DAYS
) -> Iterator[PastDay]:
    """Forecast each of the last days before an instant as it would have been, learning from one to the next.

    Yields the days that were measured and had enough before them; each costs a forecast.
    """
    days = lay_days(history, zone, until_ms=until_ms, most_days=MOST_DAYS + most_days)
    learned = NOTHING_LEARNED
    for index in range(max(_FIRST_LEARNING_DAY, len(days.rows) - most_days), len(days.rows)):
        row, week_before = days.rows[index], days.rows[index - _WEEK_DAYS]
        known = Days(days.first, days.rows[:index])
        slots = {slot for slot, energy in enumerate(row) if energy is not None}
        if known.measured < LEAST_DAYS or not slots:
            continue
        made = _forecast_day(known, index, slots, learned)
        outcomes = tuple(
            Outcome(made[slot].quantiles_kwh, made[slot].views_kwh, energy)
            for slot, energy in enumerate(row)
            if energy is not None
        )
        learned = learn(learned, outcomes)
        before = tuple(week_before[slot] for slot in sorted(slots))
        yield PastDay(days.date_of(index), outcomes, before, learned)


def learn_from_history(history: Sequence[HourUse], *, zone: tzinfo, until_ms: int) -> Learned:
    """Learn from the last four weeks before an instant, as if each of their days had been forecast.

    Costs about `LEARNING_DAYS` forecasts. Nothing is learned while there is less than a week.
    """
    learned = NOTHING_LEARNED
    for past in play_through(history, zone=zone, until_ms=until_ms):
        learned = past.learned
    return learned


def outcomes_of(forecast: DayAhead, actual: Sequence[HourUse]) -> list[Outcome]:
    """Match a past forecast with what came; hours that were not measured are left out."""
    came = {hour.start_ms: hour.whole_hour_kwh for hour in actual}
    found = []
    for hour in forecast.hours:
        energy_kwh = came.get(hour.start_ms)
        if energy_kwh is not None:
            found.append(Outcome(hour.quantiles_kwh, hour.views_kwh, energy_kwh * hour.length_ms / MS_PER_HOUR))
    return found


def _forecast_day(days: Days, target: int, slots: set[int], learned: Learned) -> dict[int, HourForecast]:
    """Forecast some hours of the clock of one day, each as a whole hour beginning at 0."""
    first = max(0, len(days.rows) - MOST_DAYS)
    days, target = Days(days.date_of(first), days.rows[first:]), target - first
    weights = [day_weights(view, days, target) for view in VIEWS]
    scale = scales(levels(days), target - len(days.rows) + 1)
    trust = learned.view_weights(len(VIEWS))
    widen = 1 + max(0.0, _WIDEN_DAYS / days.measured - _WIDEN_DAYS / _WIDEN_UNTIL_DAYS)
    line = [energy for row in days.rows for energy in row]
    floor_kwh = 0.0 if all(energy is None or energy >= 0 for energy in line) else None
    made = {}
    for slot in slots:
        sample = sample_of(line, slot, weights, scale) or _any_hour(line, weights, scale)
        made[slot] = _read(sample, learned.levels, trust, widen, floor_kwh)
    return made


def _any_hour(line: Sequence[float | None], weights: Sequence[Sequence[float]], scale: Sequence[float]) -> Sample:
    """Return the sample of the nearest hours that were ever measured; for an hour of the clock that never was."""
    found = (sample_of(line, slot, weights, scale) for slot in range(SLOTS))
    return next(sample for sample in found if sample is not None)


def _read(
    sample: Sample, read_at: Sequence[float], trust: Sequence[float], widen: float, floor_kwh: float | None
) -> HourForecast:
    views = range(len(trust))
    quantiles = [sum(trust[view] * sample.quantile(view, level) for view in views) for level in read_at]
    median = quantiles[MEDIAN]
    quantiles = [median + widen * (energy - median) for energy in quantiles]
    if floor_kwh is not None:
        quantiles = [max(floor_kwh, energy) for energy in quantiles]
    return HourForecast(
        start_ms=0,
        length_ms=MS_PER_HOUR,
        quantiles_kwh=tuple(quantiles),
        mean_kwh=sum(trust[view] * sample.mean_kwh(view) for view in views),
        views_kwh=tuple(sample.quantile(view, QUANTILES[MEDIAN]) for view in views),
    )


def _scaled(hour: HourForecast, start_ms: int, part: float) -> HourForecast:
    return HourForecast(
        start_ms=start_ms,
        length_ms=round(part * MS_PER_HOUR),
        quantiles_kwh=tuple(part * energy for energy in hour.quantiles_kwh),
        mean_kwh=part * hour.mean_kwh,
        views_kwh=tuple(part * energy for energy in hour.views_kwh),
    )
