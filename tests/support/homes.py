"""Synthetic homes whose hours are known exactly, as usage-service would answer them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.contracts.forecast import ForecastAnswer, MonthForecast
from energy_tracker.contracts.usage import Bucket, DeviceSeries, Resolution, SeriesAnswer
from energy_tracker.kit.instants import from_ms
from energy_tracker.kit.problems import Problem, TemporarilyUnavailable
from energy_tracker.services.insight.model.advice import Purpose
from energy_tracker.services.insight.model.facts import FactTable, Finding
from energy_tracker.services.insight.model.findings import FINDERS, ranked
from energy_tracker.services.insight.model.hours import HomeTable, build_home_table
from energy_tracker.services.insight.service.insights import fact_table, window

Profile = Callable[[datetime], float | None]
"""kWh of the hour that begins at a local instant; None where nothing was measured."""


@dataclass(frozen=True)
class Home:
    """One user with devices whose hours are functions of local time; `sent_out` is the home's export."""

    user: DirectoryUser
    profiles: Mapping[int, Profile]
    devices: tuple[DirectoryDevice, ...]
    sent_out: Profile = lambda _: 0.0
    coverage: Callable[[int, datetime], float] = lambda _device, _start: 1.0
    estimated: Profile = lambda _: 0.0

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.user.time_zone)

    def hours(self, start: datetime, end: datetime) -> list[datetime]:
        """The starts of the hours of a window, in local time."""
        first, last = start.astimezone(UTC), end.astimezone(UTC)
        count = int((last - first) / timedelta(hours=1))
        return [(first + timedelta(hours=number)).astimezone(self.zone) for number in range(count)]

    def series(self, start: datetime, end: datetime) -> SeriesAnswer:
        hours = self.hours(start, end)
        top = [device.id for device in self.devices if device.parent_id is None]
        return SeriesAnswer(
            user_id=self.user.id,
            time_zone=self.user.time_zone,
            resolution="hour",
            from_=start.astimezone(self.zone).isoformat(),
            to=end.astimezone(self.zone).isoformat(),
            devices=tuple(
                DeviceSeries(
                    id=device.id,
                    name=device.name,
                    buckets=tuple(self._bucket(hour, [device.id], 0.0) for hour in hours),
                )
                for device in self.devices
            ),
            total=tuple(self._bucket(hour, top, self.sent_out(hour)) for hour in hours),
        )

    def _bucket(self, start: datetime, devices: Iterable[int], sent_out: float | None) -> Bucket:
        parts = [(self.profiles[device](start), self.coverage(device, start)) for device in devices]
        known = [kwh for kwh, coverage in parts if kwh is not None and coverage > 0]
        covered = sum(0.0 if kwh is None else coverage for kwh, coverage in parts) / len(parts) if parts else 0.0
        if covered == 0:
            known = []
        return Bucket(
            start=start.isoformat(),
            end=(start.astimezone(UTC) + timedelta(hours=1)).astimezone(self.zone).isoformat(),
            import_kwh=sum(known) if known else None,
            export_kwh=sent_out if known else None,
            coverage=covered,
            estimated_kwh=self.estimated(start) if known else None,
        )


@dataclass
class FakeUsage:
    """Answers the series of homes; `down` makes it unavailable. The month is foreseen as `low` to `high`, if at all."""

    homes: Mapping[int, Home]
    down: bool = False
    asked: int = 0
    month_kwh: tuple[float, float] | None = None
    little_history: bool = False
    cannot_foresee: bool = False

    async def series(self, user_id: int, *, start_ms: int, end_ms: int, resolution: Resolution) -> SeriesAnswer:
        assert resolution == "hour"
        self.asked += 1
        if self.down:
            raise TemporarilyUnavailable("usage-service does not answer.")
        if user_id not in self.homes:
            raise Problem("There is no such user.")
        return self.homes[user_id].series(from_ms(start_ms), from_ms(end_ms))

    async def forecast(self, user_id: int) -> ForecastAnswer:
        if self.cannot_foresee:
            raise TemporarilyUnavailable("usage-service does not answer.")
        low, high = self.month_kwh or (None, None)
        return ForecastAnswer(
            user_id=user_id,
            device_id=None,
            time_zone="UTC",
            made_at="2026-06-15T12:00:00Z",
            measured_days=60 if low else 0,
            little_history=self.little_history,
            hours=None,
            reason="There is too little history.",
            month=MonthForecast(
                from_="2026-06-01T00:00:00Z",
                to="2026-07-01T00:00:00Z",
                used_kwh=None if low is None else low / 2,
                gaps_kwh=None,
                expected_kwh=None,
                low_kwh=low,
                high_kwh=high,
            ),
            accuracy=None,
        )


