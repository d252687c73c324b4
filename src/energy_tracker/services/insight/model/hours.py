"""The measured hours of a home, as the findings read them.

Absent is not zero: an hour counts only where nearly all of it was measured, and a day only where all its hours count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from itertools import groupby
from statistics import fmean
from zoneinfo import ZoneInfo

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.contracts.forecast import MonthForecast
from energy_tracker.contracts.usage import Bucket, SeriesAnswer

MIN_HOUR_COVERAGE = 0.9
"""Below this share an hour's energy is not known well enough to be compared: six minutes may hide a kettle."""

MAX_ESTIMATED_SHARE = 0.1
"""Above this share an hour's energy was spread over more than the hour: good for sums, useless for a profile."""

MIN_SERIES_COVERAGE = 0.7
"""Below this share of the time since its first reading a device is not judged at all."""

MIN_MEASURED_HOURS = 24
"""A device with fewer well measured hours than a day's is not judged at all."""


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour of one meter; `start` has the offset of the home's zone; energies in kWh, None: nothing was read."""

    start: datetime
    import_kwh: float | None
    export_kwh: float | None
    coverage: float
    estimated_kwh: float = 0.0

    @property
    def is_measured(self) -> bool:
        """Whether the energy of this hour is known."""
        return self.import_kwh is not None and self.coverage >= MIN_HOUR_COVERAGE

    @property
    def is_profiled(self) -> bool:
        """Whether the energy is also known to belong to this hour rather than to a longer interval around it."""
        moved_kwh = (self.import_kwh or 0.0) + (self.export_kwh or 0.0)
        return self.is_measured and self.estimated_kwh <= MAX_ESTIMATED_SHARE * moved_kwh

    @property
    def energy_kwh(self) -> float:
        """Imported energy in kWh; ask only where `is_measured`."""
        return self.import_kwh or 0.0

    @property
    def surplus_kwh(self) -> float:
        """Energy sent out beyond what was drawn within the hour, in kWh: what the home could have used itself."""
        return max(0.0, (self.export_kwh or 0.0) - self.energy_kwh)


@dataclass(frozen=True, slots=True)
class Day:
    """The hours of one calendar day in the home's zone (23, 24 or 25 of them when it is whole)."""

    date: date
    hours: tuple[Hour, ...]
    is_whole: bool

    @property
    def energy_kwh(self) -> float:
        """Imported energy of the day, in kWh; ask only where `is_whole`."""
        return sum(hour.energy_kwh for hour in self.hours)


@dataclass(frozen=True)
class Series:
    """The full hours of one meter (a device, or the home), in order of time; what is derived from them is kept.

    `running` is the hour that is not over yet: its energy counts, but nothing is judged by it.
    """

    hours: tuple[Hour, ...]
    running: Hour | None = None

    @cached_property
    def measured(self) -> tuple[Hour, ...]:
        """The hours whose energy is known."""
        return tuple(hour for hour in self.hours if hour.is_measured)

    @cached_property
    def profiled(self) -> tuple[Hour, ...]:
        """The hours whose energy is known to lie within them."""
        return tuple(hour for hour in self.hours if hour.is_profiled)

    @cached_property
    def coverage(self) -> float:
        """Share of the time since the first reading that was measured, 0 to 1; 0 where nothing was."""
        since_first = self._since_first()
        return fmean(hour.coverage for hour in since_first) if since_first else 0.0

    @property
    def full_hours_kwh(self) -> float | None:
        """The imported energy that was measured in full hours, in kWh, None where nothing was."""
        known = [hour.import_kwh for hour in self.hours if hour.import_kwh is not None]
        return sum(known) if known else None

    @property
    def energy_kwh(self) -> float | None:
        """All imported energy that was measured until now, in kWh, None where nothing was."""
        running_kwh = None if self.running is None else self.running.import_kwh
        if running_kwh is None:
            return self.full_hours_kwh
        return running_kwh + (self.full_hours_kwh or 0.0)

    @property
    def is_new(self) -> bool:
        """Whether it was read for the first time within the hour that is not over yet."""
        return self.coverage == 0 and self.running is not None and self.running.import_kwh is not None

    @property
    def only_sends_out(self) -> bool:
        """Whether it gives energy and draws none, as panels do: what it draws is not measured, and need not be."""
        sent = any(hour.export_kwh is not None for hour in self.hours)
        return sent and all(hour.import_kwh is None for hour in self.hours)

    @cached_property
    def is_judgeable(self) -> bool:
        """Whether enough was measured to say anything about it."""
        return self.coverage >= MIN_SERIES_COVERAGE and len(self.measured) >= MIN_MEASURED_HOURS

    @cached_property
    def days(self) -> tuple[Day, ...]:
        """The calendar days; a day is whole when each of its hours was measured and midnight follows."""
        days = []
        for when, group in groupby(self.hours, key=lambda hour: hour.start.date()):
            hours = tuple(group)
            starts_at_midnight = hours[0].start.hour == 0
            ends_at_midnight = hours[-1].start.hour == 23  # noqa: PLR2004 - the last hour of a day
            whole = starts_at_midnight and ends_at_midnight and all(hour.is_measured for hour in hours)
            days.append(Day(when, hours, whole))
        return tuple(days)

    @cached_property
    def whole_days(self) -> tuple[Day, ...]:
        """The days of which every hour was measured."""
        return tuple(day for day in self.days if day.is_whole)

    def _since_first(self) -> tuple[Hour, ...]:
        first = next((index for index, hour in enumerate(self.hours) if hour.coverage > 0), len(self.hours))
        return self.hours[first:]


