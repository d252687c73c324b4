"""How cold it was outside of a home: told by people and programs, and taken into account from then on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from energy_tracker.contracts.outdoor import FIRST_DAY, FORECAST, MOST_OUTDOOR_DAYS, OutdoorAnswer, OutdoorDay
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.services.usage.model.detection.records import OUTDOOR, outdoor_entry, outdoor_of
from energy_tracker.services.usage.ports import Recorded
from energy_tracker.services.usage.unusual import UnusualWatch
from energy_tracker.services.usage.unusual_wishes import home_of

_TENTHS: Final = 10
_OTHER_ZONES: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OutdoorTemperatures:
    """The use cases."""

    watched: UnusualWatch

    async def known(self, *, principal: Principal, user_id: int) -> OutdoorAnswer:
        """Return the days that are known. Raises `UserNotFound` and `TemporarilyUnavailable`."""
        home_of(self.watched, principal, user_id)
        return _answer(user_id, outdoor_of(await self.watched.store.detectors(user_id)))

    async def tell(self, *, principal: Principal, user_id: int, days: Mapping[date, float | None]) -> OutdoorAnswer:
        """Take mean temperatures in °C of local days beside those that are known; None forgets a day.

        What was judged already is not judged again. Raises `UserNotFound`, `InvalidRequest` and
        `TemporarilyUnavailable`.
        """
        home_of(self.watched, principal, user_id)
        latest = self.watched.clock.now().date() + FORECAST + _OTHER_ZONES
        if not all(FIRST_DAY <= day <= latest for day in days):
            errors = [FieldError("/days", f"must be days from {FIRST_DAY} to {latest}")]
            raise InvalidRequest("Not acceptable: /days.", errors=errors)
        async with self.watched.one_at_a_time, self.watched.recorder.alone():
            home_of(self.watched, principal, user_id)
            outdoor = outdoor_of(await self.watched.store.detectors(user_id))
            for day, mean_c in days.items():
                outdoor.pop(day.toordinal(), None)
                if mean_c is not None:
                    outdoor[day.toordinal()] = round(mean_c * _TENTHS)
            entry = outdoor_entry(outdoor, most=MOST_OUTDOOR_DAYS)
            await self.watched.recorder.commit(Recorded(detectors={(user_id, OUTDOOR): entry}))
        return _answer(user_id, outdoor_of({OUTDOOR: entry}))


def _answer(user_id: int, outdoor: Mapping[int, int]) -> OutdoorAnswer:
    days = (
        OutdoorDay(date=date.fromordinal(day).isoformat(), mean_c=tenths / _TENTHS)
        for day, tenths in sorted(outdoor.items())
    )
    return OutdoorAnswer(user_id=user_id, days=tuple(days))
