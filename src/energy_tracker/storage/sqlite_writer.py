"""One writer thread per SQLite file, with group commit: everything that waits goes into one transaction, one fsync.

Why handlers get whole groups of jobs: `apsw` gives up the GIL around every step of a statement and, beside a busy
event loop, waits up to a switch interval (5 ms) to get it back. Ten thousand steps are then fifty seconds. A handler
should run a fixed number of statements for its whole group (`json_each(?)`, `carray(?)`, one row that packs the batch).
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import apsw

from energy_tracker.kit.health import PartHealth
from energy_tracker.kit.problems import Overloaded, StorageFull, TemporarilyUnavailable
from energy_tracker.storage.sqlite_files import open_for_writing, unreadable

log = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")
Handler = Callable[[apsw.Connection, Sequence[P]], Sequence[R]]
"""Runs inside the writer's transaction, in its thread; one result per payload, in order. It never begins or commits."""

DEFAULT_WAITING_LIMIT = 100_000
_LAZY_DELAY_S = 0.5


class WriterStopped(TemporarilyUnavailable):
    """The file takes no more writes until the process starts again: an I/O error came up, or it was closed."""

    title = "The data file takes no writes"


class TooManyWaiting(Overloaded):
    """More waits for the disk than fits in memory."""

    title = "Too many writes are waiting"


@dataclass(slots=True)
class _Job:
    handler: Handler[Any, Any]
    payload: Any
    weight: int
    future: asyncio.Future[Any]
    outcome: Any = None
    error: BaseException | None = None


