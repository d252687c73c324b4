"""A refrigerator that works harder: worn seals, ice, dust on the condenser or a warm place show in its duty cycle."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations
from statistics import fmean

from energy_tracker.services.insight.model.facts import Fact, Finding, FindingKind, Role, Unit, make_fact
from energy_tracker.services.insight.model.findings.home import W_TO_KWH_A_YEAR
from energy_tracker.services.insight.model.hours import Day, Device, HomeTable, whole_days_interval

COOLING = frozenset({"REFRIGERATOR"})

MIN_DAYS = 14
"""Two weeks: one to compare with the other."""

ENDS_DAYS = 7
"""The first and the last seven whole days are compared, so that weekdays weigh the same on both sides."""

MIN_GROWTH = 0.15
"""A full fridge or a warm week alone makes about a tenth."""

MIN_RISING_PAIRS = 2 / 3
"""Growth is steady when of all pairs of days at least two thirds rise (Kendall's tau of a third or more)."""


def works_harder(table: HomeTable) -> list[Finding]:
    """Find cooling appliances whose mean power, and so their duty cycle, grew steadily over the window."""
    found = []
    for device in table.appliances:
        if device.type in COOLING:
            finding = _growth(device)
            if finding is not None:
                found.append(finding)
    return found


def _growth(device: Device) -> Finding | None:
    days = device.series.whole_days
    days_w = [1000 * day.energy_kwh / len(day.hours) for day in days]
    if len(days_w) < MIN_DAYS:
        return None
    first_w = fmean(days_w[:ENDS_DAYS])
    last_w = fmean(days_w[-ENDS_DAYS:])
    pairs = list(combinations(days_w, 2))
    rising = sum(after > before for before, after in pairs) / len(pairs)
    if first_w <= 0 or last_w / first_w - 1 < MIN_GROWTH or rising < MIN_RISING_PAIRS:
        return None
    yearly_kwh = (last_w - first_w) * W_TO_KWH_A_YEAR
    first, last, unit, what = first_w, last_w, Unit.WATTS, "Mean power"
    how = "Its compressor runs at one power, so that the mean power grows as the duty cycle does."
    if device.rated_power_w and device.rated_power_w >= last_w:
        first, last = 100 * first_w / device.rated_power_w, 100 * last_w / device.rated_power_w
        unit, what = Unit.PERCENT, "Duty cycle"
        how = f"Its mean power over its rated {device.rated_power_w:g} W."

    whole, begin, end = (_period(part) for part in (days, days[:ENDS_DAYS], days[-ENDS_DAYS:]))

    def fact(value: float, in_unit: Unit, label: str, period: str, explained: str) -> Fact:
        return make_fact(value, in_unit, label=label, period=period, how=explained, device_id=device.id)

    facts = {
        Role.USUAL: fact(first, unit, f"{what} in the first week measured", begin, how),
        Role.RECENT: fact(last, unit, f"{what} in the last week measured", end, how),
        Role.CHANGE: fact(
            100 * (last_w / first_w - 1),
            Unit.PERCENT,
            "Growth of its duty cycle",
            whole,
            f"Last against first seven of {len(days_w)} whole days; {100 * rising:.0f} % of all pairs of days rise.",
        ),
        Role.YEARLY: fact(
            yearly_kwh,
            Unit.KILOWATT_HOURS_A_YEAR,
            "Energy of that growth over a year",
            whole,
            "The difference for 365 days.",
        ),
    }
    return Finding(FindingKind.COOLING_WORKS_HARDER, facts, yearly_kwh, device.id)


def _period(days: Sequence[Day]) -> str:
    return whole_days_interval(days[0].date, days[-1].date + timedelta(days=1))
