"""The files of a data folder beside `relational.db`: the readings, and the log with what its door remembers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apsw

from energy_tracker.eventlog.sqlite_schema import prepare_log
from energy_tracker.services.ingestion.adapters.sqlite_schema import prepare_door
from energy_tracker.services.usage.adapters.sqlite_lookups import SqliteKnownReadings
from energy_tracker.services.usage.adapters.sqlite_schema import prepare as prepare_readings
from energy_tracker.storage.sqlite_files import open_for_reading
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import DEFAULT_WAITING_LIMIT, SqliteWriter


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """The open files: of each, its only writer and its readers; `known` looks readings up for the door."""

    writer: SqliteWriter
    readers: SqliteReaders
    log_writer: SqliteWriter
    log_readers: SqliteReaders
    known: SqliteKnownReadings


@asynccontextmanager
async def folder_files(home: Path, *, waiting_limit: int = DEFAULT_WAITING_LIMIT) -> AsyncIterator[FolderFiles]:
    """Open the files of a folder whose lock the caller holds; those that are missing are made.

    `waiting_limit` bounds the readings that wait for either writer. Raises `DatabaseUnreadable`.
    """
    async with AsyncExitStack() as stack:
        writer, readers = await _open(stack, home / "readings.db", prepare_readings, waiting_limit)
        log_writer, log_readers = await _open(stack, home / "log.db", _prepare_log, waiting_limit)
        known = SqliteKnownReadings(partial(open_for_reading, home / "readings.db"))
        stack.callback(known.close)
        yield FolderFiles(writer, readers, log_writer, log_readers, known)


async def _open(
    stack: AsyncExitStack, path: Path, prepare: Callable[[apsw.Connection], None], waiting_limit: int
) -> tuple[SqliteWriter, SqliteReaders]:
    writer = await SqliteWriter.open(path, prepare=prepare, waiting_limit=waiting_limit)
    stack.push_async_callback(writer.close)
    readers = SqliteReaders(path)
    stack.push_async_callback(readers.close)
    return writer, readers


def _prepare_log(connection: apsw.Connection) -> None:
    prepare_log(connection)
    prepare_door(connection)
