"""Plausible readings for devices that exist: an appliance by the device's type, read as the device is read."""

from dataclasses import dataclass

from energy_tracker.contracts.readings import Direction, Kind
from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.ingestion.simulation.appliances.base import Appliance
from energy_tracker.services.ingestion.simulation.appliances.cooling import REFRIGERATOR
from energy_tracker.services.ingestion.simulation.appliances.electronics import (
    DESK_COMPUTER,
    LAMPS,
    SPEAKER,
    TELEVISION,
    AlwaysOn,
)
from energy_tracker.services.ingestion.simulation.appliances.energy import HeatPump, SolarPanels
from energy_tracker.services.ingestion.simulation.appliances.kitchen import CoffeeMaker, Kettle
from energy_tracker.services.ingestion.simulation.generation import Simulation
from energy_tracker.services.ingestion.simulation.households import Household
from energy_tracker.services.ingestion.simulation.readings import SimulatedDevice, SimulatedReading
from energy_tracker.services.ingestion.simulation.segments import total_energy_mj
from energy_tracker.services.ingestion.simulation.surroundings import Habits, Place

_OLDEST_EPOCH_MS = 20_454 * MS_PER_DAY  # 2026-01-01: a device whose beginning nobody knows


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDevice:
    """A device that exists, as the generator needs it. A register counts from `created_at_ms` (ms since 1970) on."""

    id: int
    type: str
    kind: Kind
    direction: Direction = "import"
    created_at_ms: int = 0


class SimulatedMeter:
    """Reads a device of the fleet at any instants, each later than the one before."""

    def __init__(self, device: FleetDevice, *, seed: int) -> None:
        self._device = device
        self._name = f"device {device.id}"
        self._simulation = Simulation(
            household=Household(
                name="fleet",
                place=Place(),
                habits=Habits(),
                devices=(
                    SimulatedDevice(
                        name=self._name,
                        type=device.type,
                        location="",
                        appliance=appliance_of(device),
                        kind=device.kind,
                        direction=device.direction,
                    ),
                ),
            ),
            seed=seed,
            epoch_ms=max(device.created_at_ms, _OLDEST_EPOCH_MS),
        )
        self._read_until_ms: int | None = None

    def read(self, at_ms: int, *, interval_ms: int, event_id: str) -> SimulatedReading:
        """Return the reading at an instant; the first interval of energy is as long as `interval_ms`."""
        power_w = energy_kwh = register_kwh = since_ms = None
        match self._device.kind:
            case "power":
                (segment,) = self._simulation.power(self._name, at_ms, at_ms + 1)
                power_w = segment.power_w
            case "register":
                counted_mj = self._simulation.counted_mj(self._name, at_ms)
                register_kwh = round(millijoules_to_kwh(counted_mj), 3)
            case "interval":
                since_ms = at_ms - interval_ms if self._read_until_ms is None else self._read_until_ms
                energy_kwh = millijoules_to_kwh(total_energy_mj(self._simulation.power(self._name, since_ms, at_ms)))
        self._read_until_ms = at_ms
        return SimulatedReading(
            at_ms=at_ms,
            device=self._name,
            kind=self._device.kind,
            direction=self._device.direction,
            power_w=power_w,
            register_kwh=register_kwh,
            energy_kwh=energy_kwh,
            since_ms=since_ms if since_ms != at_ms else None,
            event_id=event_id,
        )


def appliance_of(device: FleetDevice) -> Appliance:
    """Return an appliance that a device of this type may well be; one that exports is panels on a roof."""
    if device.direction == "export":
        return SolarPanels()
    by_type: dict[str, Appliance] = {
        "SPEAKER": SPEAKER,
        "CAMERA": AlwaysOn(power_w=4.8),
        "THERMOSTAT": AlwaysOn(power_w=1.6),
        "LIGHT": LAMPS,
        "LOCK": AlwaysOn(power_w=0.9),
        "DOORBELL": AlwaysOn(power_w=2.7),
        "HEATER": HeatPump(),
        "REFRIGERATOR": REFRIGERATOR,
        "AIR_CONDITIONER": AlwaysOn(power_w=520.0, fluctuation=0.1, awake_w=380.0, step_min=8),
        "TV": TELEVISION,
    }
    others = (DESK_COMPUTER, Kettle(), CoffeeMaker(), AlwaysOn(power_w=8.4))
    return by_type.get(device.type) or others[device.id % len(others)]
