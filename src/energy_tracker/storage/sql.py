"""The SQL engine that the repositories of user, device and alert-service share.

Repositories are written in portable SQLAlchemy Core; this module and those beside it know what each database needs. On
SQLite there is one connection with a rollback journal, so transactions follow each other, and a commit is on the disk
when it returns. On MySQL and MariaDB there is a pool; a transaction that reads sees one state of the database, and one
that writes sees what was committed by others before each of its statements, so that what it reads under a lock is new.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    CursorResult,
    Integer,
    MetaData,
    Table,
    event,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from energy_tracker.kit.health import Check, PartHealth
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.storage.sql_problems import database_problems
from energy_tracker.storage.whole_transactions import repeated

BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for another process's lock, or for a connection, before it answers 503."""

STATEMENT_TIMEOUT_S = 10.0
"""How long a statement may take on a server before its connection is given up."""

HEALTH_TIMEOUT_S = 5.0

IDENTITY = BigInteger().with_variant(Integer(), "sqlite")
"""Type of a key that the database counts up: SQLite counts only columns of type INTEGER (64 bits there)."""

# Of a server: six processes stay far below the 151 connections that MySQL and MariaDB allow unless told otherwise.
_POOL_SIZE = 5
_POOL_OVERFLOW = 5
_RECYCLE_S = 1800
# secure_delete: what is erased is overwritten, not just left in a free page of the file.
_PRAGMAS = ("journal_mode=DELETE", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
_READ_ONLY = "energy_tracker_read_only"


def create_engine(url: str | URL, *, statement_timeout_s: float = STATEMENT_TIMEOUT_S) -> AsyncEngine:
    """Return the engine of a database; nothing is opened yet, and the caller disposes of it.

    The URL is one such as `sqlite+aiosqlite:////data/relational.db`, or what `storage.mysql.mysql_url` returns.
    `statement_timeout_s` holds for servers.
    """
    url = make_url(url)
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    from energy_tracker.storage.mysql import DRIVER, connector, roll_back_if_open

    engine = create_async_engine(
        url.set(drivername=DRIVER),
        async_creator=connector(url, statement_timeout_s=statement_timeout_s),
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_OVERFLOW,
        pool_timeout=BUSY_TIMEOUT_S,
        pool_recycle=_RECYCLE_S,
        pool_pre_ping=True,  # the server may have been restarted since the connection was used last
        pool_use_lifo=True,
        pool_reset_on_return=None,
    )
    event.listen(engine.sync_engine, "reset", roll_back_if_open)
    event.listen(engine.sync_engine, "begin", _begin_mysql)
    return engine


def _begin_mysql(connection: Connection) -> None:
    if not connection.get_execution_options().get(_READ_ONLY, False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


def _sqlite_engine(url: URL) -> AsyncEngine:
    """Return an engine of one connection. Writing begins IMMEDIATE, so that it never fails half-way for a lock."""
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_S,
        connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_S},
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:
    try:
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except BaseException:
        connection.close()  # nobody else will: the pool has not seen it yet, and its thread would stay
        raise


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@asynccontextmanager
async def read_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection that sees one state of the database and writes nothing.

    Raises `TemporarilyUnavailable` where the database cannot be reached (`TransactionUndone` where the connection was
    lost) and `DatabaseDamaged` where it cannot be read.
    """
    with database_problems():
        async with engine.execution_options(**{_READ_ONLY: True}).begin() as connection:
            yield connection


@asynccontextmanager
async def write_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection whose changes are durable when the block ends, and undone when it raises.

    Raises what `read_transaction` does, and `StorageFull`. `TransactionUndone` is certain: where the connection was
    lost at the commit, which may have happened, it is `TemporarilyUnavailable`. An `sqlalchemy.exc.IntegrityError`
    passes: the repository knows what it means.
    """
    with database_problems() as attempt:
        async with engine.begin() as connection:
            yield connection
            attempt.committing = True


@asynccontextmanager
async def change_in_turn(engine: AsyncEngine, counter: Table) -> AsyncIterator[AsyncConnection]:
    """Give the connection of a write transaction that has the lock of a service's counter: no other can be under way.

    So its block need not fear deadlocks; waiting for the turn is repeated. Raises what `write_transaction` does.
    """

    @repeated
    async def begin() -> tuple[AsyncConnection, AsyncExitStack]:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(write_transaction(engine))
            await lock_versions(connection, counter)
            return connection, stack.pop_all()

    connection, stack = await begin()
    async with stack:
        yield connection


def database_check(engine: AsyncEngine) -> Check:
    """Return the health check that asks the database for a row."""

    @repeated
    async def ask() -> None:
        async with read_transaction(engine) as connection:
            await connection.execute(text("SELECT 1"))

    async def check() -> PartHealth:
        try:
            # SQLite limits its waiting itself, and its driver is not to be interrupted.
            async with asyncio.timeout(None if engine.dialect.name == "sqlite" else HEALTH_TIMEOUT_S):
                await ask()
        except TimeoutError:
            message = f"The database has not answered within {HEALTH_TIMEOUT_S:g} s."
            raise TemporarilyUnavailable(message) from None
        is_mariadb = getattr(engine.dialect, "is_mariadb", False)
        return PartHealth("UP", {"database": "mariadb" if is_mariadb else engine.dialect.name})

    return check


def version_counter(service: str, metadata: MetaData) -> Table:
    """Return the table of one row that counts the versions of a service's entries."""
    return Table(
        f"{service}_counter",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("version", BigInteger, nullable=False),
    )


async def lock_versions(connection: AsyncConnection, counter: Table) -> None:
    """Wait until no other transaction holds the counter: writers follow each other, and versions appear in order.

    It is to be the first statement of a write transaction. SQLite has locked the file by then, and needs no more.
    """
    await connection.execute(select(counter.c.version).with_for_update())


async def next_version(connection: AsyncConnection, counter: Table) -> int:
    """Count one up and return it; the transaction holds the lock of `lock_versions`."""
    await connection.execute(update(counter).values(version=counter.c.version + 1))
    return await newest_version(connection, counter)


async def newest_version(connection: AsyncConnection, counter: Table) -> int:
    """Return the newest version given."""
    return int((await connection.execute(select(counter.c.version))).scalar_one())


def inserted_id(result: CursorResult[Any]) -> int:
    """Return the id that the database gave to the one row inserted."""
    key = result.inserted_primary_key
    assert key is not None, "an INSERT of one row has a key"  # noqa: S101 - narrows what SQLAlchemy declares
    return int(key[0])