@dataclass
class FakeDirectory:
    """A copy of the directory that is always what `homes` says."""

    homes: Mapping[int, Home]
    stale: bool = False
    late: dict[int, Home] = field(default_factory=dict)

    def user(self, user_id: int) -> DirectoryUser | None:
        return self.homes[user_id].user if user_id in self.homes else None

    def devices_of(self, user_id: int) -> tuple[DirectoryDevice, ...]:
        return self.homes[user_id].devices if user_id in self.homes else ()

    async def refresh(self) -> None:
        self.homes = {**self.homes, **self.late}


@dataclass
class FixedClock:
    """Time that stands still until it is moved."""

    instant: datetime

    def now(self) -> datetime:
        return self.instant

    def now_ms(self) -> int:
        return round(self.instant.timestamp() * 1000)

    async def sleep(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


def table_of(home: Home, days: int = 35) -> HomeTable:
    """What the service makes of a home, as seen at `NOW`."""
    start, end = window(NOW, days, home.zone)
    return build_home_table(home.series(start, end), home.devices, home.zone, end=end)


def find_all(home: HomeTable) -> tuple[Finding, ...]:
    return ranked(finding for finder in FINDERS for finding in finder(home))


def facts_of(home: Home, purpose: Purpose, days: int = 35) -> FactTable:
    table = table_of(home, days)
    return fact_table(table, find_all(table), purpose)


def device(
    device_id: int,
    *,
    device_type: str = "MISC",
    name: str = "",
    parent_id: int | None = None,
    rated_power_w: float | None = None,
) -> DirectoryDevice:
    return DirectoryDevice(
        id=device_id,
        version=device_id,
        name=name or f"Device {device_id}",
        type=device_type,
        user_id=1,
        parent_id=parent_id,
        rated_power_w=rated_power_w,
    )


def user(time_zone: str = "Europe/Berlin", user_id: int = 1) -> DirectoryUser:
    return DirectoryUser(id=user_id, version=1, name="Home", time_zone=time_zone)


NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
BASE_KWH = 0.07


def golden_home(names: Mapping[int, str] | None = None) -> Home:
    """100 W base load at night (70 W standby and a fridge of 30 W at first), a fridge whose duty grows, and the sun.

    Device 1 is the refrigerator, 2 a television that is never off, 3 a washing machine at 19:00, which runs for longer
    in the last week; 4 is a lamp. The sun sends 1.5 kWh out at noon. The clocks changed on 2026-10-25.
    """
    called = names or {1: "Kitchen fridge", 2: "Living room TV", 3: "Washing machine", 4: "Lamp"}
    zone = ZoneInfo("Europe/Berlin")
    today = NOW.astimezone(zone).date()

    def fridge(start: datetime) -> float:
        age = 35 - (today - start.date()).days
        return 0.030 + 0.001 * max(0, age)

    def television(start: datetime) -> float:
        return BASE_KWH + (0.1 if 20 <= start.hour < 22 else 0.0)

    def washing(start: datetime) -> float:
        hours = (19, 20) if (today - start.date()).days <= 7 else (19,)
        return 1.2 if start.hour in hours else 0.0

    def lamp(start: datetime) -> float:
        return 0.01 if 18 <= start.hour < 23 else 0.0

    return Home(
        user=user(),
        profiles={1: fridge, 2: television, 3: washing, 4: lamp},
        devices=(
            device(1, device_type="REFRIGERATOR", name=called[1]),
            device(2, device_type="TV", name=called[2]),
            device(3, device_type="MISC", name=called[3]),
            device(4, device_type="LIGHT", name=called[4]),
        ),
        sent_out=lambda start: 1.5 if 11 <= start.hour < 14 else 0.0,
    )
