"""Forecasts of a home or a device, made when somebody asks, from the stored hours; nothing is kept but in memory."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from energy_tracker.contracts.forecast import ForecastAnswer
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import FieldError
from energy_tracker.services.usage.forecast_answers import forecast_answer
from energy_tracker.services.usage.hour_history import History, history_of
from energy_tracker.services.usage.model.calendar import start_of_date
from energy_tracker.services.usage.model.forecast.day_ahead import DayAhead, forecast_hours
from energy_tracker.services.usage.model.forecast.hours import TooLittleHistory
from energy_tracker.services.usage.model.forecast.month import MonthEnd
from energy_tracker.services.usage.model.forecast.past_days import HISTORY_DAYS, PastDays, judge_past_days
from energy_tracker.services.usage.ports import ReadingQueries
from energy_tracker.services.usage.queries import QueryService, RangeNotAcceptable, zone_of_user

MOST_HOURS_OF_ALL_DEVICES: Final = 1_000_000
_REMEMBERED: Final = 512
_Subject = tuple[int, int | None]


@dataclass
class ForecastService:
    """The use case. Any process can answer: it reads the store, and what it remembers is only to be quick."""

    queries: QueryService
    store: ReadingQueries
    clock: Clock
    _past: OrderedDict[_Subject, tuple[int, PastDays]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()

    async def forecast(self, *, principal: Principal, user_id: int, device_id: int | None = None) -> ForecastAnswer:
        """Tell what the hours to come and this month will use, and how good such forecasts were of late.

        Raises `UserNotFound`, `DeviceNotFound`, `RangeNotAcceptable` and `TemporarilyUnavailable`.
        """
        user = await self.queries.user(principal, user_id)
        zone = zone_of_user(user)
        chosen = () if device_id is None else (device_id,)
        home = await self.queries.home(principal=principal, user_id=user_id, device_ids=chosen)
        _check_size(len(home.chosen_ids))
        history = await history_of(self.store, home, zone=zone, now_ms=self.clock.now_ms())
        past = await self._past_days((user_id, device_id), history)
        try:
            history.check_recent()
            ahead: DayAhead | str = _hours_ahead(history, past)
        except TooLittleHistory as too_little:
            ahead = str(too_little)
        try:
            month: MonthEnd | str = history.month_end()
        except TooLittleHistory as too_little:
            month = str(too_little)
        return forecast_answer(user, device_id, history, ahead=ahead, month=month, past=past)

    async def _past_days(self, subject: _Subject, history: History) -> PastDays:
        """Return how past days were forecast; played through again only where their hours have changed.

        Playing takes a third of a second: others have their turn after each day, and no two are played at once.
        """
        midnight_ms = start_of_date(history.zone, history.today)
        over = tuple(hour for hour in history.hours if hour.start_ms + hour.length_ms <= midnight_ms)
        content = hash((str(history.zone), midnight_ms, over))
        async with self._one_at_a_time:
            known = self._past.get(subject)
            if known is None or known[0] != content:
                past = PastDays()
                for further in judge_past_days(over, zone=history.zone, until_ms=midnight_ms, today=history.today):
                    past = further
                    await asyncio.sleep(0)
                known = self._past[subject] = (content, past)
            self._past.move_to_end(subject)
            while len(self._past) > _REMEMBERED:
                self._past.popitem(last=False)
        return known[1]


def _hours_ahead(history: History, past: PastDays) -> DayAhead:
    end_ms = start_of_date(history.zone, history.today + timedelta(days=2))
    return forecast_hours(history.hours, zone=history.zone, from_ms=history.at_ms, to_ms=end_ms, learned=past.learned)


def _check_size(devices: int) -> None:
    most = MOST_HOURS_OF_ALL_DEVICES // (24 * HISTORY_DAYS)
    if devices > most:
        detail = f"must name a device: the home has {devices}, and at most {most} are foreseen together"
        raise RangeNotAcceptable(f"The parameter `deviceId` {detail}.", errors=[FieldError("?deviceId", detail)])
