"""What ingestion-service takes from its copy of the registry."""

from collections.abc import Mapping, Sequence

from energy_tracker.clients.directory import Directory, DirectoryChange
from energy_tracker.services.ingestion.model.admission import Refusal
from energy_tracker.services.ingestion.simulation.fleet import FleetDevice


class RegistryRefusals:
    """The devices that take no (later) readings; follows the directory from its first refresh on."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._refused: dict[int, Refusal] = {}
        directory.subscribe(self._follow)

    def refused(self) -> Mapping[int, Refusal]:
        """Return them, a live view."""
        return self._refused

    async def _follow(self, change: DirectoryChange) -> None:
        for device_id in change.devices:
            device = self._directory.device(device_id)
            if self._directory.device_is_erased(device_id):
                self._refused[device_id] = Refusal(None)
            elif device is not None and device.retired_at_ms is not None:
                self._refused[device_id] = Refusal(device.retired_at_ms)
            else:
                self._refused.pop(device_id, None)


class RegisteredFleet:
    """The devices that the simulation reads: all that are registered and not retired."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def devices(self) -> Sequence[FleetDevice]:
        """Return them, in the order of their ids."""
        return [
            FleetDevice(
                id=device.id,
                type=device.type,
                kind=device.kind,
                direction=device.direction,
                created_at_ms=device.created_at_ms,
            )
            for device in sorted(self._directory.devices(), key=lambda device: device.id)
            if device.retired_at_ms is None
        ]
