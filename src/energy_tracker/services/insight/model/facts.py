"""Facts: the only source of numbers in the advice.

A value is rounded once, when the fact is made, to what a person is shown: the number in a tip is the one in the fact.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never


class Unit(StrEnum):
    """The unit of a fact, as it is written behind the number."""

    KILOWATT_HOURS = "kWh"
    KILOWATT_HOURS_A_YEAR = "kWh a year"
    WATTS = "W"
    PERCENT = "%"
    HOURS_A_DAY = "h a day"
    TIMES_A_DAY = "times a day"
    DAYS = "days"
    CLOCK_HOUR = "o'clock"


class Role(StrEnum):
    """What a fact says within its finding; a finding holds at most one fact of each role."""

    WINDOW = "window"
    ENERGY = "energy"
    YEARLY = "yearly"
    POWER = "power"
    SHARE = "share"
    RECENT = "recent"
    USUAL = "usual"
    CHANGE = "change"
    SURPLUS = "surplus"
    SAVING = "saving"
    PEAK_HOUR = "peak_hour"
    COVERAGE = "coverage"
    LOW = "low"
    HIGH = "high"


class FindingKind(StrEnum):
    """What code can find in the hours of a home."""

    ENERGY_USED = "energy-used"
    BASE_LOAD = "base-load"
    LARGE_DEVICE = "large-device"
    NEVER_OFF = "never-off"
    ON_FOR_LONGER = "on-for-longer"
    ON_MORE_OFTEN = "on-more-often"
    WEEK_HIGHER = "week-higher"
    WEEK_LOWER = "week-lower"
    SOLAR_SURPLUS = "solar-surplus"
    COOLING_WORKS_HARDER = "cooling-works-harder"
    POORLY_MEASURED = "poorly-measured"
    NOT_MEASURED = "not-measured"
    MONTH_END = "month-end"


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure with its unit, the period it is about and how it came about; `device_id` None means the home.

    `id` is empty until `FactTable.of` numbers it. A projection is shown with fewer figures than a sum of readings.
    """

    value: float
    unit: Unit
    label: str
    period: str
    how: str
    device_id: int | None = None
    id: str = ""
    is_projection: bool = False

    @property
    def number(self) -> str:
        """The value without its unit."""
        return f"{self.value:.{decimals(self.value, self.unit, is_projection=self.is_projection)}f}"

    @property
    def text(self) -> str:
        """The value with its unit, as tips show it, such as `876 kWh a year`, `34 %` or `18:00`."""
        return f"{self.number}:00" if self.unit is Unit.CLOCK_HOUR else f"{self.number} {self.unit.value}"


def decimals(value: float, unit: Unit, *, is_projection: bool = False) -> int:
    """Return how many decimals of a value are shown: what a meter and a projection can honestly carry."""
    if is_projection:
        return 0 if value >= 10 else 1  # noqa: PLR2004 - two significant figures
    match unit:
        case Unit.KILOWATT_HOURS:
            return 1 if value >= 10 else 2  # noqa: PLR2004 - three significant figures
        case Unit.HOURS_A_DAY | Unit.TIMES_A_DAY:
            return 1
        case Unit.KILOWATT_HOURS_A_YEAR | Unit.WATTS | Unit.PERCENT:
            return 0 if value >= 10 else 1  # noqa: PLR2004 - two significant figures
        case Unit.DAYS | Unit.CLOCK_HOUR:
            return 0
        case _:
            assert_never(unit)


def make_fact(  # noqa: PLR0913 - what a fact consists of
    value: float,
    unit: Unit,
    *,
    label: str,
    period: str,
    how: str,
    device_id: int | None = None,
    is_projection: bool = False,
) -> Fact:
    """Make a fact, its value rounded as it will be shown. Values are never negative: the label gives the direction."""
    # Rounding may carry a value over the limit of a class (9.996 kWh), so the decimals are asked again.
    rounded = round(value, decimals(value, unit, is_projection=is_projection))
    return Fact(
        value=round(rounded, decimals(rounded, unit, is_projection=is_projection)),
        unit=unit,
        label=label,
        period=period,
        how=how,
        device_id=device_id,
        is_projection=is_projection,
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found: its facts by role, and the kWh a year at stake, by which findings are ranked."""

    kind: FindingKind
    facts: Mapping[Role, Fact]
    stake_kwh_a_year: float = 0.0
    device_id: int | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A device in advice: `alias` towards a model, `name` towards its owner, `appliance` of a closed list of words."""

    alias: str
    device_id: int
    name: str
    appliance: str


@dataclass(frozen=True, slots=True)
class FactTable:
    """Findings in order of rank, with facts numbered F1, F2 … and the devices among them D1, D2 … in turn."""

    findings: tuple[Finding, ...]
    subjects: tuple[Subject, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding], subjects: Iterable[Subject] = ()) -> "FactTable":
        """Make a table: number the facts of findings in the order given."""
        numbered = []
        count = 0
        for finding in findings:
            facts = {}
            for role, fact in finding.facts.items():
                count += 1
                facts[role] = replace(fact, id=f"F{count}")
            numbered.append(replace(finding, facts=facts))
        return cls(tuple(numbered), tuple(subjects))

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts, in order of id."""
        return tuple(fact for finding in self.findings for fact in finding.facts.values())

    def by_id(self) -> dict[str, Fact]:
        """Return the facts by their ids."""
        return {fact.id: fact for fact in self.facts}

    def digest(self) -> str:
        """Return a name of the content: the same findings with the same figures give the same."""
        content = "\n".join(
            f"{finding.kind}|{role}|{fact.id}|{fact.text}|{fact.device_id}"
            for finding in self.findings
            for role, fact in finding.facts.items()
        )
        names = "\n".join(
            f"{subject.alias}|{subject.device_id}|{subject.appliance}|{subject.name}" for subject in self.subjects
        )
        return hashlib.blake2b(f"{content}\n\n{names}".encode(), digest_size=16).hexdigest()
