"""Findings that compare the last seven days with the weeks before: always with the home's own past."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from statistics import fmean

from energy_tracker.services.insight.model.facts import Fact, Finding, FindingKind, Role, Unit, make_fact
from energy_tracker.services.insight.model.hours import Day, Device, HomeTable, whole_days_interval

WEEK_DAYS = 7

MIN_DAYS_A_WEEK = 5
"""A week of which more than two days are missing stands for itself only."""

MIN_WEEKS_BEFORE = 2
"""What is usual needs at least two weeks to vary in."""

MIN_CHANGE = 0.10
"""Weeks of one home differ by this much without a reason."""

MIN_CHANGE_KWH = 1.0
"""A change of a week by less than this is not worth a sentence."""

USUAL_MARGIN = 1.2
"""A device is on for longer than usual when it beats its own highest week before by a fifth …"""

MIN_LONGER_H = 0.5
"""… and by half an hour a day, or …"""

MIN_MORE_STARTS = 1.0
"""… by one start a day."""

ON_SHARE = 0.2
"""A device is on in an hour when it draws more than a fifth of the way from its floor to its high hours."""

MIN_ON_SPAN_W = 20.0
"""A device whose high hours are hardly above its floor has no on and off that hours can show."""

FOLLOWS_THE_WEATHER = frozenset({"HEATER", "AIR_CONDITIONER", "THERMOSTAT", "REFRIGERATOR"})
"""Types whose hours follow the season: without the weather, longer is not a finding (cooling has one of its own)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A device's mean a day in the last seven days, and its highest week before."""

    recent: float
    usual: float
    recent_kwh_a_day: float
    usual_kwh_a_day: float


def week_against_weeks_before(table: HomeTable) -> list[Finding]:
    """Compare the last seven whole days with the same weekdays of the weeks before."""
    days = {day.date: day.energy_kwh for day in table.total.whole_days}
    today = table.end.date()
    recent_kwh = 0.0
    before_kwh = 0.0
    pairs = 0
    for ago in range(1, WEEK_DAYS + 1):
        when = today - timedelta(days=ago)
        earlier = _same_weekday_before(days, when, table.start.date())
        if when in days and len(earlier) >= MIN_WEEKS_BEFORE:
            pairs += 1
            recent_kwh += days[when]
            before_kwh += fmean(earlier)
    change_kwh = recent_kwh - before_kwh
    if pairs < MIN_DAYS_A_WEEK or before_kwh <= 0:
        return []
    if abs(change_kwh) < max(MIN_CHANGE_KWH, MIN_CHANGE * before_kwh):
        return []
    kind = FindingKind.WEEK_HIGHER if change_kwh > 0 else FindingKind.WEEK_LOWER
    direction = "more" if change_kwh > 0 else "less"
    how = f"{pairs} whole days of the last seven against the mean of the same weekdays in the weeks before."
    recent, before = _periods(table)
    facts = {
        role: make_fact(value, unit, label=label, period=period, how=how)
        for role, value, unit, label, period in (
            (Role.RECENT, recent_kwh, Unit.KILOWATT_HOURS, "Energy of the last week", recent),
            (Role.USUAL, before_kwh, Unit.KILOWATT_HOURS, "Energy of the same weekdays before, as a mean", before),
            (Role.CHANGE, 100 * abs(change_kwh) / before_kwh, Unit.PERCENT, f"How much {direction} that is", recent),
        )
    }
    # A week that was low has nothing at stake; a high one would cost its excess again each week.
    return [Finding(kind, facts, max(0.0, change_kwh / pairs * 365))]


def _periods(table: HomeTable) -> tuple[str, str]:
    """Return the last seven whole days and the time before them, as intervals of dates."""
    today = table.end.date()
    week = today - timedelta(days=WEEK_DAYS)
    return whole_days_interval(week, today), whole_days_interval(table.start.date(), week)


def _same_weekday_before(days: Mapping[date, float], when: date, first: date) -> list[float]:
    earlier = []
    at = when - timedelta(days=WEEK_DAYS)
    while at >= first:
        if at in days:
            earlier.append(days[at])
        at -= timedelta(days=WEEK_DAYS)
    return earlier


