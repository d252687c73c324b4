from collections.abc import Set as AbstractSet

import pytest
from tests.support.clock import VirtualClock

from energy_tracker.kit.principal import LOCAL
from energy_tracker.kit.problems import InvalidRequest
from energy_tracker.services.device.adapters.memory import MemoryDeviceRepository
from energy_tracker.services.device.model import DeviceDraft
from energy_tracker.services.device.ports import Standing
from energy_tracker.services.device.service import DeviceService
from energy_tracker.services.device.worker import OwnerWatch


class KnownOwners:
    """Owners as a test states them."""

    def __init__(self) -> None:
        self.standings: dict[int, Standing] = {}
        self.gone: set[int] = set()

    async def standing(self, user_id: int) -> Standing:
        return self.standings.get(user_id, Standing.KNOWN)

    async def refresh(self) -> None:
        return

    def deleted(self) -> AbstractSet[int]:
        return self.gone


async def test_devices_of_deleted_users_are_erased_once_also_when_they_came_later() -> None:
    owners, clock = KnownOwners(), VirtualClock()
    repository = MemoryDeviceRepository()
    service = DeviceService(repository=repository, owners=owners, clock=clock)
    watch = OwnerWatch(service=service, owners=owners, clock=clock)

    async def create(user_id: int) -> int:
        draft = DeviceDraft(name="Plug", type="TV", location="", user_id=user_id)
        return (await service.create_device(principal=LOCAL, draft=draft)).id

    first, other = await create(1), await create(2)
    assert await watch.sweep() == 0
    owners.gone.add(1)
    assert await watch.sweep() == 1
    assert await watch.sweep() == 0
    late = await create(1)
    assert await watch.sweep() == 1
    states = {device_id: (await repository.find(device_id)).erased for device_id in (first, other, late)}  # type: ignore[union-attr]
    assert states == {first: True, other: False, late: True}


async def test_a_user_is_taken_on_trust_only_where_nobody_can_tell() -> None:
    owners = KnownOwners()
    owners.standings = {1: Standing.UNREACHABLE, 2: Standing.UNKNOWN}
    service = DeviceService(repository=MemoryDeviceRepository(), owners=owners, clock=VirtualClock())
    draft = DeviceDraft(name="Plug", type="TV", location="", user_id=1)
    assert (await service.create_device(principal=LOCAL, draft=draft)).details.user_id == 1
    with pytest.raises(InvalidRequest) as caught:
        await service.create_device(principal=LOCAL, draft=DeviceDraft(name="P", type="TV", location="", user_id=2))
    assert caught.value.errors[0].pointer == "/userId"
