"""The hours that forecasts are made from, as they are stored now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from typing import Final

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, from_ms, quarter_hour_start
from energy_tracker.services.usage.measuring import hours_used
from energy_tracker.services.usage.model.calendar import cut, quarter_hour_end, start_of_date
from energy_tracker.services.usage.model.forecast.hours import HourUse, TooLittleHistory
from energy_tracker.services.usage.model.forecast.month import MonthEnd, expect_month
from energy_tracker.services.usage.model.forecast.past_days import HISTORY_DAYS
from energy_tracker.services.usage.model.homes import Home
from energy_tracker.services.usage.ports import ReadingQueries

_SILENT_DAYS: Final = 7
"""Of what was not measured for so long, nothing is foreseen."""


@dataclass(frozen=True, slots=True)
class History:
    """The hours that were over at `at_ms`, the start of the running hour of the home's clock."""

    hours: Sequence[HourUse]
    zone: tzinfo
    at_ms: int

    @property
    def today(self) -> date:
        """The local date."""
        return from_ms(self.at_ms).astimezone(self.zone).date()

    @property
    def month_ms(self) -> tuple[int, int]:
        """When this month begins and ends."""
        first = self.today.replace(day=1)
        next_one = (first + timedelta(days=31)).replace(day=1)
        return start_of_date(self.zone, first), start_of_date(self.zone, next_one)

    def used_kwh(self, since_ms: int) -> float | None:
        """Return what was measured since an instant; None where nothing was."""
        known = [hour.energy_kwh for hour in self.hours if hour.start_ms >= since_ms and hour.energy_kwh is not None]
        return sum(known) if known else None

    def month_end(self) -> MonthEnd:
        """Return what this month will have used. Raises `TooLittleHistory`."""
        self.check_recent()
        return expect_month(self.hours, zone=self.zone, at_ms=self.at_ms)

    def check_recent(self) -> None:
        """Raise `TooLittleHistory` where nothing was measured lately: what stands still has no tomorrow to foresee."""
        since_ms = self.at_ms - _SILENT_DAYS * MS_PER_DAY
        if not any(hour.energy_kwh is not None for hour in self.hours if hour.start_ms >= since_ms):
            message = f"Nothing was measured in the last {_SILENT_DAYS} days."
            raise TooLittleHistory(message)


async def history_of(
    store: ReadingQueries, home: Home, *, zone: tzinfo, now_ms: int, days: int = HISTORY_DAYS
) -> History:
    """Read the hours before now. Raises `TemporarilyUnavailable`."""
    at_ms = hour_start(zone, now_ms)
    begin = from_ms(at_ms).astimezone(zone).date() - timedelta(days=days)
    hours = await hours_used(store, home, zone=zone, from_ms=start_of_date(zone, begin), to_ms=at_ms)
    return History(hours, zone, at_ms)


def hour_start(zone: tzinfo, instant_ms: int) -> int:
    """Return the start of the hour of the local clock that holds an instant."""
    begin_ms = quarter_hour_start(instant_ms - 2 * MS_PER_HOUR)
    boundaries_ms = cut(zone, "hour", begin_ms, quarter_hour_end(instant_ms + 1))
    return max(boundary_ms for boundary_ms in boundaries_ms[:-1] if boundary_ms <= instant_ms)