class SqliteWriter:
    """The only writer of one database file, made by `open`. All methods but `after_commit` belong to the event loop."""

    def __init__(self, path: Path, connection: apsw.Connection, *, waiting_limit: int = DEFAULT_WAITING_LIMIT) -> None:
        self.path = path
        self.commits = 0
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lazy: list[_Job] = []
        self._lazy_timer: asyncio.TimerHandle | None = None
        self._waiting = 0
        self._waiting_limit = waiting_limit
        self._stop_reason: str | None = None
        self._full = False
        self._broken = False
        self._effects: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name=f"writer of {path.name}", daemon=True)
        self._thread.start()

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        prepare: Callable[[apsw.Connection], None],
        waiting_limit: int = DEFAULT_WAITING_LIMIT,
    ) -> "SqliteWriter":
        """Open or create the file, run `prepare` (the schema) in one transaction, start the thread.

        `waiting_limit` bounds the summed weight of the jobs that wait. Raises `DatabaseUnreadable`.
        """
        connection = await asyncio.to_thread(_open_prepared, path, prepare)
        return cls(path, connection, waiting_limit=waiting_limit)

    def submit(self, handler: Handler[P, R], payload: P, *, weight: int = 1) -> "asyncio.Future[R]":
        """Queue a job; the future is resolved after the COMMIT that makes it durable.

        Jobs of the same handler that wait together are handed over together, in order. When a handler raises, nothing
        of its group is kept and each of its jobs is tried again alone, so that a bad job fails alone.

        The future raises what the handler raises, or `StorageFull` (the disk is full; the next job tries again), or
        `WriterStopped`. Raises `TooManyWaiting` and `WriterStopped` at once.
        """
        if self._stop_reason is not None:
            raise WriterStopped(self._stop_reason)
        if self._waiting and self._waiting + weight > self._waiting_limit:
            raise TooManyWaiting("Too much waits for the disk; try again in a moment.", headers={"Retry-After": "1"})
        self._waiting += weight
        job = _Job(handler, payload, weight, self._loop.create_future())
        self._queue.put(job)
        return job.future

    async def run(self, handler: Handler[P, R], payload: P, *, weight: int = 1) -> R:
        """Queue a job and wait until it is durable; see `submit`. A cancelled wait does not undo the job."""
        return await self.submit(handler, payload, weight=weight)

    def submit_lazily(self, handler: Handler[P, R], payload: P) -> "asyncio.Future[R]":
        """Queue a job that may wait for company: it rides in the next transaction, or alone after half a second."""
        if self._stop_reason is not None:
            raise WriterStopped(self._stop_reason)
        job = _Job(handler, payload, 0, self._loop.create_future())
        self._lazy.append(job)
        if self._lazy_timer is None:
            self._lazy_timer = self._loop.call_later(_LAZY_DELAY_S, self._release_lazy)
        return job.future

    def after_commit(self, effect: Callable[[], None]) -> None:
        """Run `effect` in the writer's thread once the transaction has committed, and only then; for handlers to call.

        A handler is called at most once in a transaction, so state that only effects change is never seen half done.
        """
        self._effects.append(effect)

    @property
    def waiting(self) -> int:
        """Summed weight of the jobs that wait for their COMMIT."""
        return self._waiting

    async def health(self) -> PartHealth:
        """Report DOWN once an I/O error has stopped the writer, and while the disk is full."""
        if self._stop_reason is not None:
            return PartHealth("DOWN", {"error": self._stop_reason})
        if self._full:
            return PartHealth("DOWN", {"error": f"The disk of {self.path} is full."})
        return PartHealth("UP", {"waiting": self._waiting})

    async def close(self) -> None:
        """Finish what waits, move the write-ahead log into the file, and close it. More calls do nothing."""
        if self._thread.is_alive():
            self._release_lazy()
            if self._stop_reason is None:
                self._stop_reason = f"{self.path.name} is closed."
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            await asyncio.sleep(0)

    def _release_lazy(self) -> None:
        if self._lazy_timer is not None:
            self._lazy_timer.cancel()
            self._lazy_timer = None
        jobs, self._lazy = self._lazy, []
        for job in jobs:
            self._queue.put(job)

    def _run(self) -> None:
        closing = False
        while not closing:
            taken = [self._queue.get()]
            while not self._queue.empty():
                taken.append(self._queue.get_nowait())
            jobs = [job for job in taken if job is not None]
            closing = len(jobs) < len(taken)
            if jobs:
                try:
                    self._transact(jobs)
                except Exception as error:  # the outermost loop of the writer: those who wait must hear of it
                    log.exception("the writer of %s failed", self.path)
                    self._stop(jobs, error)
                self._loop.call_soon_threadsafe(self._resolve, jobs)
        try:
            self._connection.close()
        except apsw.Error:
            log.exception("closing %s failed; the write-ahead log is kept and read at the next start", self.path)

    def _transact(self, jobs: list[_Job]) -> None:
        """Carry out jobs and fill in their outcomes; those of a handler that failed are tried again, each alone."""
        if self._broken:
            for job in jobs:
                job.error = WriterStopped(self._stop_reason or "An earlier write failed.")
            return
        try:
            failed = self._commit(jobs)
        except apsw.FullError:
            self._full = True
            full = f"The disk of {self.path.name} is full; make room and send this again."
            for job in jobs:
                job.error = StorageFull(full, headers={"Retry-After": "30"})
            self._roll_back()
        except (apsw.IOError, apsw.CorruptError, apsw.NotADBError) as error:
            self._stop(jobs, error)
        except apsw.Error as error:
            self._roll_back()
            for job in jobs:
                job.error = TemporarilyUnavailable(f"{self.path.name} could not be written: {error}")
            log.exception("a transaction on %s failed", self.path)
        else:
            self._full = False
            for job in failed:
                job.error = None
                self._transact([job])

    def _commit(self, jobs: list[_Job]) -> list[_Job]:
        """Run one transaction; return the jobs to try again alone, of which nothing is in it."""
        groups: dict[Handler[Any, Any], list[_Job]] = {}
        for job in jobs:
            groups.setdefault(job.handler, []).append(job)
        self._effects = []
        self._connection.execute("BEGIN IMMEDIATE")
        again: list[_Job] = []
        for handler, group in groups.items():
            if not self._carry_out(handler, group, alone=len(groups) == 1):
                again.extend(group if len(group) > 1 else ())
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")
            self.commits += 1
        for effect in self._effects:
            effect()
        return again

    def _carry_out(self, handler: Handler[Any, Any], group: list[_Job], *, alone: bool) -> bool:
        """Hand a group to its handler; where that raises, undo what it did and return False."""
        kept = len(self._effects)
        if not alone:
            self._connection.execute("SAVEPOINT handler")
        try:
            for job, outcome in zip(group, handler(self._connection, [job.payload for job in group]), strict=True):
                job.outcome = outcome
        except (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.NotADBError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the answer to its own jobs
            del self._effects[kept:]
            for job in group:
                job.error = error
            self._connection.execute("ROLLBACK" if alone else "ROLLBACK TO handler")
            return False
        finally:
            if not alone and self._connection.in_transaction:
                self._connection.execute("RELEASE handler")
        return True

    def _stop(self, jobs: list[_Job], error: Exception) -> None:
        """Take no more writes: after a failed fsync nobody knows what the disk holds; trying again would hide it."""
        self._broken = True
        self._stop_reason = f"Writing {self.path} failed ({error}). Check the disk, then start the service again."
        log.critical("%s", self._stop_reason)
        self._roll_back()
        for job in jobs:
            job.error = WriterStopped(self._stop_reason)

    def _roll_back(self) -> None:
        self._effects = []
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error:
            log.exception("rolling back on %s failed", self.path)

    def _resolve(self, jobs: list[_Job]) -> None:
        for job in jobs:
            self._waiting -= job.weight
            future = job.future
            if future.done():
                continue
            if job.error is None:
                future.set_result(job.outcome)
            else:
                future.set_exception(job.error)


def _open_prepared(path: Path, prepare: Callable[[apsw.Connection], None]) -> apsw.Connection:
    connection = open_for_writing(path)
    try:
        connection.execute("BEGIN IMMEDIATE")
        prepare(connection)
        connection.execute("COMMIT")
    except (apsw.NotADBError, apsw.CorruptError, apsw.IOError) as error:
        connection.close()
        raise unreadable(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection
