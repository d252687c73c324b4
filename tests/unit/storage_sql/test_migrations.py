import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.support.relational import relational_engine, url_of

from energy_tracker.storage.migrations import MigrationFailed, migrate, schemas, services_behind
from energy_tracker.storage.releases import SchemaIsNewer
from energy_tracker.storage.sql import create_engine, write_transaction


async def test_two_processes_may_begin_at_once_and_a_second_start_has_nothing_to_do(tmp_path: Path) -> None:
    first, second = (create_engine(url_of(tmp_path / "relational.db")) for _ in range(2))
    try:
        assert await services_behind(first) == tuple(schema.service for schema in schemas())
        await asyncio.gather(migrate(first), migrate(second))
        assert await migrate(first) == ()
        async with write_transaction(second) as connection:
            assert await connection.scalar(text("SELECT version FROM user_counter")) == 0
    finally:
        await first.dispose()
        await second.dispose()


async def test_a_database_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    async with relational_engine(tmp_path) as engine:
        async with write_transaction(engine) as connection:
            await connection.execute(text("UPDATE user_version SET version_num = '9999'"))
        with pytest.raises(SchemaIsNewer, match="user-service are at revision 9999"):
            await migrate(engine)


async def test_a_migration_that_fails_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = create_engine(url_of(tmp_path / "relational.db"))
    try:
        async with write_transaction(engine) as connection:
            await connection.execute(text("CREATE TABLE user_counter (id INTEGER)"))
        with pytest.raises(MigrationFailed, match="a table `user_counter` that Energy Tracker has not made"):
            await migrate(engine)
        async with write_transaction(engine) as connection:
            names = set(await connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'")))
        assert not names & {"user", "user_version"}
    finally:
        await engine.dispose()


def test_the_revisions_of_each_service_are_one_line() -> None:
    assert {"user", "device"} <= {schema.service for schema in schemas()}
    for schema in schemas():
        before = None
        for number, file in enumerate(sorted(schema.folder.glob("[0-9]*.py")), start=1):
            source = file.read_text()
            revision = re.search(r'^revision = "(\d{4})"$', source, re.MULTILINE)
            assert revision is not None
            assert file.name.startswith(revision[1])
            assert int(revision[1]) == number
            assert f"down_revision = {None if before is None else repr(before)}".replace("'", '"') in source
            before = revision[1]


def test_a_running_process_does_not_import_alembic() -> None:
    code = (
        "import sys, energy_tracker.wiring.user, energy_tracker.wiring.device, energy_tracker.storage.migrations;"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
