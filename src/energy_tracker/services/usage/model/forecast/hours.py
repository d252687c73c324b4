"""The hours that a forecast is made from, and their place in the home's calendar."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta, tzinfo
from itertools import pairwise
from typing import Final

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, from_ms, to_ms
from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.usage.model.calendar import cut

_EPOCH: Final = date(1970, 1, 1)

SLOTS: Final = 24
"""The hours that a local clock shows."""

LEAST_COVERAGE: Final = 0.5
"""An hour of which less was measured is missing; of the others, the rest is taken to be like the measured part."""


class TooLittleHistory(ValueError):
    """There are too few measured days before the moment of the forecast."""


@dataclass(frozen=True, slots=True)
class HourUse:
    """What was used in an hour, or in the part of one that a clock change cuts off.

    `energy_kwh` is None where nothing was measured: missing, not zero. `covered_ms` is how much of it was measured.
    """

    start_ms: int
    length_ms: int
    energy_kwh: float | None
    covered_ms: int

    @property
    def whole_hour_kwh(self) -> float | None:
        """What a whole hour uses at this rate, None where too little was measured to say."""
        if self.energy_kwh is None or self.covered_ms <= 0 or self.covered_ms < LEAST_COVERAGE * self.length_ms:
            return None
        return self.energy_kwh * MS_PER_HOUR / min(self.covered_ms, self.length_ms)


def hours_of_column(
    boundaries_ms: Sequence[int], energies_mj: Sequence[int | None], covered_ms: Sequence[int], devices: int = 1
) -> list[HourUse]:
    """Return the hours of a column of the store, cut by `calendar.cut(zone, "hour", …)`.

    `devices` is over how many counted devices the coverage was added up: 1 for a device, for the total of a home as
    many as are in use.
    """
    spans = zip(pairwise(boundaries_ms), energies_mj, covered_ms, strict=True)
    return [
        HourUse(start, end - start, None if energy is None else millijoules_to_kwh(energy), covered // devices)
        for (start, end), energy, covered in spans
    ]


@dataclass(frozen=True, slots=True)
class Days:
    """Local days in a row, each with what the hours that its clock showed use at full length; None: missing.

    The two hours that a clock change gives the same name are one slot, their mean; the hour that it skips is missing.
    """

    first: date
    rows: list[list[float | None]]

    def weekday(self, index: int) -> int:
        """Return the weekday of a row, Monday is 0; also of rows that are not there yet."""
        return (self.first.weekday() + index) % 7

    def index_of(self, day: date) -> int:
        """Return the row of a date."""
        return (day - self.first).days

    def date_of(self, index: int) -> date:
        """Return the date of a row."""
        return self.first + timedelta(days=index)

    def before(self, day: date) -> "Days":
        """Return the days before a date."""
        return Days(self.first, self.rows[: max(0, self.index_of(day))])

    @property
    def measured(self) -> int:
        """The number of days of which at least half the hours were measured."""
        return sum(2 * row.count(None) <= SLOTS for row in self.rows)


class LocalClock:
    """What the clock of a zone shows; the zone is asked once for each day that has no change of clocks in it."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._offset_ms: dict[int, int | None] = {}

    def shows(self, instant_ms: int) -> tuple[int, int]:
        """Return the local date, as days since 1970, and the hour."""
        day = instant_ms // MS_PER_DAY
        if day not in self._offset_ms:
            begin_ms, end_ms = self._ask(day * MS_PER_DAY), self._ask((day + 1) * MS_PER_DAY)
            self._offset_ms[day] = begin_ms if begin_ms == end_ms else None
        offset_ms = self._offset_ms[day]
        local_day, into_ms = divmod(
            instant_ms + (self._ask(instant_ms) if offset_ms is None else offset_ms), MS_PER_DAY
        )
        return local_day, into_ms // MS_PER_HOUR

    def _ask(self, instant_ms: int) -> int:
        local = from_ms(instant_ms).astimezone(self._zone)
        return to_ms(local.replace(tzinfo=UTC)) - instant_ms


def lay_days(history: Sequence[HourUse], zone: tzinfo, *, until_ms: int, most_days: int) -> Days:
    """Lay the hours that were over at an instant into the last `most_days` local days before it.

    The last row is the day of the instant, or the one before where it is a midnight. Hours may come in any order.
    """
    clock = LocalClock(zone)
    last, _ = clock.shows(until_ms - 1)
    begin_ms = until_ms - (most_days + 1) * MS_PER_DAY
    found: dict[int, list[float | None]] = {}
    for hour in history:
        if hour.start_ms < begin_ms or hour.start_ms + hour.length_ms > until_ms:
            continue
        energy_kwh = hour.whole_hour_kwh
        if energy_kwh is None:
            continue
        day, slot = clock.shows(hour.start_ms)
        row = found.get(day)
        if row is None:
            row = found[day] = [None] * SLOTS
        twin = row[slot]
        row[slot] = energy_kwh if twin is None else (twin + energy_kwh) / 2
    first = max(last - most_days + 1, min(found, default=last))
    rows = [found.get(day) or [None] * SLOTS for day in range(first, last + 1)]
    return Days(_EPOCH + timedelta(days=first), rows)


@dataclass(frozen=True, slots=True)
class Place:
    """An hour to come: when it is, and the local date and hour of the clock at its start."""

    start_ms: int
    length_ms: int
    day: date
    slot: int


def places(zone: tzinfo, from_instant_ms: int, to_instant_ms: int) -> list[Place]:
    """Return the hours of a range, cut as all hours are: a day has 23, 24 or 25 of them."""
    clock, found = LocalClock(zone), []
    for start_ms, end_ms in pairwise(cut(zone, "hour", from_instant_ms, to_instant_ms)):
        day, slot = clock.shows(start_ms)
        found.append(Place(start_ms, end_ms - start_ms, _EPOCH + timedelta(days=day), slot))
    return found
