import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.relational import engine_of, relational_engine

from energy_tracker.kit.problems import StorageFull, TemporarilyUnavailable
from energy_tracker.storage import sql
from energy_tracker.storage.sql import database_check, read_transaction, write_transaction
from energy_tracker.storage.sql_problems import DatabaseDamaged


async def test_sqlite_is_set_to_survive_a_power_cut(tmp_path: Path) -> None:
    async with relational_engine(tmp_path) as engine, read_transaction(engine) as connection:
        settings = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert settings == ["delete", 2, 1]


async def test_a_block_that_raises_leaves_nothing(tmp_path: Path) -> None:
    async with relational_engine(tmp_path) as engine:

        async def fail() -> None:
            async with write_transaction(engine) as connection:
                await connection.execute(text("UPDATE user_counter SET version = 7"))
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        async with read_transaction(engine) as connection:
            assert await connection.scalar(text("SELECT version FROM user_counter")) == 0


async def test_transactions_follow_each_other_on_the_one_connection(tmp_path: Path) -> None:
    async with relational_engine(tmp_path) as engine:

        async def count_up() -> None:
            async with write_transaction(engine) as connection:
                version = await connection.scalar(text("SELECT version FROM user_counter"))
                await asyncio.sleep(0)
                await connection.execute(text("UPDATE user_counter SET version = :new"), {"new": version + 1})

        await asyncio.gather(*(count_up() for _ in range(20)))
        async with read_transaction(engine) as connection:
            assert await connection.scalar(text("SELECT version FROM user_counter")) == 20


async def test_a_cancelled_transaction_is_undone_and_the_connection_goes_on(tmp_path: Path) -> None:
    async with relational_engine(tmp_path) as engine:
        begun = asyncio.Event()

        async def hang() -> None:
            async with write_transaction(engine) as connection:
                await connection.execute(text("UPDATE user_counter SET version = 7"))
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hang())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with read_transaction(engine) as connection:
            assert await connection.scalar(text("SELECT version FROM user_counter")) == 0


async def test_a_database_locked_by_another_process_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "BUSY_TIMEOUT_S", 0.01)
    async with relational_engine(tmp_path) as engine:
        other = sqlite3.connect(tmp_path / "relational.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        try:
            with pytest.raises(TemporarilyUnavailable, match="locked"):
                async with write_transaction(engine):
                    pass
        finally:
            other.close()
        async with write_transaction(engine):
            pass


async def test_on_a_full_disk_reads_go_on_and_writes_say_so_until_there_is_room(tmp_path: Path) -> None:
    async with relational_engine(tmp_path) as engine:
        async with read_transaction(engine) as connection:
            pages = await connection.scalar(text("PRAGMA page_count"))
            await connection.execute(text(f"PRAGMA max_page_count = {pages}"))

        async def write() -> None:
            async with write_transaction(engine) as connection:
                await connection.execute(text("CREATE TABLE t (x)"))
                await connection.execute(text("INSERT INTO t VALUES (zeroblob(100000))"))

        with pytest.raises(StorageFull):
            await write()
        async with read_transaction(engine) as connection:
            assert await connection.scalar(text("SELECT version FROM user_counter")) == 0
            await connection.execute(text("PRAGMA max_page_count = 100000"))
        await write()


async def test_a_file_that_is_no_database_is_reported_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "relational.db"
    path.write_bytes(b"not a database " * 1000)
    async with engine_of(path) as engine:
        with pytest.raises(DatabaseDamaged):
            async with read_transaction(engine):
                pass
    assert path.read_bytes() == b"not a database " * 1000


async def test_a_folder_that_is_not_there_is_unavailable_and_the_health_check_says_so(tmp_path: Path) -> None:
    async with engine_of(tmp_path / "missing" / "relational.db") as engine:
        with pytest.raises(TemporarilyUnavailable):
            await database_check(engine)()


async def test_a_mistake_in_a_statement_is_not_called_unavailable(tmp_path: Path) -> None:
    async with relational_engine(tmp_path) as engine:
        with pytest.raises(Exception, match="no such table") as caught:
            async with read_transaction(engine) as connection:
                await connection.execute(text("SELECT * FROM elsewhere"))
        assert not isinstance(caught.value, TemporarilyUnavailable)


def test_the_embedded_mode_does_not_carry_the_drivers_of_servers() -> None:
    code = (
        "import sys; from energy_tracker.storage.sql import create_engine; create_engine('sqlite+aiosqlite://');"
        "sys.exit(any(name in sys.modules for name in ('asyncmy', 'sqlalchemy.dialects.mysql')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
