"""The files of `apsw` in memory and without threads: every transaction happens in the event loop, in a fixed order.

What is committed stays in the `Disk` when the process is gone; what waits is lost with it. Calls are settled one
turn of the event loop after they were made, together with all that were made meanwhile: the group commit.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import apsw
from tests.support.faults import Fate

R = TypeVar("R")
Handler = Callable[[apsw.Connection, Sequence[Any]], Sequence[Any]]


class Disk:
    """One database file that outlives processes."""

    def __init__(self, prepare: Callable[[apsw.Connection], None]) -> None:
        self.connection = apsw.Connection(":memory:")
        with self.connection:
            prepare(self.connection)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Look at what is on the disk."""
        return self.connection.execute(sql).fetchall()


@dataclass
class InlineWriter:
    """Does what `SqliteWriter` does, for one process; its transactions are calls at which the process may end."""

    disk: Disk
    fate: Fate
    waiting: int = 0
    _jobs: list[tuple[Handler, Any, asyncio.Future[Any]]] = field(default_factory=list)
    _lazy: list[tuple[Handler, Any, asyncio.Future[Any]]] = field(default_factory=list)
    _effects: list[Callable[[], None]] = field(default_factory=list)

    def submit(self, handler: Handler, payload: Any, *, weight: int = 1) -> asyncio.Future[Any]:
        """Queue a job for the transaction of the event loop's next turn."""
        del weight
        loop = asyncio.get_running_loop()
        if not self._jobs:
            loop.call_soon(self._transact)
        future = loop.create_future()
        self._jobs.append((handler, payload, future))
        return future

    async def run(self, handler: Handler, payload: Any, *, weight: int = 1) -> Any:
        """Queue a job and wait for it."""
        return await self.submit(handler, payload, weight=weight)

    def submit_lazily(self, handler: Handler, payload: Any) -> asyncio.Future[Any]:
        """Queue a job that rides in the next transaction; here nothing else brings it to the disk."""
        future = asyncio.get_running_loop().create_future()
        self._lazy.append((handler, payload, future))
        return future

    def write_lazily(self) -> None:
        """Do the lazy jobs, as the writer does after half a second."""
        lazy, self._lazy = self._lazy, []
        with self.disk.connection:
            for handler, payload, _ in lazy:
                handler(self.disk.connection, [payload])

    def after_commit(self, effect: Callable[[], None]) -> None:
        """Run `effect` after the COMMIT."""
        self._effects.append(effect)

    def _transact(self) -> None:
        """Carry out what waits, unless the process has ended."""
        jobs, self._jobs, lazy, self._lazy = self._jobs, [], self._lazy, []
        if self.fate.ended:
            return
        groups: dict[Handler, list[tuple[Any, asyncio.Future[Any]]]] = {}
        for handler, payload, future in (*lazy, *jobs):
            groups.setdefault(handler, []).append((payload, future))
        done: list[tuple[asyncio.Future[Any], Any]] = []
        self._effects = []
        try:
            with self.disk.connection:
                for handler, group in groups.items():
                    outcomes = handler(self.disk.connection, [payload for payload, _ in group])
                    done += [(future, outcome) for (_, future), outcome in zip(group, outcomes, strict=True)]
        except Exception as error:  # noqa: BLE001 - whoever waits hears of it
            for _, _, future in (*lazy, *jobs):
                if not future.done():
                    future.set_exception(error)
            return
        for effect in self._effects:
            effect()
        for future, outcome in done:
            if not future.done():
                future.set_result(outcome)


@dataclass
class InlineReaders:
    """Does what `SqliteReaders` does."""

    disk: Disk

    async def run(self, query: Callable[[apsw.Connection], R]) -> R:
        """Run a query; what waits for a transaction is not seen."""
        await asyncio.sleep(0)
        return query(self.disk.connection)
