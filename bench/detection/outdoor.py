"""What knowing the outdoor temperature changes: `python -m bench.detection.outdoor [--homes 6]`.

Made homes with a heat pump, a refrigerator, a television and a router, each with weather of its own, from August until
March. `told` counts the findings of pump and home that open from October on, without a budget, where nothing happened.
`faults_noticed` are the homes whose pump draws 40 % more from 10 January on, and of which, within 14 days, something is
found that draws more and is not found where nothing happened. `known` is with the temperature of each day told before
it, as a forecast is, `known_afterwards` told when the day is over, `unknown` without.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import fmean
from zoneinfo import ZoneInfo

from tests.support.detection import quarter_hour

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, to_ms
from energy_tracker.services.ingestion.simulation.appliances.cooling import REFRIGERATOR
from energy_tracker.services.ingestion.simulation.appliances.electronics import TELEVISION, AlwaysOn
from energy_tracker.services.ingestion.simulation.appliances.energy import HeatPump
from energy_tracker.services.ingestion.simulation.surroundings import Day, Habits, Place, day_after, day_of
from energy_tracker.services.usage.model.detection.household import HOME, Found, HomeRules, Household, judge_quarter
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour

PUMP = 1
APPLIANCES = {PUMP: HeatPump(), 2: REFRIGERATOR, 3: TELEVISION, 4: AlwaysOn(power_w=8.4)}
BEGIN, COUNTED, FAULT, END = (
    to_ms(datetime(year, month, day, tzinfo=UTC))
    for year, month, day in ((2025, 8, 1), (2025, 10, 1), (2026, 1, 10), (2026, 3, 15))
)
FAULTY = 1.4
NOTICED_MS = 14 * MS_PER_DAY


def days(seed: int) -> Iterator[Day]:
    """Yield the days of a home's winter."""
    day = day_of(seed=seed, at_ms=BEGIN, place=Place(mean_c=9 + seed % 4), habits=Habits())
    while day.start_ms < END:
        yield day
        day = day_after(day)


def quarters(day: Day, faulty: bool) -> Iterator[dict[int, QuarterHour]]:
    """Yield the quarter-hours of a day, by device."""
    powers = {number: [0.0] * ((day.end_ms - day.start_ms) // MS_PER_MINUTE) for number in APPLIANCES}
    for number, appliance in APPLIANCES.items():
        factor = FAULTY if faulty and number == PUMP and day.start_ms >= FAULT else 1.0
        for segment in appliance.segments(day, str(number)):
            first, last = ((at_ms - day.start_ms) // MS_PER_MINUTE for at_ms in (segment.start_ms, segment.end_ms))
            for minute in range(max(first, 0), min(last, len(powers[number]))):
                powers[number][minute] = segment.power_w * factor
    for start in range(0, len(powers[PUMP]), 15):
        start_ms = day.start_ms + start * MS_PER_MINUTE
        yield {number: quarter_hour(start_ms, power_w[start : start + 15]) for number, power_w in powers.items()}


def mean_tenths(day: Day) -> int:
    """Return the mean outdoor temperature of a day in tenths of a degree."""
    return round(fmean(day.outdoor_c(at_ms) for at_ms in range(day.start_ms, day.end_ms, MS_PER_HOUR)) * 10)


def told(seed: int, *, faulty: bool, known: str) -> list[Found]:
    """Return what is found of a home's winter, about its pump and itself."""
    household, found, outdoor = Household(next(days(seed)).start_ms), list[Found](), dict[int, int]()
    rules = HomeRules(ZoneInfo(Place().zone), tuple(APPLIANCES), tempered=(PUMP,), outdoor=outdoor)
    for day in days(seed):
        if known != "unknown":
            of = day if known == "known" else day.before
            outdoor[of.date.toordinal()] = mean_tenths(of)
        for of_devices in quarters(day, faulty):
            household, new = judge_quarter(household, of_devices, rules)
            found += [
                each
                for each in new
                if each.device_id in {PUMP, HOME}
                and each.finding.transition == "opened"
                and each.finding.decided_ms >= COUNTED
            ]
    return found


def _is_noticed(found: Found) -> bool:
    return 0 < found.finding.decided_ms - FAULT <= NOTICED_MS and found.finding.extra_mw > 0


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--homes", type=int, default=6)
    homes = parser.parse_args().homes
    figures: dict[str, object] = {}
    for known in ("unknown", "known", "known_afterwards"):
        told_of, noticed = Counter[str](), 0
        for seed in range(homes):
            calm, fault = (told(seed, faulty=faulty, known=known) for faulty in (False, True))
            told_of.update(f"{'home' if each.device_id == HOME else 'pump'} {each.finding.kind}" for each in calm)
            noticed += any(_is_noticed(each) and each not in calm for each in fault)
        figures[known] = {"told": told_of.total(), "faults_noticed": noticed, "kinds": told_of}
    print(json.dumps({"homes": homes, "months": 5.5} | figures, indent=2))


if __name__ == "__main__":
    main()
