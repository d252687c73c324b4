"""Energy as whole millijoules, so that sums do not depend on their order.

1 kWh = 3.6e9 mJ and 1 W held for 1 ms = 1 mJ (SI Brochure, 9th edition). An int64 holds 2.5e9 kWh.
"""

from typing import NewType

Millijoules = NewType("Millijoules", int)
KilowattHours = NewType("KilowattHours", float)
Watts = NewType("Watts", float)

MILLIJOULES_PER_KILOWATT_HOUR = 3_600_000_000
MILLIJOULES_PER_WATT_HOUR = 3_600_000


def kwh_to_millijoules(energy_kwh: float) -> Millijoules:
    """Return kWh as whole mJ, rounded half to even."""
    return Millijoules(round(energy_kwh * MILLIJOULES_PER_KILOWATT_HOUR))


def millijoules_to_kwh(energy_mj: int) -> KilowattHours:
    """Return mJ as kWh, the nearest float."""
    return KilowattHours(energy_mj / MILLIJOULES_PER_KILOWATT_HOUR)


def held_power_millijoules(power_w: float, held_ms: int) -> Millijoules:
    """Return the energy of a power held for a time, as whole mJ."""
    return Millijoules(round(power_w * held_ms))


def energy_before(energy_mj: int, elapsed_ms: int, duration_ms: int) -> Millijoules:
    """Return the part of an evenly spread energy that lies in the first `elapsed_ms` of `duration_ms`.

    Splitting at several instants by differences of this function loses and invents nothing: the parts add up to the
    whole.
    """
    return Millijoules(energy_mj * elapsed_ms // duration_ms)
