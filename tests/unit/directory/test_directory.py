import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.clock import VirtualClock
from tests.support.relational import House, open_house

from energy_tracker.clients.directory import DirectoryChange
from energy_tracker.contracts.device import DeviceBody
from energy_tracker.contracts.user import UserBody
from energy_tracker.storage.sql import write_transaction


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path) as opened:
        yield opened


async def new_user(house: House, number: int = 1) -> int:
    return (await house.users.create(UserBody.of(name="Anna", email=f"anna{number}@example.org"))).id


async def new_device(house: House, user_id: int, parent_id: int | None = None) -> int:
    body = DeviceBody.of(name="Plug", type="TV", user_id=user_id, parent_id=parent_id)
    return (await house.devices.create(body)).id


async def test_it_knows_nothing_and_says_so_until_it_has_asked(house: House) -> None:
    assert house.directory.stale
    assert house.directory.age_s == math.inf
    assert await house.directory.refresh() == DirectoryChange()
    assert not house.directory.stale
    assert house.directory.age_s == 0


async def test_users_and_devices_are_looked_up_without_asking(house: House) -> None:
    user, device = await new_user(house), 0
    device = await new_device(house, user)
    change = await house.directory.refresh()
    assert change == DirectoryChange(frozenset({user}), frozenset({device}))
    house.to_users.cut = house.to_devices.cut = True
    found = house.directory.user(user)
    assert found is not None
    assert (found.email, found.time_zone) == ("anna1@example.org", "Europe/Zurich")
    assert [each.id for each in house.directory.devices_of(user)] == [device]
    assert [each.id for each in house.directory.users()] == [user]
    assert [each.id for each in house.directory.devices()] == [device]
    assert house.directory.user(99) is None
    assert house.directory.device(99) is None
    assert house.directory.devices_of(99) == []
    assert house.directory.owner_at(99, 0) is None


async def test_who_owned_a_device_when(house: House) -> None:
    first, second = await new_user(house, 1), await new_user(house, 2)
    main = await new_device(house, first)
    device = await new_device(house, first, parent_id=main)
    await house.clock.advance(60)
    moved_ms = house.clock.now_ms()
    await house.devices.replace(device, DeviceBody.of(name="Plug", type="TV", user_id=second))
    await house.directory.refresh()
    directory = house.directory
    assert [directory.owner_at(device, at) for at in (0, moved_ms - 1, moved_ms)] == [first, first, second]
    before, after = directory.assignment_at(device, moved_ms - 1), directory.assignment_at(device, moved_ms)
    assert before is not None
    assert after is not None
    assert (before.parent_id, after.parent_id) == (main, None)
    assert [each.id for each in directory.devices_of(first)] == [main, device]
    assert [each.id for each in directory.devices_of(second)] == [device]


async def test_a_retired_device_keeps_its_place(house: House) -> None:
    user = await new_user(house)
    device = await new_device(house, user)
    await house.devices.retire(device)
    await house.directory.refresh()
    found = house.directory.device(device)
    assert found is not None
    assert found.retired_at_ms == house.clock.now_ms()
    assert house.directory.devices_of(user) == [found]


async def test_it_goes_on_with_what_it_has_while_a_service_is_down(house: House) -> None:
    user = await new_user(house)
    await house.directory.refresh()
    house.to_users.cut = True
    device = await new_device(house, user)
    await house.clock.advance(3)
    assert await house.directory.refresh() == DirectoryChange(devices=frozenset({device}))
    assert house.directory.stale
    assert house.directory.age_s == 3
    assert house.directory.user(user) is not None
    house.to_users.cut = False
    await house.directory.refresh()
    assert not house.directory.stale
    await house.clock.advance(11)
    assert house.directory.stale


async def test_subscribers_are_told_again_until_they_have_taken_it(house: House) -> None:
    told: list[DirectoryChange] = []
    failing = [True]

    async def subscriber(change: DirectoryChange) -> None:
        if failing[0]:
            raise LookupError
        told.append(change)

    house.directory.subscribe(subscriber)
    first = await new_user(house, 1)
    with pytest.raises(LookupError):
        await house.directory.refresh()
    failing[0] = False
    second = await new_user(house, 2)
    await house.directory.refresh()
    await house.directory.refresh()
    assert told == [DirectoryChange(frozenset({first, second}))]


async def test_many_changes_come_in_pages(house: House) -> None:
    for number in range(7):
        await new_user(house, number)
    fetch = house.users.changes
    house.directory._users._fetch = lambda after: fetch(after=after, limit=2)
    change = await house.directory.refresh()
    assert len(change.users) == 7
    assert len(house.directory.users()) == 7


async def test_a_service_that_was_restored_from_a_backup_is_read_anew(house: House) -> None:
    kept, lost = await new_user(house, 1), await new_user(house, 2)
    await house.directory.refresh()
    async with write_transaction(house.engine) as connection:
        await connection.execute(text("DELETE FROM user WHERE id = :id"), {"id": lost})
        await connection.execute(text("UPDATE user_counter SET version = 1"))
    assert await house.directory.refresh() == DirectoryChange(frozenset({kept, lost}))
    assert [user.id for user in house.directory.users()] == [kept]


async def test_it_follows_by_itself(house: House) -> None:
    running = asyncio.create_task(house.directory.run(house.clock))
    user = await new_user(house)
    async with asyncio.timeout(5):
        while house.directory.user(user) is None:
            await house.clock.advance(2)
            await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_where_nothing_changes_it_asks_less_often_until_something_does(tmp_path: Path) -> None:
    pauses: list[float] = []

    class Watched(VirtualClock):
        async def sleep(self, seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 20:
                await new_user(house)
            if len(pauses) == 22:
                raise asyncio.CancelledError

    async with open_house(tmp_path) as house:
        with pytest.raises(asyncio.CancelledError):
            await house.directory.run(Watched())
    assert pauses == [2.0] * 14 + [4.0] * 6 + [2.0] * 2
