"""Units of energy and power, and finding one in a column's name."""

import re
from dataclasses import dataclass
from typing import Literal

Quantity = Literal["energy", "power"]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit; `times / per` turns an amount of it into kWh or W. Whole numbers, so that scaling rounds once."""

    symbol: str
    quantity: Quantity
    times: int = 1
    per: int = 1

    def scale(self, amount: float) -> float:
        """Return the amount in kWh or W."""
        return amount * self.times / self.per


KILOWATT_HOUR = Unit("kWh", "energy")
WATT = Unit("W", "power")

UNITS = (
    Unit("Wh", "energy", per=1_000),
    KILOWATT_HOUR,
    Unit("MWh", "energy", times=1_000),
    WATT,
    Unit("kW", "power", times=1_000),
    Unit("MW", "power", times=1_000_000),
)
_BY_SYMBOL = {unit.symbol: unit for unit in UNITS}
# Small letters may stand for them in names such as power_w; not for MW and MWh, which would then be milliwatts.
_BY_WORD = {unit.symbol.lower(): unit for unit in UNITS if not unit.symbol.startswith("M")} | {
    "watt": WATT,
    "watts": WATT,
    "kilowatt": _BY_SYMBOL["kW"],
    "kilowatts": _BY_SYMBOL["kW"],
    "watthours": _BY_SYMBOL["Wh"],
    "kilowatthours": KILOWATT_HOUR,
}
_WORD = re.compile(r"[A-Za-z]+")
# Parts powerW and energyKWh, but not kW: a letter k before W belongs to the unit.
_CAMEL = re.compile(r"(?<=[a-jl-z])(?=(?:[kM]?Wh?|KWH)\b)")


def unit_named(symbol: str) -> Unit | None:
    """Return the unit of a symbol such as kWh, or None."""
    return _BY_SYMBOL.get(symbol.strip()) or _BY_WORD.get(symbol.strip().lower())


def unit_in_name(name: str) -> Unit | None:
    """Return the unit that a column's name ends on or holds (`power_w`, `Energy (kWh)`, `energyKWh`), or None."""
    for word in reversed(_WORD.findall(_CAMEL.sub(" ", name.replace("_", " ")))):
        unit = unit_named(word)
        if unit is not None:
            return unit
    return None
