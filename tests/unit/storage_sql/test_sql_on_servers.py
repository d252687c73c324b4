"""What MySQL and MariaDB do to connections and transactions, and that nothing of it shows."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tests.support.relational import ON_SERVERS, SERVERS, any_engine, server_url

from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.device.adapters.sql import COUNTER as DEVICES
from energy_tracker.services.user.adapters.sql import COUNTER as USERS
from energy_tracker.storage import mysql, sql
from energy_tracker.storage.mysql import mysql_url
from energy_tracker.storage.sql import (
    change_in_turn,
    create_engine,
    database_check,
    newest_version,
    next_version,
    read_transaction,
    write_transaction,
)
from energy_tracker.storage.sql_problems import DatabaseRefuses, TransactionUndone
from energy_tracker.storage.whole_transactions import repeated, whole_transaction

USER, DEVICE = USERS.c.version, DEVICES.c.version


@pytest.fixture(params=ON_SERVERS)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with any_engine(request, tmp_path) as engine:
        yield engine


@pytest.fixture
async def other(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """The engine of another process."""
    other = create_engine(engine.url)
    yield other
    await other.dispose()


async def connection_id(connection: AsyncConnection) -> int:
    return int(await connection.scalar(text("SELECT CONNECTION_ID()")))


async def kill(other: AsyncEngine, number: int) -> None:
    """End a connection, and wait until the server has forgotten it."""
    async with read_transaction(other) as connection:
        await connection.execute(text(f"KILL {number}"))
        while await connection.scalar(  # noqa: ASYNC110 - the event is the server's
            text("SELECT COUNT(*) FROM information_schema.processlist WHERE id = :id"), {"id": number}
        ):
            await asyncio.sleep(0)


async def running(other: AsyncEngine, statement: str) -> int:
    """Wait until some connection runs a statement, and return its id."""
    query = text("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE :it")
    async with read_transaction(other) as connection:
        while (number := await connection.scalar(query, {"it": f"{statement}%"})) is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    return int(number)


async def test_a_session_does_not_depend_on_how_the_server_is_set(engine: AsyncEngine) -> None:
    async with read_transaction(engine) as connection:
        row = (
            await connection.execute(text("SELECT @@time_zone, @@sql_mode, @@character_set_client, @@autocommit"))
        ).one()
        isolation = await connection.run_sync(lambda sync: sync.get_isolation_level())
    assert (row[0], row[2], row[3]) == ("+00:00", "utf8mb4", 0)
    assert "STRICT_ALL_TABLES" in row[1]
    assert isolation == "REPEATABLE READ"


@pytest.mark.parametrize("number", [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.123456789])
async def test_a_double_comes_back_as_it_was(engine: AsyncEngine, number: float) -> None:
    async with write_transaction(engine) as connection:
        await connection.execute(text("CREATE TEMPORARY TABLE t (x DOUBLE)"))
        await connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": number})
        assert (await connection.scalar(text("SELECT x FROM t"))).hex() == number.hex()


async def test_a_reader_sees_one_state_and_a_writer_what_is_committed(engine: AsyncEngine, other: AsyncEngine) -> None:
    async with read_transaction(engine) as reader, write_transaction(engine) as writer:
        assert (await newest_version(reader, USERS), await newest_version(writer, USERS)) == (0, 0)
        async with change_in_turn(other, USERS) as connection:
            await next_version(connection, USERS)
        assert (await newest_version(reader, USERS), await newest_version(writer, USERS)) == (0, 1)


async def test_a_connection_that_was_closed_while_it_rested_is_not_noticed(
    engine: AsyncEngine, other: AsyncEngine
) -> None:
    for _ in range(2):
        async with read_transaction(engine) as connection:
            number = await connection_id(connection)
        await kill(other, number)
        async with read_transaction(engine) as connection:
            assert await newest_version(connection, USERS) == 0
    async with read_transaction(engine) as connection:
        number = await connection_id(connection)
    await kill(other, number)
    async with change_in_turn(engine, USERS) as connection:
        assert await next_version(connection, USERS) == 1
    assert (await database_check(engine)()).status == "UP"


async def test_a_read_whose_connection_is_closed_under_it_is_run_again(engine: AsyncEngine, other: AsyncEngine) -> None:
    runs = 0

    @whole_transaction
    async def read() -> int:
        nonlocal runs
        runs += 1
        async with read_transaction(engine) as connection:
            await connection.execute(text(f"SELECT SLEEP({30 if runs == 1 else 0})"))
            return await newest_version(connection, USERS)

    task = asyncio.create_task(read())
    await kill(other, await running(other, "SELECT SLEEP"))
    assert await task == 0
    assert runs == 2


async def test_a_change_whose_connection_is_closed_under_it_leaves_nothing(
    engine: AsyncEngine, other: AsyncEngine
) -> None:
    async def change() -> None:
        async with change_in_turn(engine, USERS) as connection:
            await next_version(connection, USERS)
            await kill(other, await connection_id(connection))
            await next_version(connection, USERS)

    with pytest.raises(TransactionUndone, match="lost"):
        await change()
    async with change_in_turn(engine, USERS) as connection:
        assert await next_version(connection, USERS) == 1


async def test_a_connection_lost_at_the_commit_does_not_count_as_undone(
    engine: AsyncEngine, other: AsyncEngine
) -> None:
    async def change() -> None:
        async with change_in_turn(engine, USERS) as connection:
            await kill(other, await connection_id(connection))

    with pytest.raises(TemporarilyUnavailable, match="lost") as caught:
        await change()
    assert not isinstance(caught.value, TransactionUndone)


async def test_two_that_wait_for_each_other_both_come_through(engine: AsyncEngine, other: AsyncEngine) -> None:
    both_hold_one = asyncio.Barrier(2)
    runs = 0

    def counts(on: AsyncEngine, *columns: object) -> asyncio.Task[None]:
        first_time = True

        @whole_transaction
        async def count() -> None:
            nonlocal first_time, runs
            runs += 1
            async with write_transaction(on) as connection:
                for column in columns:
                    await connection.execute(update(column.table).values(version=column + 1))  # type: ignore[attr-defined]  # a column
                    if first_time:
                        first_time = False
                        await both_hold_one.wait()

        return asyncio.create_task(count())

    await asyncio.gather(counts(engine, USER, DEVICE), counts(other, DEVICE, USER))
    assert runs == 3
    async with read_transaction(engine) as connection:
        assert [await newest_version(connection, counter) for counter in (USERS, DEVICES)] == [2, 2]


async def test_a_turn_that_does_not_come_in_time_is_waited_for_again(engine: AsyncEngine, other: AsyncEngine) -> None:
    timed_out = asyncio.Event()
    event.listen(engine.sync_engine, "handle_error", lambda _: timed_out.set())

    async def change() -> int:
        async with change_in_turn(engine, USERS) as connection:
            return await next_version(connection, USERS)

    async with change_in_turn(other, USERS) as connection:
        await next_version(connection, USERS)
        task = asyncio.create_task(change())
        await timed_out.wait()
    assert await task == 2


async def test_a_row_that_stays_locked_is_a_503(engine: AsyncEngine, other: AsyncEngine) -> None:
    async def change() -> None:
        async with write_transaction(engine) as connection:
            await connection.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
            await next_version(connection, USERS)

    async with change_in_turn(other, USERS):
        with pytest.raises(TransactionUndone, match="in the way"):
            await change()


async def test_a_cancelled_query_s_connection_is_not_used_again(engine: AsyncEngine, other: AsyncEngine) -> None:
    async def ask(number: int) -> int:
        async with read_transaction(engine) as connection:
            return int(await connection.scalar(text(f"SELECT {number} + SLEEP({30 if number == 0 else 0})")))

    for _ in range(3):
        task = asyncio.create_task(ask(0))
        await running(other, "SELECT 0 + SLEEP")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.gather(*(ask(number) for number in range(1, 9))) == list(range(1, 9))
        await kill(other, await running(other, "SELECT 0 + SLEEP"))


async def test_a_cancelled_change_is_undone(engine: AsyncEngine, other: AsyncEngine) -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        async with change_in_turn(engine, USERS) as connection:
            await next_version(connection, USERS)
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with change_in_turn(other, USERS) as connection:
        assert await next_version(connection, USERS) == 1


async def test_more_at_once_than_there_are_connections_follow_each_other(engine: AsyncEngine) -> None:
    async def count() -> int:
        async with change_in_turn(engine, USERS) as connection:
            return await next_version(connection, USERS)

    assert sorted(await asyncio.gather(*(count() for _ in range(40)))) == list(range(1, 41))


async def test_a_mistake_in_a_statement_is_not_called_unavailable(engine: AsyncEngine) -> None:
    for mistake in ("SELECT * FROM elsewhere", "SELECT missing FROM user", "SELEC 1"):
        with pytest.raises(Exception, match=r"elsewhere|missing|syntax") as caught:
            async with read_transaction(engine) as connection:
                await connection.execute(text(mistake))
        assert not isinstance(caught.value, TemporarilyUnavailable)


@pytest.mark.parametrize("server", ON_SERVERS)
@pytest.mark.parametrize(("name", "database"), [("energy", "energy_is_not_there"), ("energy", "mysql"), ("eve", None)])
async def test_a_refused_login_or_database_is_said_without_the_password(
    server: str, name: str, database: str | None
) -> None:
    url = server_url(server)
    engine = create_engine(url.set(username=name, database=database or url.database))
    try:
        with pytest.raises(DatabaseRefuses) as caught:
            await database_check(engine)()
    finally:
        await engine.dispose()
    assert (database or name) in caught.value.detail
    assert str(url.password) not in caught.value.detail


@pytest.mark.servers(SERVERS["mysql"])
async def test_tls_is_used_where_the_url_asks_for_it_and_an_unknown_authority_is_refused() -> None:
    url = server_url("mysql")
    engine = create_engine(url.set(query={"ssl_mode": "REQUIRED"}))
    try:
        async with read_transaction(engine) as connection:
            assert (await connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'"))).one()[1]
    finally:
        await engine.dispose()
    engine = create_engine(url.set(query={"ssl_mode": "VERIFY_CA"}))
    try:
        with pytest.raises(DatabaseRefuses, match="TLS"):
            await database_check(engine)()
    finally:
        await engine.dispose()


async def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql, "CONNECT_TIMEOUT_S", 0.05)

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    engine = create_engine(mysql_url(f"mysql://127.0.0.1:{port}/db", username="u", password="p"))
    try:
        with pytest.raises(TemporarilyUnavailable, match="does not answer"):
            async with read_transaction(engine):
                pass
    finally:
        gone.set()
        await engine.dispose()
        server.close()
        await server.wait_closed()
    with pytest.raises(TemporarilyUnavailable, match="does not answer"):  # now nothing listens there
        await repeated(database_check(engine))()
    await engine.dispose()


async def test_a_statement_that_takes_too_long_is_given_up(engine: AsyncEngine, other: AsyncEngine) -> None:
    hasty = create_engine(engine.url, statement_timeout_s=0.1)
    try:
        with pytest.raises(TransactionUndone, match="lost"):
            async with read_transaction(hasty) as connection:
                await connection.execute(text("SELECT SLEEP(30)"))
    finally:
        await hasty.dispose()
    await kill(other, await running(other, "SELECT SLEEP"))


def test_the_limits_leave_time_for_each_other() -> None:
    assert mysql.LOCK_WAIT_S < sql.BUSY_TIMEOUT_S < sql.STATEMENT_TIMEOUT_S
