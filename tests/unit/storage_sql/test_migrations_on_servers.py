import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, event, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.relational import ON_SERVERS, new_database, url_of

from energy_tracker.storage import migrations
from energy_tracker.storage.migrations import MigrationFailed, migrate, schemas, services_behind, upgrade
from energy_tracker.storage.sql import create_engine, read_transaction, write_transaction

EVERYTHING = tuple(schema.service for schema in schemas())


@pytest.fixture(params=ON_SERVERS)
async def url(request: pytest.FixtureRequest) -> AsyncIterator[URL]:
    async with new_database(request.param) as url:
        yield url


@pytest.fixture
async def engine(url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(url)
    yield engine
    await engine.dispose()


async def tables_of(engine: AsyncEngine) -> set[str]:
    async with read_transaction(engine) as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def everything_is_there_once(engine: AsyncEngine) -> bool:
    async with read_transaction(engine) as connection:
        for table in ("user_counter", "device_counter", "user_version", "device_version", "alert_version"):
            assert await connection.scalar(text(f"SELECT COUNT(*) FROM {table}")) == 1  # noqa: S608 - a name of ours
    return await services_behind(engine) == ()


async def test_six_processes_may_begin_at_once(url: URL) -> None:
    async with AsyncExitStack() as stack:
        engines = [create_engine(url) for _ in range(6)]
        for engine in engines:
            stack.push_async_callback(engine.dispose)
        await asyncio.gather(*(migrate(engine) for engine in engines))
        assert await everything_is_there_once(engines[0])
        assert await migrate(engines[0]) == ()


async def test_a_service_may_bring_only_its_own_tables(engine: AsyncEngine) -> None:
    assert await migrate(engine, only=["user"]) == ("user",)
    assert await tables_of(engine) == {"user", "user_counter", "user_version"}
    assert set(await services_behind(engine)) == {"device", "alert"}


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", ["before_cursor_execute", "after_cursor_execute"])
async def test_a_run_that_is_killed_anywhere_is_gone_on_with(url: URL, engine: AsyncEngine, at: str) -> None:
    """Each run is killed before or after its second, third or fourth change; what was not committed begins again."""
    runs = survived = 0

    def kill(*arguments: object) -> None:
        nonlocal survived
        statement = str(arguments[2])
        if statement.lstrip().startswith(("CREATE", "INSERT", "UPDATE", "ALTER")):
            if survived > runs % 3:
                raise Killed
            survived += 1

    event.listen(Engine, at, kill)
    try:
        while await services_behind(engine):
            runs += 1
            survived = 0
            try:
                await upgrade(url.render_as_string(hide_password=False))
            except Killed:
                continue
    finally:
        event.remove(Engine, at, kill)
    assert runs > 5
    assert await everything_is_there_once(engine)


async def test_a_process_waits_while_another_changes_the_tables_and_goes_on_when_that_dies(
    url: URL, engine: AsyncEngine
) -> None:
    other = create_engine(url)
    try:
        async with other.connect() as holder:
            await migrations._take_turn(holder)
            task = asyncio.create_task(migrate(engine))
            here = "information_schema.processlist WHERE db = DATABASE()"
            waits = text(f"SELECT COUNT(*) FROM {here} AND info LIKE 'SELECT GET_LOCK%'")  # noqa: S608 - of constants
            while not await holder.scalar(waits):  # noqa: ASYNC110 - the event is the server's
                await asyncio.sleep(0)
            assert await tables_of(engine) == set()
            await holder.invalidate()
    finally:
        await other.dispose()
    assert await task == EVERYTHING
    assert await everything_is_there_once(engine)


async def test_a_turn_that_never_comes_is_a_failure_that_says_so(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "TURN_TIMEOUT_S", 0)
    other = create_engine(url)
    try:
        async with other.connect() as holder:
            await migrations._take_turn(holder)
            with pytest.raises(MigrationFailed, match="Another process"):
                await upgrade(url.render_as_string(hide_password=False))
    finally:
        await other.dispose()


async def test_a_table_of_another_program_is_left_alone_and_named(engine: AsyncEngine) -> None:
    async with write_transaction(engine) as connection:
        await connection.execute(text("CREATE TABLE user (id BIGINT PRIMARY KEY, name VARCHAR(20))"))
        await connection.execute(text("INSERT INTO user VALUES (1, 'Ada')"))
    with pytest.raises(MigrationFailed, match="a table `user` that Energy Tracker has not made") as caught:
        await migrate(engine)
    assert "Traceback" not in caught.value.detail
    async with read_transaction(engine) as connection:
        assert (await connection.execute(text("SELECT * FROM user"))).all() == [(1, "Ada")]


async def test_on_sqlite_a_run_that_is_killed_leaves_nothing_of_the_service_it_was_at(tmp_path: Path) -> None:
    def kill(*arguments: object) -> None:
        if "CREATE TABLE device_counter" in str(arguments[2]):
            raise Killed

    url = url_of(tmp_path / "relational.db")
    event.listen(Engine, "after_cursor_execute", kill)
    try:
        with pytest.raises(Killed):
            await upgrade(url)
    finally:
        event.remove(Engine, "after_cursor_execute", kill)
    engine = create_engine(url)
    try:
        assert not any(table.startswith("device") for table in await tables_of(engine))
        assert set(await migrate(engine)) == {"device", "user"}
        assert await everything_is_there_once(engine)
    finally:
        await engine.dispose()
