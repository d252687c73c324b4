"""Devices in memory, gone with the process: for tests and for trying things out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import replace

from energy_tracker.services.device.model import Assignment, Device, DeviceDetails, search_key


class MemoryDeviceChange:
    """A change on a copy, which the repository takes over when it is whole."""

    def __init__(self, devices: dict[int, Device], version: int) -> None:
        self.devices = devices
        self.version = version

    async def find(self, device_id: int) -> Device | None:
        """Return the device with this id, whatever its state."""
        return self.devices.get(device_id)

    async def owned_by(self, user_id: int) -> Sequence[Device]:
        """Return all that belongs to a user now, retired and erased devices too, in order of id."""
        return _owned_by(self.devices, user_id)

    async def below(self, device_id: int) -> Sequence[Device]:
        """Return the sub-meters of a device, retired ones too, in order of id."""
        return [device for _, device in sorted(self.devices.items()) if device.details.parent_id == device_id]

    async def add(self, details: DeviceDetails, *, created_at_ms: int) -> Device:
        """Store a new device under a new id and version, assigned since ever as its details say."""
        assignment = Assignment(None, details.user_id, details.parent_id)
        device_id = len(self.devices) + 1
        device = Device(
            id=device_id, version=0, details=details, assignments=(assignment,), created_at_ms=created_at_ms
        )
        return await self.save(device)

    async def save(self, device: Device) -> Device:
        """Store a changed device under a new version."""
        self.version += 1
        self.devices[device.id] = replace(device, version=self.version)
        return self.devices[device.id]


class MemoryDeviceRepository:
    """The devices in a dictionary."""

    def __init__(self) -> None:
        self._devices: dict[int, Device] = {}
        self._version = 0
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def change(self) -> AsyncIterator[MemoryDeviceChange]:
        """Begin a change, which counts once the block ends, and not when it raises."""
        async with self._lock:
            change = MemoryDeviceChange(dict(self._devices), self._version)
            yield change
            self._devices, self._version = change.devices, change.version

    async def find(self, device_id: int) -> Device | None:
        """Return the device with this id, whatever its state."""
        return self._devices.get(device_id)

    async def owned_by(self, user_id: int) -> Sequence[Device]:
        """Return all that belongs to a user now, retired and erased devices too, in order of id."""
        return _owned_by(self._devices, user_id)

    async def page(
        self, *, after_id: int, limit: int, text: str, user_id: int | None, retired: bool
    ) -> Sequence[Device]:
        """Return at most `limit` devices above an id, in its order, that are in use, or retired; never erased ones."""
        found = [
            device
            for _, device in sorted(self._devices.items())
            if device.id > after_id
            and (device.retired_at_ms is not None) == retired
            and device.details.name
            and text in search_key(device.details)
            and user_id in {None, device.details.user_id}
        ]
        return found[:limit]

    async def changes(self, *, after: int, limit: int) -> tuple[Sequence[Device], int]:
        """Return at most `limit` devices above a version, in its order, and the newest version of all."""
        changed = (device for device in self._devices.values() if device.version > after)
        return sorted(changed, key=lambda device: device.version)[:limit], self._version

    async def named_owners(self) -> AbstractSet[int]:
        """Return the ids of the users to whom a device belongs that still has a name."""
        return {device.details.user_id for device in self._devices.values() if device.details.name}


def _owned_by(devices: dict[int, Device], user_id: int) -> list[Device]:
    return [device for _, device in sorted(devices.items()) if device.details.user_id == user_id]
