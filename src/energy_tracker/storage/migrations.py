"""Brings the tables of every service to the state that the code expects.

How a service keeps its tables: it has a folder `services/<service>/migrations/` of Alembic revisions in one line,
`0001_what_it_does.py`, `0002_…`, whose `revision` is the number and whose `down_revision` is the number before (None in
the first). Which one a database has is in the table `<service>_version`. Nothing else is to be registered:
`await migrate(engine)` finds the folders, compares the highest number with the table, and runs what is missing.
A revision has `upgrade()` only; the way back is a backup. It creates its tables by `op.create_table`, in portable
types, and never imports the service's code, which moves on while the revision stays.

Alembic is 11 MiB that a running process does not need: it is imported by a child process
(`python -m energy_tracker.storage.migrations`, the URL on its standard input), and only when something is missing.
"""

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from energy_tracker.kit.problems import Problem
from energy_tracker.storage.releases import SchemaIsNewer
from energy_tracker.storage.sql import create_engine, read_transaction, write_transaction

if TYPE_CHECKING:
    from alembic.config import Config

SERVICES = Path(__file__).parent.parent / "services"
CHILD_TIMEOUT_S = 120.0
_REVISION = re.compile(r"(\d{4})_\w+\.py", re.ASCII)


class MigrationFailed(Problem):
    """The tables could not be brought to the expected state; the database is as it was. Says what the child said."""

    status = 500
    title = "The tables could not be updated"


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one service: its folder of revisions, and the highest of them."""

    service: str
    folder: Path
    head: str

    @property
    def version_table(self) -> str:
        """The table that holds the revision a database has."""
        return f"{self.service}_version"


def schemas(services: Path = SERVICES) -> tuple[Schema, ...]:
    """Return the schema of every service that keeps tables, found by its folder `migrations`, in order of name."""
    found = []
    for folder in sorted(services.glob("*/migrations")):
        revisions = [match[1] for file in folder.iterdir() if (match := _REVISION.fullmatch(file.name))]
        if revisions:
            found.append(Schema(folder.parent.name, folder, max(revisions)))
    return tuple(found)


async def migrate(engine: AsyncEngine) -> tuple[str, ...]:
    """Bring every service's tables to the newest revision; return the services that were behind.

    Where none is, this costs one query a service. Several processes may call it at once: they wait for each other.
    Raises `MigrationFailed`, `SchemaIsNewer`, and the problems of `storage.sql` where the database does not answer.
    """
    behind = await services_behind(engine)
    if behind:
        await _run_child(engine)
        still = await services_behind(engine)
        if still:
            message = f"The tables of {', '.join(still)} are not at their newest revision after the migration."
            raise MigrationFailed(message)
    return behind


async def services_behind(engine: AsyncEngine) -> tuple[str, ...]:
    """Return the names of the services whose tables are older than the code. Raises `SchemaIsNewer`."""
    expected = schemas()
    async with read_transaction(engine) as connection:
        tables = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
        found: dict[str, str | None] = {}
        for schema in expected:
            found[schema.service] = (
                await connection.scalar(text(f"SELECT version_num FROM {schema.version_table}"))  # noqa: S608 - the name of a folder of this package
                if schema.version_table in tables
                else None
            )
    for schema in expected:
        revision = found[schema.service]
        if revision is not None and revision > schema.head:
            message = (
                f"The tables of {schema.service}-service are at revision {revision}, this release knows {schema.head}. "
                "Start the newer release, or restore a backup from before it."
            )
            raise SchemaIsNewer(message)
    return tuple(schema.service for schema in expected if found[schema.service] != schema.head)


async def _run_child(engine: AsyncEngine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "energy_tracker.storage.migrations"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(CHILD_TIMEOUT_S):
            output, _ = await child.communicate(url.encode())
    except TimeoutError:
        message = f"The migration did not end within {CHILD_TIMEOUT_S:.0f} s."
        raise MigrationFailed(message) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        message = f"The migration of the tables failed:\n{output.decode(errors='replace').strip()[-2000:]}"
        raise MigrationFailed(message)


async def upgrade(url: str) -> None:
    """Run the missing revisions of every service with Alembic, in this process, one transaction a service."""
    engine = create_engine(url)
    try:
        for schema in schemas():
            async with write_transaction(engine) as connection:
                await connection.run_sync(_upgrade_schema, schema)
    finally:
        await engine.dispose()


def _upgrade_schema(connection: Connection, schema: Schema) -> None:
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(schema.folder), version_locations=[str(schema.folder)])

    def missing(revision: Any, _: object) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001 - what alembic.command.upgrade calls, too

    environment = EnvironmentContext(_config(schema), script, fn=missing, destination_rev="head")
    with environment:
        # The transaction is the caller's: on SQLite it has the write lock already, so a second process waits here.
        environment.configure(connection=connection, version_table=schema.version_table, transactional_ddl=False)
        environment.run_migrations()


def _config(schema: Schema) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(schema.folder).replace("%", "%%"))
    return config


if __name__ == "__main__":
    asyncio.run(upgrade(sys.stdin.read().strip()))
