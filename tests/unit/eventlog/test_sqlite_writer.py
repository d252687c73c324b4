"""The one writer of a file: groups, failures, and what a killed process leaves."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import apsw
import pytest

from energy_tracker.kit.problems import StorageFull
from energy_tracker.storage.sqlite_files import DatabaseUnreadable
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter, TooManyWaiting, WriterStopped


def make_table(connection: apsw.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER)")


def insert(connection: apsw.Connection, numbers: Sequence[int]) -> Sequence[int]:
    for number in numbers:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        if number < 0:
            message = f"{number} is bad"
            raise ValueError(message)
    return [len(numbers)] * len(numbers)


def double(_: apsw.Connection, numbers: Sequence[int]) -> Sequence[int]:
    return [2 * number for number in numbers]


async def stored(path: Path) -> list[int]:
    readers = SqliteReaders(path)
    try:
        return await readers.run(lambda c: [int(str(n)) for (n,) in c.execute("SELECT n FROM t ORDER BY rowid")])
    finally:
        await readers.close()


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[SqliteWriter]:
    writer = await SqliteWriter.open(tmp_path / "x.db", prepare=make_table, waiting_limit=100)
    yield writer
    await writer.close()


async def blocked(writer: SqliteWriter) -> Callable[[], None]:
    """Keep the thread busy, so that jobs pile up; return what lets it go on."""
    busy, gate = threading.Event(), threading.Event()

    def wait(_: apsw.Connection, jobs: Sequence[None]) -> Sequence[None]:
        busy.set()
        gate.wait(5)
        return list(jobs)

    writer.submit(wait, None, weight=0)
    assert await asyncio.to_thread(busy.wait, 5)
    return gate.set


async def pile_up(writer: SqliteWriter, numbers: Sequence[int]) -> list[object]:
    go_on = await blocked(writer)
    futures = [writer.submit(insert, number) for number in numbers] + [writer.submit(double, 4)]
    go_on()
    return await asyncio.gather(*futures, return_exceptions=True)


async def test_jobs_that_wait_together_share_a_transaction(writer: SqliteWriter) -> None:
    commits = writer.commits
    assert await pile_up(writer, [1, 2, 3]) == [3, 3, 3, 8]
    assert writer.commits == commits + 2
    assert await stored(writer.path) == [1, 2, 3]
    assert writer.waiting == 0


async def test_a_bad_job_fails_alone(writer: SqliteWriter) -> None:
    outcomes = await pile_up(writer, [1, -1, 3])
    assert [outcomes[0], outcomes[2], outcomes[3]] == [1, 1, 8]
    assert isinstance(outcomes[1], ValueError)
    assert await stored(writer.path) == [1, 3]
    with pytest.raises(ValueError, match="-2 is bad"):
        await writer.run(insert, -2)
    assert await writer.run(insert, 5) == 1


async def test_effects_follow_the_commit_and_only_it(writer: SqliteWriter) -> None:
    seen: list[int] = []

    def noting(connection: apsw.Connection, numbers: Sequence[int]) -> Sequence[int]:
        writer.after_commit(lambda: seen.extend(numbers))
        return insert(connection, numbers)

    await writer.run(noting, 1)
    with pytest.raises(ValueError, match="bad"):
        await writer.run(noting, -1)
    assert seen == [1]


async def test_too_much_that_waits_is_refused(writer: SqliteWriter) -> None:
    go_on = await blocked(writer)
    futures = [writer.submit(insert, number) for number in range(100)]
    with pytest.raises(TooManyWaiting) as refused:
        writer.submit(insert, 100)
    assert refused.value.headers == {"Retry-After": "1"}
    go_on()
    await asyncio.gather(*futures)
    await writer.run(insert, 100)


async def test_a_full_disk_fails_the_job_and_then_mends_itself(writer: SqliteWriter) -> None:
    def fill(_: apsw.Connection, __: Sequence[object]) -> Sequence[object]:
        raise apsw.FullError("database or disk is full")

    with pytest.raises(StorageFull):
        await writer.run(fill, None)
    assert (await writer.health()).status == "DOWN"
    await writer.run(insert, 1)
    assert (await writer.health()).status == "UP"


async def test_an_io_error_stops_the_writer_for_good(writer: SqliteWriter) -> None:
    def break_down(connection: apsw.Connection, _: Sequence[object]) -> Sequence[object]:
        connection.execute("INSERT INTO t VALUES (1)")
        raise apsw.IOError("disk I/O error")

    jobs = [writer.submit(break_down, None), writer.submit(insert, 2)]
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    assert isinstance(outcomes[0], WriterStopped)
    with pytest.raises(WriterStopped):
        await writer.run(insert, 3)
    assert (await writer.health()).status == "DOWN"
    assert 3 not in await stored(writer.path)


async def test_what_waits_behind_an_io_error_is_not_written(writer: SqliteWriter) -> None:
    busy, queued = threading.Event(), threading.Event()

    def break_down(_: apsw.Connection, __: Sequence[object]) -> Sequence[object]:
        busy.set()
        queued.wait(5)
        raise apsw.IOError("disk I/O error")

    first = writer.submit(break_down, None)
    assert await asyncio.to_thread(busy.wait, 5)
    second = writer.submit(insert, 2)
    queued.set()
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [WriterStopped, WriterStopped]
    assert await stored(writer.path) == []


async def test_lazy_jobs_ride_along_and_are_there_after_closing(writer: SqliteWriter) -> None:
    lazy = writer.submit_lazily(insert, 1)
    await writer.run(insert, 2)
    assert not lazy.done()
    await writer.close()
    assert await lazy == 1
    assert await stored(writer.path) == [2, 1]
    with pytest.raises(WriterStopped):
        await writer.run(insert, 3)


@pytest.mark.parametrize("damage", [b"this is not a database, it only has its name" * 100, None])
async def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "x.db"
    if damage is None:
        path.mkdir()
    else:
        path.write_bytes(damage)
    with pytest.raises(DatabaseUnreadable, match=r"x\.db"):
        await SqliteWriter.open(path, prepare=make_table)
    assert damage is None or path.read_bytes() == damage


async def test_a_cancelled_query_is_interrupted(writer: SqliteWriter) -> None:
    readers = SqliteReaders(writer.path, size=1)
    forever = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
    begun = threading.Event()

    def run_for_ever(connection: apsw.Connection) -> object:
        begun.set()
        return connection.execute(forever).get

    running = asyncio.create_task(readers.run(run_for_ever))
    assert await asyncio.to_thread(begun.wait, 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await readers.run(lambda connection: connection.execute("SELECT 1").get) == 1
    await readers.close()


CRASHING = """
import asyncio, os, sys
from pathlib import Path
from energy_tracker.storage.sqlite_writer import SqliteWriter

def prepare(connection):
    connection.execute("CREATE TABLE t (n INTEGER)")

def insert(connection, numbers):
    for number in numbers:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    return numbers

async def client(writer, start):
    for number in range(start, start + 1_000_000):
        await writer.run(insert, number)
        os.write(1, b"%d\\n" % number)

async def main():
    writer = await SqliteWriter.open(Path(sys.argv[1]), prepare=prepare)
    await asyncio.gather(*(client(writer, start * 1_000_000) for start in range(8)))

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
        [sys.executable, "-c", textwrap.dedent(CRASHING), str(path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(300)]
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=5)
    acknowledged += [int(line) for line in rest.split(b"\n")[:-1]]
    writer = await SqliteWriter.open(path, prepare=lambda _: None)
    numbers = await stored(path)
    await writer.close()
    assert set(acknowledged) <= set(numbers)
    assert len(set(numbers)) == len(numbers)
