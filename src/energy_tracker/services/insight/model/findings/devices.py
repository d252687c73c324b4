"""Findings about single devices: which weigh most, and which never rest."""

from statistics import fmean

from energy_tracker.services.insight.model.facts import Finding, FindingKind, Role, Unit, make_fact
from energy_tracker.services.insight.model.findings.home import HOURS_A_YEAR, W_TO_KWH_A_YEAR
from energy_tracker.services.insight.model.hours import Device, HomeTable

MAX_LARGE_DEVICES = 3
"""More than three names are a list, not advice."""

MIN_LARGE_SHARE = 0.05
"""A device below a twentieth of the home is not what makes it large."""

MIN_SHARED_HOURS = 72
"""Shares of fewer than three days depend on which days they were."""

NEVER_OFF_W = 2.0
"""Below this a plug measures itself; a device in proper standby draws less than half a watt (EU 2023/826)."""

MIN_NEVER_OFF_HOURS = 168
"""Only a whole week holds all the times at which a device may be meant to rest."""

MEANT_TO_BE_ON = frozenset({"REFRIGERATOR", "CAMERA", "LOCK", "DOORBELL", "THERMOSTAT"})
"""Types whose use is to be always on."""


def large_devices(table: HomeTable) -> list[Finding]:
    """Find the devices that make up most of what the home draws, where there is more than one to compare."""
    if len(table.appliances) < 2 or not table.total.is_judgeable:  # noqa: PLR2004 - one device is all there is
        return []
    home_kwh = {hour.start: hour.energy_kwh for hour in table.total.measured}
    shares: list[tuple[float, float, Device]] = []
    for device in table.appliances:
        both = [(hour.energy_kwh, home_kwh[hour.start]) for hour in device.series.measured if hour.start in home_kwh]
        whole_kwh = sum(home for _, home in both)
        if len(both) < MIN_SHARED_HOURS or whole_kwh <= 0:
            continue
        part_kwh = sum(part for part, _ in both)
        if MIN_LARGE_SHARE <= part_kwh / whole_kwh <= 1:
            shares.append((part_kwh / whole_kwh, part_kwh / len(both) * HOURS_A_YEAR, device))
    shares.sort(key=lambda item: (-item[0], item[2].id))
    return [_large_device(table, device, share, yearly) for share, yearly, device in shares[:MAX_LARGE_DEVICES]]


def _large_device(table: HomeTable, device: Device, share: float, yearly_kwh: float) -> Finding:
    facts = {
        Role.SHARE: make_fact(
            100 * share,
            Unit.PERCENT,
            label="Share of the device in what the home draws",
            period=table.period,
            how="Its energy over the home's, in the hours in which both were measured.",
            device_id=device.id,
        ),
        Role.YEARLY: make_fact(
            yearly_kwh,
            Unit.KILOWATT_HOURS_A_YEAR,
            label="Energy of the device over a year",
            period=table.period,
            how="Its mean power in the measured hours, held for 365 days.",
            device_id=device.id,
        ),
    }
    return Finding(FindingKind.LARGE_DEVICE, facts, yearly_kwh, device.id)


def never_off(table: HomeTable) -> list[Finding]:
    """Find the devices that drew something in every hour, though their type is meant to rest."""
    found = []
    for device in table.appliances:
        hours = device.series.profiled
        if device.type in MEANT_TO_BE_ON or len(hours) < MIN_NEVER_OFF_HOURS:
            continue
        lowest_w = min(hour.energy_kwh for hour in hours) * 1000
        if lowest_w < NEVER_OFF_W:
            continue
        mean_w = fmean(hour.energy_kwh for hour in hours) * 1000
        yearly_kwh = lowest_w * W_TO_KWH_A_YEAR
        facts = {
            Role.POWER: make_fact(
                lowest_w,
                Unit.WATTS,
                label="Lowest power of the device in any hour",
                period=table.period,
                how=f"The lowest of its {len(hours)} well measured hours; the mean was {mean_w:.0f} W.",
                device_id=device.id,
            ),
            Role.YEARLY: make_fact(
                yearly_kwh,
                Unit.KILOWATT_HOURS_A_YEAR,
                label="Energy that its lowest power takes over a year",
                period=table.period,
                how="The lowest power held for 365 days.",
                device_id=device.id,
            ),
        }
        found.append(Finding(FindingKind.NEVER_OFF, facts, yearly_kwh, device.id))
    return found
