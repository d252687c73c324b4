import random
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest

from energy_tracker.kit.instants import MS_PER_HOUR
from energy_tracker.services.usage.model.calendar import start_of_date
from energy_tracker.services.usage.model.forecast.hours import HourUse, places

BERLIN = ZoneInfo("Europe/Berlin")


class Homes:
    """Series of hours in Berlin's calendar."""

    zone = BERLIN

    @staticmethod
    def at(year, month, day) -> int:
        return start_of_date(BERLIN, date(year, month, day))

    def hours(self, first, days, use, missing=()):
        """Return the hours of some days; `use(day, slot)` is in kWh per hour; `missing` are dates."""
        begin, end = (start_of_date(BERLIN, first + timedelta(days=day)) for day in (0, days))
        return [
            HourUse(
                place.start_ms,
                place.length_ms,
                None if place.day in missing else use(place.day, place.slot) * place.length_ms / MS_PER_HOUR,
                0 if place.day in missing else place.length_ms,
            )
            for place in places(BERLIN, begin, end)
        ]

    def lived_in(self, first, days, seed=1):
        """Return hours that have mornings, evenings, weekends and chance in them."""
        rng = random.Random(seed)

        def use(day, slot) -> float:
            usual = 0.2 + 0.5 * (slot in {7, 8}) + 0.9 * (18 <= slot < 22) + 0.4 * (day.weekday() >= 5 and slot > 9)
            return usual * rng.lognormvariate(0, 0.5)

        return self.hours(first, days, use)


@pytest.fixture
def homes():
    return Homes()
