"""Read-only connections to a database file, for queries beside its writer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.storage.sqlite_files import open_for_reading, unreadable

R = TypeVar("R")

_INTERRUPT_AGAIN_S = 0.01


class SqliteReaders:
    """A few read-only connections, each used by one query at a time, in threads of their own.

    Every row that SQLite hands over costs two passes of the GIL (see `sqlite_writer`): beside a busy event loop a query
    should return few, such as one row that packs many with `json_group_array`.
    """

    def __init__(self, path: Path, *, size: int = 2) -> None:
        self.path = path
        self._idle: asyncio.LifoQueue[apsw.Connection | None] = asyncio.LifoQueue()
        for _ in range(size):
            self._idle.put_nowait(None)
        self._size = size
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=f"reader of {path.name}")

    async def run(self, query: Callable[[apsw.Connection], R]) -> R:
        """Run a query in a thread; one statement sees one snapshot. Cancelling interrupts it.

        Raises `DatabaseUnreadable` where the file is damaged, `TemporarilyUnavailable` on other failures of SQLite.
        """
        connection = await self._idle.get()
        try:
            if connection is None:
                connection = await asyncio.to_thread(open_for_reading, self.path)
            return await self._run_interruptibly(connection, query)
        except (apsw.CorruptError, apsw.NotADBError, apsw.IOError) as error:
            raise unreadable(self.path, error) from error
        except apsw.Error as error:
            message = f"{self.path.name} could not be read: {error}"
            raise TemporarilyUnavailable(message) from error
        finally:
            self._idle.put_nowait(connection)

    async def _run_interruptibly(self, connection: apsw.Connection, query: Callable[[apsw.Connection], R]) -> R:
        running = asyncio.get_running_loop().run_in_executor(self._threads, query, connection)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():  # an interrupt that comes before a statement has begun is lost
                connection.interrupt()
                await asyncio.wait([running], timeout=_INTERRUPT_AGAIN_S)
            if not running.cancelled():
                running.exception()
            raise

    async def close(self) -> None:
        """Wait for the queries under way and close the connections."""
        for _ in range(self._size):
            connection = await self._idle.get()
            if connection is not None:
                connection.close()
        self._threads.shutdown()
