"""What can be done with devices."""

import logging
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import assert_never

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import FieldError, InvalidRequest, PreconditionFailed, Problem
from energy_tracker.kit.text import folded
from energy_tracker.services.device.model import (
    Device,
    DeviceDetails,
    DeviceDraft,
    after_owner_deleted,
    check_parent,
    merged_details,
    with_details,
    without_parent,
)
from energy_tracker.services.device.ports import DeviceChange, DeviceRepository, Owners, Standing

log = logging.getLogger(__name__)


class DeviceNotFound(Problem):
    """There is no device with this id, or it is retired."""

    status = 404
    title = "The device does not exist"

    def __init__(self) -> None:
        super().__init__("There is no device in use with this id.")


class OwnerNotFound(Problem):
    """There can be no user with this id."""

    status = 404
    title = "The user does not exist"

    def __init__(self) -> None:
        super().__init__("There is no user with this id.")


@dataclass(frozen=True, slots=True)
class DevicePage:
    """Devices in order of id; `next_after_id` is where the following page begins, None on the last one."""

    devices: Sequence[Device]
    next_after_id: int | None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Devices in order of version. The next page begins after `version`; `more`: there is one now."""

    devices: Sequence[Device]
    version: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceService:
    """The use cases."""

    repository: DeviceRepository
    owners: Owners
    clock: Clock

    async def create_device(self, *, principal: Principal, draft: DeviceDraft) -> Device:
        """Store a new device. Raises `InvalidRequest`."""
        details = merged_details(draft, None)
        await self._check_owner(details.user_id)
        async with self.repository.change() as change:
            await _check_parent(change, details, None)
            device = await change.add(details, created_at_ms=self.clock.now_ms())
        log.info("device %d created by %s", device.id, principal.name)
        return device

    async def read_device(self, *, principal: Principal, device_id: int) -> Device:
        """Return a device in use. Raises `DeviceNotFound`."""
        del principal  # until accounts exist, everyone may read
        return _in_use(await self.repository.find(device_id))

    async def replace_device(
        self, *, principal: Principal, device_id: int, draft: DeviceDraft, expected_versions: frozenset[int] | None
    ) -> Device:
        """Replace what is known of a device; what the draft leaves out stays.

        Another owner or parent holds from now on, and a device that goes to another user leaves its sub-meters behind;
        another kind, direction or longest hold means that all of its history was of that kind.
        Raises `DeviceNotFound`, `PreconditionFailed` and `InvalidRequest`.
        """
        _in_use(await self.repository.find(device_id))
        await self._check_owner(draft.user_id)
        now_ms = self.clock.now_ms()
        async with self.repository.change() as change:
            current = _expected(_in_use(await change.find(device_id)), expected_versions)
            details = merged_details(draft, current.details)
            await _check_parent(change, details, device_id)
            if details.user_id != current.details.user_id:
                await _release_below(change, device_id, now_ms)
            device = await change.save(with_details(current, details, now_ms))
        log.info("device %d replaced by %s", device.id, principal.name)
        return device

    async def retire_device(
        self, *, principal: Principal, device_id: int, expected_versions: frozenset[int] | None
    ) -> None:
        """Take a device out of use: its history stays, its sub-meters count for themselves from now on.

        Raises `DeviceNotFound` and `PreconditionFailed`.
        """
        now_ms = self.clock.now_ms()
        async with self.repository.change() as change:
            current = _expected(_in_use(await change.find(device_id)), expected_versions)
            await _release_below(change, device_id, now_ms)
            await change.save(replace(current, retired_at_ms=now_ms))
        log.info("device %d retired by %s", device_id, principal.name)

    async def erase_devices_of_deleted(self, *, principal: Principal, user_ids: AbstractSet[int]) -> int:
        """Erase what belongs to deleted users; return how many devices that were. Can be repeated at any time."""
        owners = await self.repository.named_owners() & user_ids if user_ids else frozenset()
        erased = 0
        for user_id in sorted(owners):
            async with self.repository.change() as change:
                for device in await change.owned_by(user_id):
                    if device.details.name:
                        await change.save(after_owner_deleted(device, self.clock.now_ms()))
                        erased += 1
            log.info("the devices of deleted user %d erased by %s", user_id, principal.name)
        return erased

    async def list_devices_of_user(self, *, principal: Principal, user_id: int) -> Sequence[Device]:
        """Return a user's devices in use, in order of id; none for a user that nobody knows."""
        del principal  # until accounts exist, everyone may read
        return [device for device in await self.repository.owned_by(user_id) if device.retired_at_ms is None]

    async def list_devices(
        self, *, principal: Principal, text: str, user_id: int | None, retired: bool, after_id: int, limit: int
    ) -> DevicePage:
        """Return devices above an id, in use or retired, whose name, location or type holds `text`, in any case."""
        del principal  # until accounts exist, everyone may read
        devices = await self.repository.page(
            after_id=after_id, limit=limit + 1, text=folded(text), user_id=user_id, retired=retired
        )
        return DevicePage(devices[:limit], devices[limit - 1].id if len(devices) > limit else None)

    async def list_changes(self, *, principal: Principal, after: int, limit: int) -> ChangePage:
        """Return the devices that changed after a version, retired and erased ones too.

        A `version` below `after` in the answer means that the devices were restored from a backup: begin again at 0.
        """
        del principal  # the other services
        devices, newest = await self.repository.changes(after=after, limit=limit + 1)
        more = len(devices) > limit
        return ChangePage(devices[:limit], devices[limit - 1].version if more else newest, more)

    async def _check_owner(self, user_id: int) -> None:
        standing = await self.owners.standing(user_id)
        match standing:
            case Standing.KNOWN:
                return
            case Standing.UNREACHABLE:
                log.warning("user %d is taken on trust: user-service does not answer", user_id)
            case Standing.UNKNOWN:
                errors = [FieldError("/userId", "must be the id of a user")]
                raise InvalidRequest("Not acceptable: /userId.", errors=errors)
            case _:
                assert_never(standing)


async def _check_parent(change: DeviceChange, details: DeviceDetails, device_id: int | None) -> None:
    if details.parent_id is not None:
        owned = await change.owned_by(details.user_id)
        check_parent(details, device_id, [device for device in owned if device.retired_at_ms is None])


async def _release_below(change: DeviceChange, device_id: int, now_ms: int) -> None:
    for sub_meter in await change.below(device_id):
        if sub_meter.retired_at_ms is None:
            await change.save(without_parent(sub_meter, now_ms))


def _in_use(device: Device | None) -> Device:
    if device is None or device.retired_at_ms is not None:
        raise DeviceNotFound
    return device


def _expected(device: Device, versions: frozenset[int] | None) -> Device:
    if versions is not None and device.version not in versions:
        message = f"The device is at version {device.version} now; read it again."
        raise PreconditionFailed(message)
    return device
