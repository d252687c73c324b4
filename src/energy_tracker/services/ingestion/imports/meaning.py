"""What the numbers of a file mean: their unit, their kind, and the stretch of time that each one stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from energy_tracker.contracts.readings import Kind
from energy_tracker.kit.instants import format_duration, from_ms
from energy_tracker.services.ingestion.imports import naming
from energy_tracker.services.ingestion.imports.model import Declared, FileCannotBeImported, Finding, Stamp
from energy_tracker.services.ingestion.imports.shape import KindCannotBeTold, Points, common_period_us, kind_of_energy
from energy_tracker.services.ingestion.imports.times import US_PER_MS
from energy_tracker.services.ingestion.imports.units import KILOWATT_HOUR, UNITS, WATT, Unit, unit_in_name, unit_named


@dataclass(frozen=True, slots=True)
class Meaning:
    """Unit, kind, stamp and period (µs, where a row's own length is known), and how each was found out."""

    unit: Unit
    kind: Kind
    stamp: Stamp
    period_us: int | None
    findings: tuple[Finding, ...]


def find_meaning(
    declared: Declared, value_names: Sequence[str], time_name: str, devices: Mapping[str, Points]
) -> Meaning:
    """Return what the values mean, from what is declared, the columns' names and the first values of each device.

    Raises `FileCannotBeImported` where that cannot be told, or does not go together.
    """
    unit, by_unit = _unit(declared, value_names)
    kind, by_kind = _kind(declared, value_names, unit, devices)
    if (kind == "power") != (unit.quantity == "power"):
        message = f"{unit.symbol} is a unit of {unit.quantity}, which does not go with --kind {kind}: check --unit."
        raise FileCannotBeImported(message)
    stamp, by_stamp = _stamp(declared, kind, time_name)
    period_us, by_period = _period_us(declared, kind, stamp, devices)
    findings = (by_unit, by_kind, by_stamp, by_period)
    return Meaning(unit, kind, stamp, period_us, tuple(finding for finding in findings if finding is not None))


def _unit(declared: Declared, value_names: Sequence[str]) -> tuple[Unit, Finding]:
    if declared.unit is not None:
        unit = unit_named(declared.unit)
        if unit is None:
            known = ", ".join(each.symbol for each in UNITS)
            message = f"--unit {declared.unit[:20]!r} is not one of {known}."
            raise FileCannotBeImported(message)
        return unit, Finding("unit", unit.symbol, "declared")
    units = {unit_in_name(name) for name in value_names}
    if len(units) > 1:
        raise FileCannotBeImported("The value columns are in different units: import them one by one with --value.")
    unit = units.pop()
    if unit is not None:
        return unit, Finding("unit", unit.symbol, "detected", "from the column's name")
    powered = declared.kind == "power" or (declared.kind is None and any(map(naming.names_power, value_names)))
    unit = WATT if powered else KILOWATT_HOUR
    return unit, Finding("unit", unit.symbol, "assumed", "no column's name says one: --unit")


def _kind(
    declared: Declared, value_names: Sequence[str], unit: Unit, devices: Mapping[str, Points]
) -> tuple[Kind, Finding]:
    if declared.kind is not None:
        return declared.kind, Finding("kind", declared.kind, "declared")
    if unit.quantity == "power":
        return "power", Finding("kind", "power", "detected", f"from the unit {unit.symbol}")
    if any(map(naming.names_register, value_names)):
        return "register", Finding("kind", "register", "detected", "from the column's name")
    try:
        kind = kind_of_energy(devices)
    except KindCannotBeTold as error:
        message = f"Kind: {error}."
        raise FileCannotBeImported(message) from None
    return kind, Finding("kind", kind, "detected", "from the values")


def _stamp(declared: Declared, kind: Kind, time_name: str) -> tuple[Stamp, Finding | None]:
    if kind == "register":
        if declared.stamp == "start":
            raise FileCannotBeImported("A register is read at an instant: --stamp start does not apply to it.")
        return "end", None
    if declared.stamp is not None:
        return declared.stamp, Finding("stamp", declared.stamp, "declared")
    if kind == "power":
        return "start", None
    if naming.names_start(time_name):
        return "start", Finding("stamp", "start", "detected", "from the time column's name")
    return "end", Finding("stamp", "end", "detected", "times are where intervals end, unless --stamp start")


def _period_us(
    declared: Declared, kind: Kind, stamp: Stamp, devices: Mapping[str, Points]
) -> tuple[int | None, Finding | None]:
    if kind == "register" or (kind == "power" and stamp == "start"):
        return None, None
    if declared.period_ms is not None:
        return declared.period_ms * US_PER_MS, Finding("period", _duration(declared.period_ms), "declared")
    if kind == "interval" and stamp == "end":
        return None, Finding("period", "since the device's previous reading", "detected", "unless --period")
    common_us = common_period_us(devices)
    if common_us is None or common_us % US_PER_MS:
        raise FileCannotBeImported(
            "The times are not evenly spaced, so the length of a row's interval is not known: declare --period."
        )
    return common_us, Finding("period", _duration(common_us // US_PER_MS), "detected", "from the spacing of the times")


def _duration(length_ms: int) -> str:
    return format_duration(from_ms(length_ms) - from_ms(0))
