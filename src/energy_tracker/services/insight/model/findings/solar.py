"""What the home could have drawn from its own sun."""

from collections import Counter
from dataclasses import dataclass
from statistics import fmean

from energy_tracker.services.insight.model.facts import Finding, FindingKind, Role, Unit, make_fact
from energy_tracker.services.insight.model.hours import HomeTable, Hour

MIN_SURPLUS_KWH_A_DAY = 0.5
"""A day with less left over than a short wash needs gives nothing to move into."""

MIN_SURPLUS_DAYS = 3
"""Fewer sunny days than this are weather, not a habit."""

PEAK_RATIO = 2.0
"""A peak is an hour that draws at least twice the home's mean …"""

MIN_PEAK_KWH = 0.5
"""… and at least this much: below it there is no run of anything to move."""


@dataclass(frozen=True, slots=True)
class _Surplus:
    """What was left over, and what the peaks of the same days could have taken of it."""

    days: int
    sunny_days: int
    left_kwh: float
    movable_kwh: float
    peaks: Counter[int]

    @property
    def yearly_kwh(self) -> float:
        return self.movable_kwh / self.days * 365

    @property
    def peak_hour(self) -> int:
        return min(self.peaks, key=lambda hour: (-self.peaks[hour], hour))


def peaks_into_surplus(table: HomeTable) -> list[Finding]:
    """Find what peaks drew while, on the same day, energy was sent out that could have fed them.

    Both sides bound it: on each day the smaller of the surplus and of what the peaks drew above the mean.
    """
    if not table.total.whole_days or not table.total.is_judgeable:
        return []
    surplus = _surplus(table)
    if surplus.sunny_days < MIN_SURPLUS_DAYS or surplus.movable_kwh <= 0:
        return []
    facts = {
        Role.SURPLUS: make_fact(
            surplus.left_kwh,
            Unit.KILOWATT_HOURS,
            label="Own energy sent out beyond what was drawn in the same hours",
            period=table.period,
            how=f"The sum over {surplus.days} whole days, {surplus.sunny_days} of them with enough to move into.",
        ),
        Role.PEAK_HOUR: make_fact(
            surplus.peak_hour,
            Unit.CLOCK_HOUR,
            label="Hour that most often is a peak on days with own energy left over",
            period=table.period,
            how=f"Peaks draw at least {PEAK_RATIO:g} times the home's mean and {MIN_PEAK_KWH} kWh in an hour.",
        ),
        Role.SAVING: make_fact(
            surplus.yearly_kwh,
            Unit.KILOWATT_HOURS_A_YEAR,
            label="Most that moving the peaks could take from the own surplus over a year",
            period=table.period,
            how="On each day the smaller of the surplus and of what peaks drew above the mean; its mean for 365 days.",
        ),
    }
    return [Finding(FindingKind.SOLAR_SURPLUS, facts, surplus.yearly_kwh)]


def _surplus(table: HomeTable) -> _Surplus:
    mean_kwh = fmean(hour.energy_kwh for hour in table.total.measured)
    sunny_days = 0
    all_left_kwh = 0.0
    movable_kwh = 0.0
    peaks: Counter[int] = Counter()
    for day in table.total.whole_days:
        left_kwh = sum(hour.surplus_kwh for hour in day.hours)
        all_left_kwh += left_kwh
        if left_kwh >= MIN_SURPLUS_KWH_A_DAY:
            sunny_days += 1
            high = [hour for hour in day.hours if _is_peak(hour, mean_kwh)]
            movable_kwh += min(left_kwh, sum(hour.energy_kwh - mean_kwh for hour in high))
            peaks.update(hour.start.hour for hour in high)
    return _Surplus(len(table.total.whole_days), sunny_days, all_left_kwh, movable_kwh, peaks)


def _is_peak(hour: Hour, mean_kwh: float) -> bool:
    return hour.is_profiled and hour.surplus_kwh == 0 and hour.energy_kwh >= max(MIN_PEAK_KWH, PEAK_RATIO * mean_kwh)
