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
    whole = _period(days)
    facts = _ends(device, first_w, last_w) | {
        Role.CHANGE: make_fact(
            100 * (last_w / first_w - 1),
            Unit.PERCENT,
            label="Growth of its duty cycle",
            period=whole,
            how=f"Last against first seven of {len(days_w)} whole days; {100 * rising:.0f} % of all pairs rise.",
            device_id=device.id,
        ),
        Role.YEARLY: make_fact(
            yearly_kwh,
            Unit.KILOWATT_HOURS_A_YEAR,
            label="Energy of that growth over a year",
            period=whole,
            how="The difference for 365 days.",
            device_id=device.id,
        ),
    }
    return Finding(FindingKind.COOLING_WORKS_HARDER, facts, yearly_kwh, device.id)


def _ends(device: Device, first_w: float, last_w: float) -> dict[Role, Fact]:
    """Return the facts of the first and the last week: as a duty cycle where the rated power is known, else in W."""
    first, last, unit, what = first_w, last_w, Unit.WATTS, "Mean power"
    how = "Its compressor runs at one power, so that the mean power grows as the duty cycle does."
    if device.rated_power_w and device.rated_power_w >= last_w:
        first, last = 100 * first_w / device.rated_power_w, 100 * last_w / device.rated_power_w
        unit, what = Unit.PERCENT, "Duty cycle"
        how = f"Its mean power over its rated {device.rated_power_w:g} W."
    days = device.series.whole_days
    begin, end = _period(days[:ENDS_DAYS]), _period(days[-ENDS_DAYS:])
    label = f"{what} in the {{}} week measured"
    return {
        Role.USUAL: make_fact(first, unit, label=label.format("first"), period=begin, how=how, device_id=device.id),
        Role.RECENT: make_fact(last, unit, label=label.format("last"), period=end, how=how, device_id=device.id),
    }


def _period(days: Sequence[Day]) -> str:
    return whole_days_interval(days[0].date, days[-1].date + timedelta(days=1))
