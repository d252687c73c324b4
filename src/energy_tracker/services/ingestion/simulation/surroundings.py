"""What surrounds appliances: chance by seed, the weather, the sun, and the people who use them."""

import math
import random
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from zoneinfo import ZoneInfo

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_SECOND, to_ms

HOUR_S = 3_600
MINUTE_S = 60
DAY_S = 24 * HOUR_S
_SATURDAY = 5
_DAYS_PER_YEAR = 365.25
_WEATHER_ANCHOR_DAYS = 3


def chance(*key: object) -> random.Random:
    """Return the stream of chance that belongs to a key: the same key, the same stream, in every process."""
    digest = blake2b("|".join(map(str, key)).encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 - chance of a simulation, not of a secret


@dataclass(frozen=True, slots=True)
class Place:
    """Degrees north and east, a time zone, the mean outdoor temperature in °C and its yearly swing."""

    latitude_deg: float = 50.1
    longitude_deg: float = 8.7
    zone: str = "Europe/Berlin"
    mean_c: float = 10.5
    seasonal_swing_c: float = 9.5


@dataclass(frozen=True, slots=True)
class Habits:
    """When people get up, leave, come back and go to bed on a working day, in hours of the local day.

    The shares are of days: working days on which somebody stays all day, days (and weekend days) on which nobody is
    there.
    """

    wakes_h: float = 6.7
    leaves_h: float = 8.1
    returns_h: float = 17.2
    sleeps_h: float = 22.9
    home_on_workdays: float = 0.35
    absent_share: float = 0.03
    weekend_absent_share: float = 0.03


@dataclass(frozen=True, slots=True)
class Presence:
    """A day's times in seconds since local midnight; somebody is there and awake in each of `awake`."""

    awake: tuple[tuple[float, float], ...]

    @property
    def wakes_s(self) -> float | None:
        """When the day begins, or None when nobody is there."""
        return self.awake[0][0] if self.awake else None

    @property
    def evening_s(self) -> tuple[float, float] | None:
        """The last span of the day with somebody there, or None."""
        if not self.awake:
            return None
        start_s, end_s = self.awake[-1]
        return max(start_s, 16.5 * HOUR_S), end_s

    @property
    def awake_s(self) -> float:
        """For how long somebody is there and awake."""
        return sum(end - start for start, end in self.awake)

    def somewhen(self, stream: random.Random) -> float:
        """Return an instant while somebody is there, in seconds since midnight; noon when nobody is."""
        left = stream.random() * self.awake_s
        for start, end in self.awake:
            if left < end - start:
                return start + left
            left -= end - start
        return 12.0 * HOUR_S


@dataclass(frozen=True)
class Day:
    """One local day at a place: its span in ms since 1970, its weather and who is there."""

    seed: int
    date: date
    place: Place
    habits: Habits
    _zone: ZoneInfo = field(repr=False)

    @cached_property
    def start_ms(self) -> int:
        """Local midnight at the beginning."""
        return to_ms(datetime(self.date.year, self.date.month, self.date.day, tzinfo=self._zone))

    @cached_property
    def end_ms(self) -> int:
        """Local midnight at the end; a day has 23 or 25 hours where clocks change."""
        after = self.date + timedelta(days=1)
        return to_ms(datetime(after.year, after.month, after.day, tzinfo=self._zone))

    @cached_property
    def is_working_day(self) -> bool:
        """Whether it is Monday to Friday."""
        return self.date.weekday() < _SATURDAY

    @cached_property
    def presence(self) -> Presence:
        """Who is there when."""
        return _presence(self)

    @cached_property
    def cloudiness(self) -> float:
        """The day's cover of clouds, 0 (clear) to 1 (overcast): more in winter; neighbouring days are alike."""
        winter = math.cos(2 * math.pi * self.date.timetuple().tm_yday / _DAYS_PER_YEAR)
        return min(1.0, max(0.0, 0.62 + 0.12 * winter + 0.45 * self._weather("cloud")))

    @cached_property
    def before(self) -> "Day":
        """The day before."""
        return Day(self.seed, self.date - timedelta(days=1), self.place, self.habits, self._zone)

    def chance(self, *key: object) -> random.Random:
        """Return the stream of chance of something on this day."""
        return chance(self.seed, self.date.toordinal(), *key)

    def outdoor_c(self, at_ms: int) -> float:
        """Return the outdoor temperature in °C: season, weather, and a day's course that is warmest at 15 h."""
        season = -math.cos(2 * math.pi * (self.date.timetuple().tm_yday - 20) / _DAYS_PER_YEAR)
        hour = (at_ms - self.start_ms) / MS_PER_HOUR
        course = math.cos(2 * math.pi * (hour - 15) / 24) * (4.5 - 3 * self.cloudiness)
        return self.place.mean_c + self.place.seasonal_swing_c * season + 4 * self._weather("air") + course

    def indoor_c(self, at_ms: int) -> float:
        """Return the temperature of a room in °C: heated to 21, warmer on summer days."""
        return 20.5 + max(0.0, 0.35 * (self.outdoor_c(at_ms) - 18))

    def at_ms(self, second_of_day: float) -> int:
        """Return the instant of a second since local midnight, on whole seconds."""
        return self.start_ms + round(second_of_day) * MS_PER_SECOND

    def _weather(self, what: str) -> float:
        """Return a smooth random number, about -1 to 1, that can be had for any day without the days before."""
        anchor, offset = divmod(self.date.toordinal(), _WEATHER_ANCHOR_DAYS)
        left, right = (chance(self.seed, "weather", what, anchor + step).gauss(0, 0.7) for step in (0, 1))
        share = offset / _WEATHER_ANCHOR_DAYS
        return left * (1 - share) + right * share


def day_of(*, seed: int, at_ms: int, place: Place, habits: Habits) -> Day:
    """Return the local day that holds an instant."""
    zone = ZoneInfo(place.zone)
    return Day(seed, datetime.fromtimestamp(at_ms / MS_PER_SECOND, zone).date(), place, habits, zone)


def day_after(day: Day) -> Day:
    """Return the next local day."""
    return day_of(seed=day.seed, at_ms=day.end_ms, place=day.place, habits=day.habits)


def sun_on_panel(*, at_ms: int, place: Place, tilt_deg: float) -> float:
    """Return the clear-sky irradiance in W/m² on a panel that faces the equator.

    Declination and equation of time after Spencer (1971); direct light after Meinel (1976), 1353·0.7^(AM^0.678) W/m²,
    with a tenth of it as diffuse light.
    """
    day_angle = 2 * math.pi * ((at_ms % round(_DAYS_PER_YEAR * MS_PER_DAY)) / MS_PER_DAY) / _DAYS_PER_YEAR
    declination = (
        0.006918 - 0.399912 * math.cos(day_angle) + 0.070257 * math.sin(day_angle)
        - 0.006758 * math.cos(2 * day_angle) + 0.000907 * math.sin(2 * day_angle)
    )  # fmt: skip
    equation_of_time_h = 3.8196667 * (
        0.000075 + 0.001868 * math.cos(day_angle) - 0.032077 * math.sin(day_angle)
        - 0.014615 * math.cos(2 * day_angle) - 0.040849 * math.sin(2 * day_angle)
    )  # fmt: skip
    solar_h = (at_ms % MS_PER_DAY) / MS_PER_HOUR + place.longitude_deg / 15 + equation_of_time_h
    hour_angle = math.pi * (solar_h - 12) / 12
    latitude = math.radians(place.latitude_deg)
    sine_of_height = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(
        hour_angle
    )
    if sine_of_height <= 0.01:  # noqa: PLR2004 - the sun is below 0.6 degrees: hills and haze
        return 0.0
    facing = latitude - math.copysign(math.radians(tilt_deg), latitude)
    incidence = math.sin(facing) * math.sin(declination) + math.cos(facing) * math.cos(declination) * math.cos(
        hour_angle
    )
    direct = 1353 * math.pow(0.7, math.pow(1 / sine_of_height, 0.678))
    return direct * (max(0.0, incidence) + 0.1)


def _presence(day: Day) -> Presence:
    """Draw the spans of a day in which somebody is there and awake."""
    habits, stream = day.habits, day.chance("presence")
    if stream.random() < (habits.absent_share if day.is_working_day else habits.weekend_absent_share):
        return Presence(())
    late_h = 0.0 if day.is_working_day else 1.4
    wakes_s = (habits.wakes_h + late_h + stream.gauss(0, 0.3)) * HOUR_S
    sleeps_s = (habits.sleeps_h + late_h / 3 + stream.gauss(0, 0.4)) * HOUR_S
    leaves_s = (habits.leaves_h + stream.gauss(0, 0.25)) * HOUR_S
    returns_s = (habits.returns_h + stream.gauss(0, 0.7)) * HOUR_S
    if not day.is_working_day:
        leaves_s, returns_s = leaves_s + 3.5 * HOUR_S, leaves_s + (4.5 + 2.5 * stream.random()) * HOUR_S
        if stream.random() < 0.3:  # noqa: PLR2004 - three of ten weekend days are spent at home
            return Presence(((wakes_s, sleeps_s),))
    elif stream.random() < habits.home_on_workdays:
        return Presence(((wakes_s, sleeps_s),))
    return Presence(((wakes_s, max(leaves_s, wakes_s + 900)), (returns_s, max(sleeps_s, returns_s + HOUR_S))))
