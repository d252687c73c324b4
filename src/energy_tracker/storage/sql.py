"""The SQL engine that the repositories of user, device and alert-service share.

Repositories are written in portable SQLAlchemy Core; this module alone knows what SQLite needs. On SQLite there is one
connection with a rollback journal, so transactions follow each other, and a commit is on the disk when it returns.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    CursorResult,
    Integer,
    MetaData,
    String,
    Table,
    event,
    exc,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from energy_tracker.kit.health import Check, PartHealth
from energy_tracker.kit.problems import StorageFull, TemporarilyUnavailable

BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for another process's lock, or for the connection, before it answers 503."""

IDENTITY = BigInteger().with_variant(Integer(), "sqlite")
"""Type of a key that the database counts up: SQLite counts only columns of type INTEGER (64 bits there)."""

# secure_delete: what is erased is overwritten, not just left in a free page of the file.
_PRAGMAS = ("journal_mode=DELETE", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
_READ_ONLY = "energy_tracker_read_only"
_MYSQL_FULL = frozenset({1021, 1114})  # ER_DISK_FULL, ER_RECORD_FILE_FULL


class DatabaseDamaged(TemporarilyUnavailable):
    """The database file is not one, or is corrupt; it is left as it is."""

    title = "The database is damaged"


def exact_text(length: int) -> String:
    """Return the type of text that is compared by its characters, whatever the collation of the database."""
    return String(length).with_variant(String(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def create_engine(url: str) -> AsyncEngine:
    """Return the engine of a database such as `sqlite+aiosqlite:////data/relational.db`; nothing is opened yet.

    The caller disposes of it. On SQLite writing begins IMMEDIATE, so that it never fails half-way for a lock.
    """
    if make_url(url).get_backend_name() != "sqlite":
        return create_async_engine(url, pool_pre_ping=True, pool_recycle=1800, pool_timeout=BUSY_TIMEOUT_S)
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

    Raises `TemporarilyUnavailable` where the database cannot be reached and `DatabaseDamaged` where it cannot be read.
    """
    with database_problems():
        async with engine.execution_options(**{_READ_ONLY: True}).begin() as connection:
            yield connection


@asynccontextmanager
async def write_transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection whose changes are durable when the block ends, and undone when it raises.

    Raises what `read_transaction` does, and `StorageFull`. An `sqlalchemy.exc.IntegrityError` passes: the repository
    knows what it means.
    """
    with database_problems():
        async with engine.begin() as connection:
            yield connection


@contextmanager
def database_problems() -> Iterator[None]:
    """Turn the errors of a database that is down, locked, full or damaged into the problems that say so."""
    try:
        yield
    except exc.TimeoutError as error:
        raise TemporarilyUnavailable("The database is busy.") from error
    except exc.IntegrityError:
        raise
    except (exc.OperationalError, exc.InterfaceError, exc.DatabaseError) as error:
        raise _problem_of(error) from error


def _problem_of(error: exc.DBAPIError) -> Exception:
    code = getattr(error.orig, "sqlite_errorname", "")
    number = error.orig.args[0] if error.orig is not None and error.orig.args else None
    if code.startswith("SQLITE_FULL") or number in _MYSQL_FULL:
        return StorageFull("The disk that holds the database is full; make room, and it goes on by itself.")
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return DatabaseDamaged("The database file is damaged; run `energy-tracker doctor`.", retry_after_s=60)
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return TemporarilyUnavailable("The database is locked by another process.")
    if code.startswith("SQLITE_READONLY"):
        return TemporarilyUnavailable("The database file cannot be written to.")
    if isinstance(error, (exc.OperationalError, exc.InterfaceError)) and not code.startswith("SQLITE_ERROR"):
        return TemporarilyUnavailable("The database does not answer.")
    return error


def database_check(engine: AsyncEngine) -> Check:
    """Return the health check that asks the database for a row."""

    async def check() -> PartHealth:
        async with read_transaction(engine) as connection:
            await connection.execute(text("SELECT 1"))
        return PartHealth("UP", {"database": engine.dialect.name})

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
