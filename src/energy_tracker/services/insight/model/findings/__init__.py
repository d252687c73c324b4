"""What can be found in the hours of a home: each finding a pure function from the table to zero or more findings."""

from collections.abc import Iterable

from energy_tracker.services.insight.model.facts import Finding, FindingKind
from energy_tracker.services.insight.model.findings import cooling, devices, home, month, quality, solar, weeks
from energy_tracker.services.insight.model.hours import HomeTable

FINDERS = (
    home.energy_used,
    month.month_end,
    home.base_load,
    devices.large_devices,
    devices.never_off,
    weeks.on_for_longer,
    weeks.on_more_often,
    weeks.week_against_weeks_before,
    solar.peaks_into_surplus,
    cooling.works_harder,
    quality.poorly_measured,
)
"""Every finding there is; a new one is a function in this package and a line here."""


def without_idle_sizes(found: Iterable[Finding], table: HomeTable) -> list[Finding]:
    """Leave out that a device is large where nothing follows from it for a person who wants to save.

    That is so where something more telling was found about it, and for what is meant to be always on.
    """
    everything = list(found)
    told = {finding.device_id for finding in everything if finding.kind is not FindingKind.LARGE_DEVICE}
    told |= {device.id for device in table.devices if device.type in devices.MEANT_TO_BE_ON}
    return [
        finding
        for finding in everything
        if finding.kind is not FindingKind.LARGE_DEVICE or finding.device_id not in told
    ]


def ranked(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings in order, what is at stake most first; what is only said about the measuring comes last."""
    return tuple(sorted(found, key=lambda finding: -finding.stake_kwh_a_year))
