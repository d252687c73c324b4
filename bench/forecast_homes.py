"""Years of hours to try forecasts on: real homes, files of anyone, and homes made of real days of real appliances."""

import csv
import gzip
import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from energy_tracker.kit.instants import MS_PER_HOUR, to_ms
from energy_tracker.services.usage.model.forecast.hours import HourUse
from energy_tracker.services.usage.model.forecast.series import hours_of_points

_AUSGRID_CLOCK = timezone(timedelta(hours=10))
_OFTEN_LARGE = ("Refrigerator", "Freezer", "Dishwasher", "Washingmachine", "Cookingstove", "WaterKettle", "PC-Desktop")
_ALWAYS_ON = ("Refrigerator", "Freezer", "Router")
_MINUTES_PER_DAY = 1_440
_DAYS_OF_A_MADE_HOME = 365
_LEAST_DAYS_OF_AN_APPLIANCE = 4


@dataclass(frozen=True)
class Home:
    """A home, or one appliance of it, and its hours."""

    name: str
    zone: tzinfo
    hours: list[HourUse]


def ausgrid_homes(folder: Path) -> list[Home]:
    """Read homes of the Ausgrid solar data: half-hourly `GC` in standard time, lived by the clock of Sydney."""
    homes = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = [
                (to_ms(datetime.fromisoformat(row[""]).replace(tzinfo=_AUSGRID_CLOCK)), float(row["GC"]))
                for row in csv.DictReader(file)
            ]
        homes.append(Home(path.stem, ZoneInfo("Australia/Sydney"), hours_of_points(rows)))
    return homes


def home_of_file(path: Path, zone: tzinfo) -> Home:
    """Read a file with the columns `timestamp,value` of an hour or less each, in kWh; naive times are in UTC."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        rows = []
        for row in csv.reader(file):
            try:
                instant, energy_kwh = datetime.fromisoformat(row[0]), float(row[1])
            except (ValueError, IndexError):
                continue
            rows.append((to_ms(instant if instant.tzinfo else instant.replace(tzinfo=UTC)), energy_kwh))
    return Home(path.name.partition(".")[0], zone, hours_of_points(rows))


Days = dict[str, list[float]]
"""Minutes of mean W by date."""


def appliances(folder: Path) -> dict[tuple[str, str], Days]:
    """Read the days of all appliances of tracebase and of the household that were measured for at least 20 hours."""
    days: dict[tuple[str, str], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for path in sorted((folder / "tracebase").glob("*.csv.gz")):
        with gzip.open(path, "rt") as file:
            for device, minute, mean_w, _ in list(csv.reader(file))[1:]:
                place = int(minute[11:13]) * 60 + int(minute[14:16])
                days[path.name.partition(".")[0], device][minute[:10]][place] = float(mean_w)
    with gzip.open(folder / "household" / "household.csv.gz", "rt") as file:
        for minute, device, _, _, power_w in list(csv.reader(file))[1:]:
            place = int(minute[11:13]) * 60 + int(minute[14:16])
            days["household", device][minute[:10]][place] = float(power_w)
    return {
        name: {
            day: [found.get(place, 0.0) for place in range(_MINUTES_PER_DAY)]
            for day, found in by_date.items()
            if len(found) >= 20 * 60
        }
        for name, by_date in days.items()
    }


def made_homes(folder: Path, count: int, devices: int, seed: int) -> list[Home]:
    """Make homes of a dozen appliances each, day by day a real day of each, of the same kind of weekday; and devices.

    So that no day comes twice as it was, each is moved by up to 40 minutes and made up to a tenth larger or smaller
    in power. A home is away for some days in a year, and uses more in winter.
    """
    pool = {name: days for name, days in appliances(folder).items() if len(days) >= _LEAST_DAYS_OF_AN_APPLIANCE}
    large = sorted(key for key in pool if key[0] in _OFTEN_LARGE)
    made = []
    for number in range(count):
        rng = random.Random(f"{seed}/home/{number}")
        chosen = sorted({*rng.sample(large, 6), *rng.sample(sorted(pool), 8)})
        made.append(_made_home({key: pool[key] for key in chosen}, f"home-{seed}-{number}", rng))
    for number, key in enumerate(random.Random(seed).sample(sorted(pool), devices)):
        name = f"device-{seed}-{number}-{key[0]}"
        made.append(_made_home({key: pool[key]}, name, random.Random(f"{seed}/device/{number}")))
    return made


def _made_home(chosen: dict[tuple[str, str], Days], name: str, rng: random.Random) -> Home:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    away = {start + day for start in rng.sample(range(40, 360), 3) for day in range(rng.randint(2, 9))}
    hours_kwh = [0.0] * (24 * _DAYS_OF_A_MADE_HOME)
    for key, days in chosen.items():
        always_on = key[0] in _ALWAYS_ON
        season = 0.0 if always_on else rng.uniform(0.0, 0.25)
        for index in range(_DAYS_OF_A_MADE_HOME):
            if index in away and not always_on:
                continue
            minutes = _some_day(days, weekend=(first + timedelta(days=index)).weekday() >= 5, rng=rng)
            shift = rng.randint(-40, 40)
            factor = rng.uniform(0.9, 1.1) * (1 + season * (1 - 4 * min(index, 365 - index) / 365))
            for hour in range(24):
                begin = hour * 60 + shift
                power = sum(minutes[(begin + minute) % _MINUTES_PER_DAY] for minute in range(60))
                hours_kwh[24 * index + hour] += factor * power / 60_000
    begin_ms = to_ms(first)
    hours = [
        HourUse(begin_ms + MS_PER_HOUR * place, MS_PER_HOUR, energy_kwh, MS_PER_HOUR)
        for place, energy_kwh in enumerate(hours_kwh)
    ]
    return Home(name, UTC, hours)


def _some_day(days: Days, *, weekend: bool, rng: random.Random) -> list[float]:
    alike = [day for day in sorted(days) if (datetime.fromisoformat(day).weekday() >= 5) == weekend]
    return days[rng.choice(alike or sorted(days))]
