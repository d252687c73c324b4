"""Findings about the home as a whole: what it used, and what it never stops using."""

from statistics import fmean, median

from energy_tracker.services.insight.model.facts import Finding, FindingKind, Role, Unit, make_fact
from energy_tracker.services.insight.model.hours import HomeTable

NIGHT_HOURS = frozenset({1, 2, 3, 4})
"""Local hours in which people sleep and no sun shines, so that what is drawn is drawn always."""

MIN_HOURS_A_NIGHT = 3
"""A night of which fewer hours were measured may have missed its quiet one."""

MIN_NIGHTS = 3
"""The middle of fewer nights could be a night with a guest."""

MIN_BASE_LOAD_W = 10.0
"""A router alone draws this much; below it there is nothing to find."""

W_TO_KWH_A_YEAR = 8.76
"""One watt for 365 days of 24 h."""

HOURS_A_YEAR = 8760


def energy_used(table: HomeTable) -> list[Finding]:
    """Say how much was imported in the window, or that nothing was read.

    The hour that is not over yet is left out where there are others: so the facts, and a model's advice on them, stay
    the same until the next one is full. `energyUsage` of the answer counts it.
    """
    days = make_fact(
        (table.end.date() - table.start.date()).days,
        Unit.DAYS,
        label="Whole days looked at, beside today",
        period=table.period,
        how="From the local midnight at which the window begins to today's; today counts up to its last full hour.",
    )
    energy_kwh = table.total.full_hours_kwh
    how = (
        "The sum of the measured import, without sub-meters; gaps are not filled, "
        f"{table.total.coverage:.0%} of the time since the first reading was measured."
    )
    if energy_kwh is None:
        energy_kwh = table.total.energy_kwh
        how = "The sum of the measured import, without sub-meters; all of it was measured within the last hour."
    if energy_kwh is None:
        return [Finding(FindingKind.NOT_MEASURED, {Role.WINDOW: days})]
    energy = make_fact(
        energy_kwh,
        Unit.KILOWATT_HOURS,
        label="Energy the home drew",
        period=table.period,
        how=how,
    )
    return [Finding(FindingKind.ENERGY_USED, {Role.ENERGY: energy, Role.WINDOW: days})]


def base_load(table: HomeTable) -> list[Finding]:
    """Find what the home draws when it sleeps: the middle over the nights of each night's lowest hour."""
    if not table.total.is_judgeable:
        return []
    lowest_w = []
    for day in table.total.days:
        night = [hour.energy_kwh * 1000 for hour in day.hours if hour.start.hour in NIGHT_HOURS and hour.is_profiled]
        if len(night) >= MIN_HOURS_A_NIGHT:
            lowest_w.append(min(night))
    if len(lowest_w) < MIN_NIGHTS or median(lowest_w) < MIN_BASE_LOAD_W:
        return []
    base_w = median(lowest_w)
    yearly_kwh = base_w * W_TO_KWH_A_YEAR
    mean_w = fmean(hour.energy_kwh for hour in table.total.measured) * 1000
    facts = {
        Role.POWER: make_fact(
            base_w,
            Unit.WATTS,
            label="Base load of the home at night",
            period=table.period,
            how="The median over the nights of the lowest hour between 01:00 and 05:00.",
        ),
        Role.YEARLY: make_fact(
            yearly_kwh,
            Unit.KILOWATT_HOURS_A_YEAR,
            label="Energy of the base load over a year",
            period=table.period,
            how="The base load held for 365 days.",
        ),
        Role.SHARE: make_fact(
            min(100.0, 100 * base_w / mean_w),
            Unit.PERCENT,
            label="Share of the base load in what the home draws",
            period=table.period,
            how="The base load over the mean power of the measured hours.",
        ),
    }
    return [Finding(FindingKind.BASE_LOAD, facts, yearly_kwh)]
