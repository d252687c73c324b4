"""Histories of sixty days, put together from real ones, as the quarter-hours that the detector is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from bench.detection.appliances import MINUTES, Appliance, Minutes, RealDay
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour

DAYS = 60
FIRST_DAY = 19_723
"""2024-01-01, a Monday, in days since 1970."""
WEEKEND = 5
QUARTERS = 96


@dataclass(slots=True)
class History:
    """The minutes of each day, and the quarter-hours made of them."""

    name: str
    held_out: bool
    days: list[Minutes]
    quarters: list[list[QuarterHour]]
    is_home: bool = False
    coarse: bool = False


def quarter_hours(day: int, power_w: Minutes, *, coarse: bool = False) -> list[QuarterHour]:
    """Make the quarter-hours of a day, counted from the first of the history; without those that hold nothing.

    Coarse ones have their energy only, as from a meter that tells no single powers.
    """
    start_ms = (FIRST_DAY + day) * MS_PER_DAY
    made = []
    for quarter in range(QUARTERS):
        readings = [power for power in power_w[quarter * 15 : quarter * 15 + 15] if power is not None]
        if readings:
            highest, lowest = max(readings), min(readings)
            made.append(
                QuarterHour(
                    start_ms=start_ms + quarter * MS_PER_QUARTER_HOUR,
                    energy_mj=round(sum(max(power, 0.0) for power in readings) * MS_PER_MINUTE),
                    covered_ms=len(readings) * MS_PER_MINUTE,
                    highest_mw=None if coarse else round(highest * 1_000),
                    lowest_mw=None if coarse else round(lowest * 1_000),
                    readings=len(readings),
                    fell_mj=round(-lowest * MS_PER_MINUTE) if lowest < 0 else 0,
                )
            )
    return made


def made_coarse(history: History) -> History:
    """Return a history of the same days that has the energy of quarter-hours only."""
    quarters = [quarter_hours(index, day, coarse=True) for index, day in enumerate(history.days)]
    return History(history.name, history.held_out, history.days, quarters, history.is_home, coarse=True)


def _history(name: str, days: list[Minutes], *, held_out: bool, is_home: bool) -> History:
    return History(name, held_out, days, [quarter_hours(index, day) for index, day in enumerate(days)], is_home)


def _pick(days: Sequence[RealDay], weekday: int, random: Random) -> Minutes:
    """Choose a real day that was a working day or a weekend as is asked for, where there is one."""
    alike = [day for day in days if (day.weekday >= WEEKEND) == (weekday >= WEEKEND)]
    return random.choice(alike or list(days)).power_w


def of_appliance(appliance: Appliance, seed: int) -> History:
    """Put a history together from the days of an appliance."""
    random = Random(f"{appliance.name} {seed}")
    days = [_pick(appliance.days, index % 7, random) for index in range(DAYS)]
    return _history(appliance.name, days, held_out=appliance.held_out, is_home=False)


def of_season(real: Sequence[RealDay], seed: int, *, held_out: bool) -> History:
    """Take sixty days of a home as they followed each other, from a place that the seed gives, on a Monday."""
    random = Random(f"season {seed}")
    mondays = [index for index, day in enumerate(real[: len(real) - DAYS]) if day.weekday == 0]
    half = mondays[len(mondays) // 2 :] if held_out else mondays[: len(mondays) // 2 - 8]
    start = random.choice(half)
    return _history(
        f"season {start}", [day.power_w for day in real[start : start + DAYS]], held_out=held_out, is_home=True
    )


def of_shuffled_season(real: Sequence[RealDay], seed: int, *, held_out: bool) -> History:
    """Put a history of a home together from the days of thirteen weeks of it."""
    random = Random(f"shuffled {seed}")
    half = real[len(real) // 2 :] if held_out else real[: len(real) // 2]
    start = random.randrange(len(half) - 91)
    days = [_pick(half[start : start + 91], index % 7, random) for index in range(DAYS)]
    return _history(f"shuffled {start}", days, held_out=held_out, is_home=True)


def of_several(appliances: Sequence[Appliance], seed: int, *, held_out: bool) -> History:
    """Sum appliances to a home: one refrigerator or freezer, and eight to fourteen others."""
    random = Random(f"home {seed}")
    mine = [appliance for appliance in appliances if appliance.held_out == held_out]
    cooling = [appliance for appliance in mine if appliance.name.startswith(("Refrigerator", "Freezer"))]
    chosen = [random.choice(cooling), *random.sample(mine, random.randint(8, 14))]
    days = []
    for index in range(DAYS):
        parts = [_pick(appliance.days, index % 7, random) for appliance in chosen]
        days.append([sum(part[minute] or 0.0 for part in parts) for minute in range(MINUTES)])
    return _history(f"home of {len(chosen)}", days, held_out=held_out, is_home=True)


def changed(
    history: History, first_day: int, last_day: int, change: Callable[[list[Minutes]], None]
) -> list[list[QuarterHour]]:
    """Return the quarter-hours of some days after a change was made to copies of them."""
    days = [list(day) for day in history.days[first_day : last_day + 1]]
    change(days)
    return [quarter_hours(first_day + index, day, coarse=history.coarse) for index, day in enumerate(days)]
