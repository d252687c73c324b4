"""How good forecasts are, on days that they have not seen: `python -m bench.forecast --data FOLDER`; prints JSON.

For each home, day by day from the ninth week: the next day is forecast from midnight with what was known then, and
compared with what came and with the seasonal naive forecast (the same hour a week before). When 5, 10, 15 and 20 days
of a month are over, the use at its end is forecast too. FOLDER (or the variable ENERGY_TEST_DATA) holds
`ausgrid/*.csv`, `tracebase/*.csv.gz` and `household/household.csv.gz`; `--file` adds series of `timestamp,value`,
in kWh per hour or less.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bench.forecast_homes import Home, ausgrid_homes, home_of_file, made_homes
from energy_tracker.kit.instants import MS_PER_DAY, from_ms
from energy_tracker.services.usage.model.calendar import start_of_date
from energy_tracker.services.usage.model.forecast.accuracy import Accuracy, accuracy_of
from energy_tracker.services.usage.model.forecast.day_ahead import (
    DayAhead,
    forecast_hours,
    learn_from_history,
    outcomes_of,
)
from energy_tracker.services.usage.model.forecast.hours import HourUse
from energy_tracker.services.usage.model.forecast.learning import NOTHING_LEARNED, Learned, learn
from energy_tracker.services.usage.model.forecast.month import MONTH_HISTORY_DAYS, expect_month

FIRST_DAY = 56
HISTORY_DAYS = 70
CHECKED_DAYS = (5, 10, 15, 20)


@dataclass
class Found:
    """What was found out about a home."""

    accuracy: Accuracy = field(default_factory=Accuracy)
    compared: Accuracy = field(default_factory=Accuracy)
    """Of the hours that a week before were measured too."""
    naive_error_kwh: float = 0.0
    months: dict[int, list[tuple[float, bool]]] = field(default_factory=lambda: {day: [] for day in CHECKED_DAYS})
    """By the days that were over: how far off the month's end was, as a part of it, and whether it was in the range."""
    processor_ms: list[float] = field(default_factory=list)
    month_processor_ms: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Return the figures of a home."""
        months = {day: found for day, found in self.months.items() if found}
        return {
            "days": len(self.processor_ms),
            "error_over_naive": round(self.compared.absolute_error_kwh / self.naive_error_kwh, 4),
            "band_coverage": round(self.accuracy.band_coverage or 0.0, 4),
            "mae_kwh": round(self.accuracy.mean_absolute_error_kwh or 0.0, 4),
            "pinball_kwh": round(self.accuracy.mean_pinball_kwh or 0.0, 5),
            "month_end_error": {day: _mean([abs(error) for error, _ in found]) for day, found in months.items()},
            "month_end_bias": {day: _mean([error for error, _ in found]) for day, found in months.items()},
            "month_end_in_range": _mean([held for found in months.values() for _, held in found]),
            "cpu_ms": _middle(self.processor_ms),
            "month_cpu_ms": _middle(self.month_processor_ms),
        }


def _mean(figures: list[float]) -> float:
    return round(sum(figures) / len(figures), 4) if figures else 0.0


def _middle(figures: list[float]) -> float:
    return round(sorted(figures)[len(figures) // 2], 2) if figures else 0.0


@dataclass
class Trial:
    """The year of a home, of which a forecast sees what was over."""

    home: Home
    found: Found = field(default_factory=Found)
    learned: Learned = NOTHING_LEARNED

    @cached_property
    def _by_start(self) -> dict[int, HourUse]:
        return {hour.start_ms: hour for hour in self.home.hours}

    def date_of(self, hour: HourUse) -> date:
        """Return the date that the home's calendar showed."""
        return from_ms(hour.start_ms).astimezone(self.home.zone).date()

    def between(self, begin_ms: int, end_ms: int) -> list[HourUse]:
        """Return the hours of a span."""
        return [hour for hour in self.home.hours if begin_ms <= hour.start_ms < end_ms]

    def run(self) -> Found:
        """Forecast each day, and the month where it is due."""
        begin, last = self.date_of(self.home.hours[0]), self.date_of(self.home.hours[-1])
        for index in range(FIRST_DAY, (last - begin).days):
            today = begin + timedelta(days=index)
            from_instant, to_instant = (start_of_date(self.home.zone, today + timedelta(days=day)) for day in (0, 1))
            if index == FIRST_DAY:
                before = self.between(0, from_instant)
                self.learned = learn_from_history(before, zone=self.home.zone, until_ms=from_instant)
            self.forecast_day(from_instant, to_instant)
            if today.day - 1 in CHECKED_DAYS:
                self.forecast_month(from_instant, today)
        return self.found

    def forecast_day(self, from_instant: int, to_instant: int) -> None:
        """Forecast a day, compare it, learn from it."""
        known = self.between(from_instant - HISTORY_DAYS * MS_PER_DAY, from_instant)
        began = time.process_time()
        made = forecast_hours(known, zone=self.home.zone, from_ms=from_instant, to_ms=to_instant, learned=self.learned)
        self.found.processor_ms.append(1000 * (time.process_time() - began))
        outcomes = outcomes_of(made, self.between(from_instant, to_instant))
        self.found.accuracy += accuracy_of(outcomes)
        self._compare(made)
        self.learned = learn(self.learned, outcomes)

    def _compare(self, made: DayAhead) -> None:
        for hour in made.hours:
            now, week_before = (self._by_start.get(hour.start_ms - back) for back in (0, 7 * MS_PER_DAY))
            came_kwh, naive_kwh = (found.whole_hour_kwh if found else None for found in (now, week_before))
            if came_kwh is not None and naive_kwh is not None:
                self.found.naive_error_kwh += abs(naive_kwh - came_kwh)
                self.found.compared += Accuracy(1, abs(hour.median_kwh - came_kwh))

    def forecast_month(self, at_ms: int, today: date) -> None:
        """Forecast the end of a month that was measured to its end."""
        first = today.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1)
        begin_ms, end_ms = (start_of_date(self.home.zone, day) for day in (first, last))
        came = self.between(begin_ms, end_ms)
        if sum(hour.covered_ms for hour in came) < end_ms - begin_ms:
            return
        actual_kwh = sum(hour.energy_kwh or 0.0 for hour in came)
        known = self.between(at_ms - MONTH_HISTORY_DAYS * MS_PER_DAY, at_ms)
        began = time.process_time()
        made = expect_month(known, zone=self.home.zone, at_ms=at_ms)
        self.found.month_processor_ms.append(1000 * (time.process_time() - began))
        in_range = made.low_kwh <= actual_kwh <= made.high_kwh
        self.found.months[today.day - 1].append((made.expected_kwh / actual_kwh - 1, in_range))


