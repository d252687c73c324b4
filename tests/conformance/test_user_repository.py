"""What every place for users promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.relational import ON_SERVERS, any_engine, two_engines

from energy_tracker.services.user.adapters.memory import MemoryUserRepository
from energy_tracker.services.user.adapters.sql import SqlUserRepository
from energy_tracker.services.user.model import NOTHING, User, UserDetails
from energy_tracker.services.user.ports import EmailAlreadyInUse, UserRepository


@pytest.fixture(params=["memory", "sqlite", *ON_SERVERS])
async def repository(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[UserRepository]:
    if request.param == "memory":
        yield MemoryUserRepository()
    else:
        async with any_engine(request, tmp_path) as engine:
            yield SqlUserRepository(engine)


def details(name: str = "Anna", email: str = "anna@example.org") -> UserDetails:
    return UserDetails(
        name=name,
        surname="Muster",
        email=email,
        address="Weg 1",
        alerting=True,
        energy_alerting_threshold_kwh=1.5,
        time_zone="Europe/Zurich",
    )


async def add(repository: UserRepository, *added: UserDetails) -> list[User]:
    async with repository.change() as change:
        return [await change.add(each) for each in added]


async def test_what_is_added_is_found_as_it_was(repository: UserRepository) -> None:
    (user,) = await add(repository, details("Zoë 🏠 ' OR 1=1--"))
    assert user == User(id=1, version=1, details=details("Zoë 🏠 ' OR 1=1--"))
    assert await repository.find(1) == user
    assert await repository.find(2) is None
    assert await repository.find(2**63 - 1) is None


async def test_an_address_belongs_to_one_user_in_whatever_case(repository: UserRepository) -> None:
    first, second = await add(repository, details(), details(email="eva@example.org"))
    with pytest.raises(EmailAlreadyInUse):
        await add(repository, details(email="ANNA@Example.ORG"))
    with pytest.raises(EmailAlreadyInUse):
        async with repository.change() as change:
            await change.save(replace(second, details=details(email="Anna@example.org")))
    async with repository.change() as change:
        saved = await change.save(replace(first, details=details("Anne", "Anna@example.org")))
    assert await repository.find(first.id) == saved


async def test_a_tombstone_stays_and_its_address_is_free(repository: UserRepository) -> None:
    (user,) = await add(repository, details())
    async with repository.change() as change:
        await change.save(replace(user, details=NOTHING, deleted_at_ms=5))
    (other,) = await add(repository, details())
    assert other.id != user.id
    found = await repository.find(user.id)
    assert found == User(id=user.id, version=2, details=NOTHING, deleted_at_ms=5)
    assert [each.id for each in await repository.page(after_id=0, limit=10, text="")] == [other.id]


async def test_two_tombstones_do_not_mind_each_other(repository: UserRepository) -> None:
    users = await add(repository, details(), details(email="eva@example.org"))
    async with repository.change() as change:
        for user in users:
            await change.save(replace(user, details=NOTHING, deleted_at_ms=5))
    assert not await repository.page(after_id=0, limit=10, text="")


async def test_a_change_that_raises_leaves_nothing_and_uses_up_no_version(repository: UserRepository) -> None:
    async def fail() -> None:
        async with repository.change() as change:
            await change.add(details())
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    (user,) = await add(repository, details())
    assert user.version == 1
    assert [each.id for each in (await repository.changes(after=0, limit=10))[0]] == [user.id]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
async def test_pages_return_every_user_once(repository: UserRepository, limit: int) -> None:
    added = await add(repository, *(details(email=f"a{number}@example.org") for number in range(7)))
    seen: list[int] = []
    while page := await repository.page(after_id=seen[-1] if seen else 0, limit=limit, text=""):
        seen += [user.id for user in page]
    assert seen == [user.id for user in added]


@pytest.mark.parametrize(
    ("text", "found"),
    [("a", {"Ä_x", "100%"}), ("ä_", {"Ä_x"}), ("_", {"Ä_x"}), ("%", {"100%"}), ("muster eva", {"Ä_x"}), ("/", set())],
)
async def test_a_search_takes_its_text_literally(repository: UserRepository, text: str, found: set[str]) -> None:
    await add(repository, details("Ä_x", "eva@b.example"), details("100%", "a@b.example"))
    page = await repository.page(after_id=0, limit=10, text=text)
    assert {user.details.name for user in page} == found


async def test_changes_come_in_order_of_version_each_entry_in_its_newest_state(repository: UserRepository) -> None:
    first, second, third = await add(repository, *(details(email=f"a{number}@example.org") for number in range(3)))
    async with repository.change() as change:
        await change.save(replace(first, details=NOTHING, deleted_at_ms=5))
    changed, newest = await repository.changes(after=0, limit=2)
    assert [(user.id, user.version) for user in changed] == [(second.id, 2), (third.id, 3)]
    assert newest == 4
    changed, newest = await repository.changes(after=3, limit=2)
    assert [(user.id, user.version, user.deleted_at_ms) for user in changed] == [(first.id, 4, 5)]
    assert await repository.changes(after=4, limit=2) == ([], 4)
    assert await repository.changes(after=99, limit=2) == ([], 4)


async def test_changes_at_once_get_versions_of_their_own(repository: UserRepository) -> None:
    users = await asyncio.gather(*(add(repository, details(email=f"a{number}@b.example")) for number in range(10)))
    assert sorted(user.version for (user,) in users) == list(range(1, 11))


@pytest.fixture(params=ON_SERVERS)
async def replicas(request: pytest.FixtureRequest) -> AsyncIterator[list[SqlUserRepository]]:
    async with two_engines(request) as engines:
        yield [SqlUserRepository(engine) for engine in engines]


async def test_a_follower_misses_no_change_that_two_processes_make_at_once(replicas: list[SqlUserRepository]) -> None:
    async def write(repository: UserRepository, name: str) -> None:
        for number in range(25):
            await add(repository, details(email=f"{name}{number}@b.example"))

    followed: list[int] = []

    async def follow() -> None:
        while len(followed) < 100:
            changed, newest = await replicas[0].changes(after=followed[-1] if followed else 0, limit=7)
            followed.extend(user.version for user in changed)
            assert newest >= (followed[-1] if followed else 0)

    writers = (write(replicas[number % 2], f"w{number}-") for number in range(4))
    await asyncio.gather(follow(), *writers)
    assert followed == list(range(1, 101))


async def test_an_address_that_two_processes_take_at_once_goes_to_one(replicas: list[SqlUserRepository]) -> None:
    taken = await asyncio.gather(*(add(each, details()) for each in replicas * 4), return_exceptions=True)
    assert sorted(type(each).__name__ for each in taken) == ["EmailAlreadyInUse"] * 7 + ["list"]
