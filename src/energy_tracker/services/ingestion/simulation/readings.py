"""What a simulated meter says, and what it is a meter of."""

from dataclasses import dataclass
from datetime import timedelta

import msgspec

from energy_tracker.contracts.readings import Direction, Kind
from energy_tracker.kit.instants import MS_PER_MINUTE, format_duration, to_iso
from energy_tracker.kit.quantities import MILLIJOULES_PER_KILOWATT_HOUR
from energy_tracker.services.ingestion.simulation.appliances.base import Appliance


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDevice:
    """An appliance and the meter that reads it, with the fields that the device API takes.

    `appliance` is None for a meter that adds up its sub-meters (those whose `parent` it is) and the household's
    unmetered appliances. The meter reports every `period_ms`; one of `kind` power also whenever the power changes,
    so that a value held until the next one is exact. A register counts in steps of `resolution_mj` and shows
    `base_kwh` at the simulation's epoch.
    """

    name: str
    type: str
    location: str
    appliance: Appliance | None
    kind: Kind = "power"
    direction: Direction = "import"
    period_ms: int = MS_PER_MINUTE
    max_hold_ms: int = 5 * MS_PER_MINUTE
    rated_power_w: float | None = None
    parent: str | None = None
    base_kwh: float = 0.0
    resolution_mj: int = MILLIJOULES_PER_KILOWATT_HOUR // 1_000
    sends_event_id: bool = True
    sends_since: bool = False

    def body(self, *, user_id: int, parent_id: int | None) -> dict[str, object]:
        """Return the body that creates this device through device-service."""
        body: dict[str, object] = {
            "name": self.name,
            "type": self.type,
            "location": self.location,
            "userId": user_id,
            "kind": self.kind,
            "direction": self.direction,
            "maxHold": format_duration(timedelta(milliseconds=self.max_hold_ms)),
        }
        if self.rated_power_w is not None:
            body["ratedPower"] = self.rated_power_w
        if parent_id is not None:
            body["parentId"] = parent_id
        return body


class SimulatedReading(msgspec.Struct, frozen=True, kw_only=True):
    """A reading of a device (by name) at an instant in ms since 1970: exactly one of W and the two kWh is set.

    `counter_mj` never leaves the simulation: what a faultless register would show, in mJ. `is_false` marks a value
    that a fault made untrue and that a reader can know to be untrue (a register that dips and comes back).
    """

    at_ms: int
    device: str
    kind: Kind
    direction: Direction
    power_w: float | None = None
    register_kwh: float | None = None
    energy_kwh: float | None = None
    since_ms: int | None = None
    event_id: str | None = None
    counter_mj: int | None = None
    is_false: bool = False

    def body(self, device_id: int) -> dict[str, object]:
        """Return the reading as `POST /api/v1/ingestion` takes it."""
        body: dict[str, object] = {"deviceId": device_id, "timestamp": to_iso(self.at_ms)}
        if self.power_w is not None:
            body["powerW"] = self.power_w
        elif self.register_kwh is not None:
            body["registerKwh"] = self.register_kwh
        else:
            body["energyConsumed"] = self.energy_kwh
        if self.since_ms is not None:
            body["since"] = to_iso(self.since_ms)
        if self.direction == "export":
            body["direction"] = self.direction
        if self.event_id is not None:
            body["eventId"] = self.event_id
        return body