def on_for_longer(table: HomeTable) -> list[Finding]:
    """Find the devices that were on for more hours a day than in any week before."""
    found = []
    for device in table.appliances:
        comparison = _compare(table, device, _hours_on)
        if comparison is None or comparison.recent - comparison.usual < MIN_LONGER_H:
            continue
        found.append(_finding(FindingKind.ON_FOR_LONGER, table, device, comparison, Unit.HOURS_A_DAY))
    return found


def on_more_often(table: HomeTable) -> list[Finding]:
    """Find the devices that were switched on more often than in any week before, though not for longer."""
    found = []
    longer = {finding.device_id for finding in on_for_longer(table)}
    for device in table.appliances:
        comparison = _compare(table, device, _starts)
        if device.id in longer or comparison is None or comparison.recent - comparison.usual < MIN_MORE_STARTS:
            continue
        found.append(_finding(FindingKind.ON_MORE_OFTEN, table, device, comparison, Unit.TIMES_A_DAY))
    return found


def _hours_on(day: Day, threshold_kwh: float) -> float:
    return float(sum(hour.energy_kwh > threshold_kwh for hour in day.hours))


def _starts(day: Day, threshold_kwh: float) -> float:
    states = [hour.energy_kwh > threshold_kwh for hour in day.hours]
    return float(states[0]) + sum(after and not before for before, after in pairwise(states))


def _compare(table: HomeTable, device: Device, measure: Callable[[Day, float], float]) -> Comparison | None:
    """Compare the last week of a device with its highest week before; None where it is not above, or not known."""
    if device.type in FOLLOWS_THE_WEATHER:
        return None
    threshold_kwh = _on_threshold_kwh(device)
    weeks: dict[int, list[Day]] = {}
    for day in device.series.whole_days:
        ago = (table.end.date() - day.date).days
        if ago >= 1 and all(hour.is_profiled or hour.energy_kwh == 0 for hour in day.hours):
            weeks.setdefault((ago - 1) // WEEK_DAYS, []).append(day)
    full = {index: days for index, days in weeks.items() if len(days) >= MIN_DAYS_A_WEEK}
    recent = full.pop(0, None)
    if threshold_kwh is None or recent is None or len(full) < MIN_WEEKS_BEFORE:
        return None
    usual = max(fmean(measure(day, threshold_kwh) for day in days) for days in full.values())
    now = fmean(measure(day, threshold_kwh) for day in recent)
    if now < USUAL_MARGIN * usual:
        return None
    before = [day for days in full.values() for day in days]
    return Comparison(now, usual, fmean(day.energy_kwh for day in recent), fmean(day.energy_kwh for day in before))


def _on_threshold_kwh(device: Device) -> float | None:
    energies = sorted(hour.energy_kwh for hour in device.series.profiled)
    if not energies:
        return None
    floor = energies[0]
    # The mean of its highest hours, at least one in two days or so: one odd hour does not set the scale.
    top = energies[-max(1, len(energies) // 50) :]
    span = fmean(top) - floor
    return floor + ON_SHARE * span if span * 1000 >= MIN_ON_SPAN_W else None


def _finding(kind: FindingKind, table: HomeTable, device: Device, comparison: Comparison, unit: Unit) -> Finding:
    extra_kwh_a_year = max(0.0, (comparison.recent_kwh_a_day - comparison.usual_kwh_a_day) * 365)

    recent, before = _periods(table)

    def fact(value: float, label: str, period: str, how: str, in_unit: Unit = unit) -> Fact:
        return make_fact(value, in_unit, label=label, period=period, how=how, device_id=device.id)

    what = "Hours a day it was on" if unit is Unit.HOURS_A_DAY else "Times a day it was switched on"
    facts = {
        Role.RECENT: fact(
            comparison.recent, f"{what}, in the last week", recent, "The mean over the whole days of the last seven."
        ),
        Role.USUAL: fact(
            comparison.usual,
            f"{what}, in its highest week before",
            before,
            "The highest mean a day of the weeks before.",
        ),
    }
    if extra_kwh_a_year > 0:
        facts[Role.YEARLY] = fact(
            extra_kwh_a_year,
            "Energy over a year that the difference would make",
            recent,
            "Its energy a day in the last seven days less that of the weeks before, for 365 days.",
            Unit.KILOWATT_HOURS_A_YEAR,
        )
    return Finding(kind, facts, extra_kwh_a_year, device.id)