def summary(homes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the worst and the mean of the homes, as the goals have them."""
    ratios = [figures["error_over_naive"] for figures in homes.values()]
    coverages = [figures["band_coverage"] for figures in homes.values()]
    return {
        "error_over_naive": _mean(ratios),
        "error_over_naive_worst": max(ratios),
        "band_coverage_least": min(coverages),
        "band_coverage_most": max(coverages),
        "month_end_error": {
            day: _mean([figures["month_end_error"][day] for figures in homes.values()]) for day in CHECKED_DAYS
        },
        "month_end_in_range": _mean([figures["month_end_in_range"] for figures in homes.values()]),
        "cpu_ms": max(figures["cpu_ms"] for figures in homes.values()),
    }


def main() -> int:
    """Run on all homes; 2 where there are none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("ENERGY_TEST_DATA"), help="where the data lies")
    parser.add_argument("--file", type=Path, action="append", default=[], help="another series, may be repeated")
    parser.add_argument("--zone", type=ZoneInfo, default=UTC, help="the time zone of those series")
    parser.add_argument("--made", type=int, default=4, help="how many homes to make of appliances")
    parser.add_argument("--devices", type=int, default=0, help="how many single appliances to try too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="not used: nothing is written")
    options = parser.parse_args()
    homes = [home_of_file(path, options.zone) for path in options.file]
    if options.data:
        data = Path(options.data)
        homes += ausgrid_homes(data / "ausgrid") + made_homes(data, options.made, options.devices, options.seed)
    if not homes:
        return 2
    results = {home.name: Trial(home).run().figures() for home in homes}
    of_homes = {name: figures for name, figures in results.items() if not name.startswith("device-")}
    print(json.dumps({"all": summary(of_homes), "homes": results}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
