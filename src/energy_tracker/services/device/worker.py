"""Follows the deletion of users, and erases their devices."""

import logging
from dataclasses import dataclass

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import Problem
from energy_tracker.services.device.ports import Owners
from energy_tracker.services.device.service import DeviceService

log = logging.getLogger(__name__)

INTERVAL_S = 2.0
_SELF = Principal(name="device-service")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerWatch:
    """Compares owners with deleted users, again and again: it needs no memory, and misses nothing while it is down."""

    service: DeviceService
    owners: Owners
    clock: Clock

    async def sweep(self) -> int:
        """Erase the devices of all users that are known to be deleted; return how many that were."""
        await self.owners.refresh()
        return await self.service.erase_devices_of_deleted(principal=_SELF, user_ids=self.owners.deleted())

    async def run(self) -> None:
        """Sweep every 2 s, for ever."""
        while True:
            try:
                await self.sweep()
            except Problem as problem:
                log.warning("devices of deleted users wait to be erased: %s", problem.detail)
            except Exception:
                log.exception("sweeping the devices of deleted users failed; it is tried again")
            await self.clock.sleep(INTERVAL_S)
