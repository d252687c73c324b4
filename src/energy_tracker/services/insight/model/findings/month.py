"""What the running month will have used when it ends, as usage-service foresees it."""

from energy_tracker.services.insight.model.facts import Fact, Finding, FindingKind, Role, Unit, make_fact
from energy_tracker.services.insight.model.hours import HomeTable


def month_end(table: HomeTable) -> list[Finding]:
    """Say between which energies the month will end; nothing where there is too little history to foresee that."""
    month = table.month
    if month is None or month.used_kwh is None or month.low_kwh is None or month.high_kwh is None:
        return []
    period = f"{month.from_}/{month.to}"

    def fact(energy_kwh: float, label: str, how: str, *, is_projection: bool = True) -> Fact:
        return make_fact(
            energy_kwh, Unit.KILOWATT_HOURS, label=label, period=period, how=how, is_projection=is_projection
        )

    facts = {
        Role.LOW: fact(
            month.low_kwh,
            "Energy of this month when it ends, at the low end of its range",
            "What was measured, and the days to come as the home's own past has them; 9 of 10 months end above it.",
        ),
        Role.HIGH: fact(
            month.high_kwh,
            "Energy of this month when it ends, at the high end of its range",
            "What was measured, and the days to come as the home's own past has them; 9 of 10 months end below it.",
        ),
        Role.ENERGY: fact(
            month.used_kwh,
            "Energy of this month so far",
            "The sum of the measured import since the month began, without sub-meters; gaps are not filled.",
            is_projection=False,
        ),
    }
    return [Finding(FindingKind.MONTH_END, facts)]
