"""Real days of real appliances and of a real home, as minutes of power."""

import csv
import gzip
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from pathlib import Path

MINUTES = 1_440
LEAST_MINUTES = 1_200
"""A day with fewer measured minutes is no day to make a history of."""

Minutes = list[float | None]


@dataclass(frozen=True, slots=True)
class RealDay:
    """One measured day: W per minute, None where nothing was measured."""

    weekday: int
    power_w: Minutes


@dataclass(frozen=True, slots=True)
class Appliance:
    """One specimen and its days."""

    name: str
    days: tuple[RealDay, ...]

    @property
    def held_out(self) -> bool:
        """Whether nothing may be learnt from it while the detector is developed: half of all, by a hash."""
        return bool(blake2b(self.name.encode(), digest_size=1).digest()[0] & 1)


def read_tracebase(folder: Path, least_days: int = 1) -> list[Appliance]:
    """Read the appliances of `<Type>.csv.gz` files (device, minute, mean_w, max_w) that have enough whole days."""
    appliances = []
    for path in sorted(folder.glob("*.csv.gz")):
        minutes: dict[str, dict[str, Minutes]] = defaultdict(dict)
        with gzip.open(path, "rt", newline="") as file:
            for row in csv.DictReader(file):
                day, _, time = row["minute"].partition("T")
                power_w = minutes[row["device"]].setdefault(day, [None] * MINUTES)
                power_w[int(time[:2]) * 60 + int(time[3:5])] = float(row["mean_w"])
        for device, days in minutes.items():
            whole = [
                RealDay(date.fromisoformat(day).weekday(), power_w)
                for day, power_w in sorted(days.items())
                if MINUTES - power_w.count(None) >= LEAST_MINUTES
            ]
            if len(whole) >= least_days:
                appliances.append(Appliance(f"{path.name.removesuffix('.csv.gz')} {device}", tuple(whole)))
    return appliances


def read_ausgrid(file: Path) -> list[RealDay]:
    """Read the days of a home from half hours of kWh (`GC`), each half hour as thirty equal minutes."""
    halves: dict[str, dict[int, float]] = defaultdict(dict)
    with file.open(newline="") as lines:
        for row in csv.reader(lines):
            if row[0]:
                day, _, time = row[0].partition(" ")
                halves[day][int(time[:2]) * 2 + int(time[3:5]) // 30] = float(row[1]) * 2_000
    return [
        RealDay(date.fromisoformat(day).weekday(), [powers.get(minute // 30) for minute in range(MINUTES)])
        for day, powers in sorted(halves.items())
        if len(powers) >= LEAST_MINUTES // 30
    ]
