"""What every place for devices promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.relational import ON_SERVERS, any_engine, two_engines

from energy_tracker.services.device.adapters.memory import MemoryDeviceRepository
from energy_tracker.services.device.adapters.sql import SqlDeviceRepository
from energy_tracker.services.device.model import Assignment, Device, DeviceDetails
from energy_tracker.services.device.ports import DeviceRepository


@pytest.fixture(params=["memory", "sqlite", *ON_SERVERS])
async def repository(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DeviceRepository]:
    if request.param == "memory":
        yield MemoryDeviceRepository()
    else:
        async with any_engine(request, tmp_path) as engine:
            yield SqlDeviceRepository(engine)


def details(name: str = "Plug", user_id: int = 1, parent_id: int | None = None) -> DeviceDetails:
    return DeviceDetails(
        name=name,
        type="TV",
        location="Küche",
        user_id=user_id,
        kind="power",
        direction="export",
        max_hold_ms=1_500,
        rated_power_w=2300.5,
        parent_id=parent_id,
        silent_after_ms=60_000,
    )


async def add(repository: DeviceRepository, *added: DeviceDetails) -> list[Device]:
    async with repository.change() as change:
        return [await change.add(each, created_at_ms=10) for each in added]


async def test_what_is_added_is_found_as_it_was_and_was_so_since_ever(repository: DeviceRepository) -> None:
    (device,) = await add(repository, details(parent_id=None))
    assert device == Device(
        id=1, version=1, details=details(), assignments=(Assignment(None, 1, None),), created_at_ms=10
    )
    assert await repository.find(1) == device
    assert await repository.find(2) is None


async def test_what_is_saved_keeps_its_assignments_in_order(repository: DeviceRepository) -> None:
    parent, device = await add(repository, details(), details())
    assignments = (Assignment(None, 1, None), Assignment(20, 1, parent.id), Assignment(30, 2, None))
    changed = replace(device, details=details("Moved", 2), assignments=assignments, retired_at_ms=40, erased=True)
    async with repository.change() as change:
        assert await change.save(changed) == replace(changed, version=3)
        assert await change.find(device.id) == replace(changed, version=3)
    assert await repository.find(device.id) == replace(changed, version=3)
    assert await repository.find(parent.id) == parent


async def test_owners_and_sub_meters_are_those_of_now(repository: DeviceRepository) -> None:
    main, sub, other = await add(repository, details(), details(parent_id=1), details(user_id=2))
    async with repository.change() as change:
        retired = await change.save(replace(sub, retired_at_ms=5))
        assert await change.owned_by(1) == [main, retired]
        assert await change.below(main.id) == [retired]
        assert await change.below(other.id) == []
    assert await repository.owned_by(1) == [main, retired]
    assert await repository.owned_by(3) == []
    assert await repository.named_owners() == {1, 2}
    async with repository.change() as change:
        await change.save(replace(other, details=replace(other.details, name=""), retired_at_ms=6, erased=True))
    assert await repository.named_owners() == {1}


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_pages_return_every_device_once_the_retired_ones_apart(repository: DeviceRepository, limit: int) -> None:
    added = await add(repository, *(details(f"Plug {number}", 1 + number % 2) for number in range(6)))
    async with repository.change() as change:
        await change.save(replace(added[2], retired_at_ms=5))
        await change.save(replace(added[3], details=details("", 2), retired_at_ms=5, erased=True))

    async def ids(*, user_id: int | None, retired: bool) -> list[int]:
        seen: list[int] = []
        while page := await repository.page(
            after_id=seen[-1] if seen else 0, limit=limit, text="", user_id=user_id, retired=retired
        ):
            seen += [device.id for device in page]
        return seen

    assert await ids(user_id=None, retired=False) == [1, 2, 5, 6]
    assert await ids(user_id=1, retired=False) == [1, 5]
    assert await ids(user_id=None, retired=True) == [3]
    assert await ids(user_id=2, retired=True) == []


@pytest.mark.parametrize(("text", "found"), [("plug_", {2}), ("%", set()), ("küche tv", {1, 2}), ("plug", {1, 2})])
async def test_a_search_takes_its_text_literally(repository: DeviceRepository, text: str, found: set[int]) -> None:
    await add(repository, details("Plug"), details("Plug_2"))
    page = await repository.page(after_id=0, limit=10, text=text, user_id=None, retired=False)
    assert {device.id for device in page} == found


async def test_a_change_that_raises_leaves_nothing(repository: DeviceRepository) -> None:
    async def fail() -> None:
        async with repository.change() as change:
            await change.add(details(), created_at_ms=10)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await repository.find(1) is None
    assert await repository.changes(after=0, limit=10) == ([], 0)


async def test_changes_come_in_order_of_version_each_entry_in_its_newest_state(repository: DeviceRepository) -> None:
    first, second = await add(repository, details(), details())
    async with repository.change() as change:
        retired = await change.save(replace(first, retired_at_ms=5))
    assert await repository.changes(after=0, limit=1) == ([second], 3)
    assert await repository.changes(after=2, limit=5) == ([retired], 3)
    assert await repository.changes(after=3, limit=5) == ([], 3)
    assert await repository.changes(after=99, limit=5) == ([], 3)


@pytest.mark.parametrize("replicas", ON_SERVERS, indirect=True)
async def test_a_reader_never_sees_half_of_another_process_s_change(replicas: list[SqlDeviceRepository]) -> None:
    (device,) = await add(replicas[0], details())

    async def hand_on() -> None:
        for user_id in range(2, 40):
            async with replicas[1].change() as change:
                current = await change.find(device.id)
                assert current is not None
                assignments = (*current.assignments, Assignment(user_id, user_id, None))
                await change.save(replace(current, details=details(user_id=user_id), assignments=assignments))

    writing = asyncio.create_task(hand_on())
    while not writing.done():
        seen = await replicas[0].find(device.id)
        assert seen is not None
        assert seen.assignments[-1].user_id == seen.details.user_id == seen.version == len(seen.assignments)
    await writing


@pytest.fixture
async def replicas(request: pytest.FixtureRequest) -> AsyncIterator[list[SqlDeviceRepository]]:
    async with two_engines(request) as engines:
        yield [SqlDeviceRepository(engine) for engine in engines]
