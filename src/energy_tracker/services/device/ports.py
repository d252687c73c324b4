"""What device-service needs from outside: a place where devices are kept, and word of who their owners are."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Protocol

from energy_tracker.services.device.model import Device, DeviceDetails


class DeviceChange(Protocol):
    """One change of the devices that happens as a whole or not at all; changes follow each other."""

    async def find(self, device_id: int) -> Device | None:
        """Return the device with this id, whatever its state."""

    async def owned_by(self, user_id: int) -> Sequence[Device]:
        """Return all that belongs to a user now, retired and erased devices too, in order of id."""

    async def below(self, device_id: int) -> Sequence[Device]:
        """Return the sub-meters of a device, retired ones too, in order of id."""

    async def add(self, details: DeviceDetails, *, created_at_ms: int) -> Device:
        """Store a new device under a new id and version, assigned since ever as its details say."""

    async def save(self, device: Device) -> Device:
        """Store a changed device under a new version."""


class DeviceRepository(Protocol):
    """The devices. Versions count up over all of them, in the order in which changes become visible."""

    def change(self) -> AbstractAsyncContextManager[DeviceChange]:
        """Begin a change, which is durable once the block ends, and undone when it raises."""

    async def find(self, device_id: int) -> Device | None:
        """Return the device with this id, whatever its state."""

    async def owned_by(self, user_id: int) -> Sequence[Device]:
        """Return all that belongs to a user now, retired and erased devices too, in order of id."""

    async def page(
        self, *, after_id: int, limit: int, text: str, user_id: int | None, retired: bool
    ) -> Sequence[Device]:
        """Return at most `limit` devices above an id, in its order, that are in use, or retired; never erased ones.

        Their search key holds `text` (already folded); with a `user_id` they belong to that user.
        """

    async def changes(self, *, after: int, limit: int) -> tuple[Sequence[Device], int]:
        """Return at most `limit` devices above a version, in its order, and the newest version of all."""

    async def named_owners(self) -> AbstractSet[int]:
        """Return the ids of the users to whom a device belongs that still has a name."""


class Standing(Enum):
    """What is known of a user to whom a device is to belong."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"


class Owners(Protocol):
    """The users, as far as device-service needs them. It works without them, too."""

    async def standing(self, user_id: int) -> Standing:
        """Say whether there is such a user; `UNREACHABLE` where nobody can tell now."""

    async def refresh(self) -> None:
        """Learn what has changed; where the users cannot be reached, what is known stays."""

    def deleted(self) -> AbstractSet[int]:
        """Return the ids of all users that were deleted."""