@dataclass(frozen=True, slots=True)
class Device:
    """A device and its hours. `name` is what its owner typed: shown to the owner, never given to a model."""

    id: int
    name: str
    type: str
    series: Series
    has_children: bool = False
    is_retired: bool = False
    rated_power_w: float | None = None


@dataclass(frozen=True)
class HomeTable:
    """What was measured of a home in the full hours of `[start, end)`; `total` counts no sub-meter twice."""

    user_id: int
    start: datetime
    end: datetime
    total: Series
    devices: tuple[Device, ...] = field(default=())
    month: MonthForecast | None = None
    """How the running month is foreseen to end; None where there is too little history to say."""

    @cached_property
    def appliances(self) -> tuple[Device, ...]:
        """The devices that are judged one by one: in use, measured well enough, and not a meter of others."""
        return tuple(
            device
            for device in self.devices
            if not device.has_children and not device.is_retired and device.series.is_judgeable
        )

    @property
    def period(self) -> str:
        """The window as an ISO-8601 interval in the home's zone."""
        return interval(self.start, self.end)


def whole_days_interval(first: date, end: date) -> str:
    """Write the whole local days from `first` up to, not including, `end` as an ISO-8601 interval of dates."""
    return f"{first.isoformat()}/{end.isoformat()}"


def interval(start: datetime, end: datetime) -> str:
    """Write `[start, end)` as an ISO-8601 interval, to the minute."""
    return f"{start.isoformat(timespec='minutes')}/{end.isoformat(timespec='minutes')}"


def build_home_table(
    answer: SeriesAnswer, directory: Iterable[DirectoryDevice], zone: ZoneInfo, *, end: datetime
) -> HomeTable:
    """Join an hourly series with what is known about the devices in it; hours and days are those of `zone`.

    `end` is where the full hours end; an hour that follows is the running one.
    """
    clock = _LocalClock(zone)
    known = {device.id: device for device in directory}
    parents = {device.parent_id for device in known.values() if device.parent_id is not None}
    devices = []
    for series in answer.devices:
        entry = known.get(series.id)
        devices.append(
            Device(
                id=series.id,
                name=series.name,
                type=entry.type if entry else "MISC",
                series=_series(series.buckets, clock, end),
                has_children=series.id in parents,
                is_retired=entry is not None and entry.retired_at_ms is not None,
                rated_power_w=entry.rated_power_w if entry else None,
            )
        )
    return HomeTable(
        user_id=answer.user_id,
        start=clock.read(answer.from_),
        end=clock.read(end.isoformat()),
        total=_series(answer.total, clock, end),
        devices=tuple(devices),
    )


class _LocalClock:
    """Reads instants of the wire as local time of a zone, each once: all devices share the same hours."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._known: dict[str, datetime] = {}

    def read(self, instant: str) -> datetime:
        """Return the local time with a fixed offset: so the two hours of a night that has one twice stay apart."""
        local = self._known.get(instant)
        if local is None:
            zoned = datetime.fromisoformat(instant).astimezone(self._zone)
            local = zoned.replace(tzinfo=timezone(zoned.utcoffset() or timedelta(0)))
            self._known[instant] = local
        return local


def _series(buckets: Sequence[Bucket], clock: _LocalClock, end: datetime) -> Series:
    hours = [
        Hour(
            start=clock.read(bucket.start),
            import_kwh=bucket.import_kwh,
            export_kwh=bucket.export_kwh,
            coverage=bucket.coverage,
            estimated_kwh=bucket.estimated_kwh or 0.0,
        )
        for bucket in buckets
    ]
    running = hours.pop() if hours and hours[-1].start >= end else None
    return Series(tuple(hours), running)
