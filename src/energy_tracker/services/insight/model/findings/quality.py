"""What was measured too poorly to judge: then advice is withheld, and that is said."""

from energy_tracker.services.insight.model.facts import Finding, FindingKind, Role, Unit, make_fact
from energy_tracker.services.insight.model.hours import MIN_SERIES_COVERAGE, HomeTable, Series

MAX_NAMED = 5
"""More gaps than this are one trouble of the measuring, not so many."""


def poorly_measured(table: HomeTable) -> list[Finding]:
    """Find the home and the devices in use of which too little was measured; a device that was never read as well."""
    found = []
    if table.total.coverage > 0 and not table.total.is_judgeable:
        found.append(_withheld(table, table.total, None))
    known = [device for device in table.devices if not device.is_retired and not device.series.is_new]
    drawing = [device for device in known if not device.series.only_sends_out]
    withheld = [device for device in drawing if not device.series.is_judgeable]
    found.extend(_withheld(table, device.series, device.id) for device in withheld[:MAX_NAMED])
    return found


def _withheld(table: HomeTable, series: Series, device_id: int | None) -> Finding:
    coverage = make_fact(
        100 * series.coverage,
        Unit.PERCENT,
        label="Share of the time since the first reading that was measured",
        period=table.period,
        how=f"The coverage of its hours; below {MIN_SERIES_COVERAGE:.0%}, or under a day of them, nothing is judged.",
        device_id=device_id,
    )
    kind = FindingKind.POORLY_MEASURED if series.coverage > 0 else FindingKind.NOT_MEASURED
    return Finding(kind, {Role.COVERAGE: coverage}, 0.0, device_id)
