"""Brings the tables of every service to the state that the code expects.

How a service keeps its tables: it has a folder `services/<service>/migrations/` of Alembic revisions in one line,
`0001_what_it_does.py`, `0002_…`, whose `revision` is the number and whose `down_revision` is the number before (None in
the first). Which one a database has is in the table `<service>_version`. Nothing else is to be registered:
`await migrate(engine)` finds the folders, compares the highest number with the table, and runs what is missing.
A revision has `upgrade()` only; the way back is a backup. It uses the operations of `storage.revisions`, which go on
from where an earlier run was killed, and never imports the service's code, which moves on while the revision stays.

Alembic is 11 MiB that a running process does not need: it is imported by a child process (`python -m
energy_tracker.storage.migrations SERVICE…`, the URL on its standard input), and only when something is missing.
"""

import asyncio
import hashlib
import logging
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from energy_tracker.kit.problems import Problem
from energy_tracker.storage.releases import SchemaIsNewer
from energy_tracker.storage.sql import create_engine, read_transaction
from energy_tracker.storage.sql_problems import database_problems
from energy_tracker.storage.whole_transactions import repeated

if TYPE_CHECKING:
    from alembic.config import Config

SERVICES = Path(__file__).parent.parent / "services"
TURN_TIMEOUT_S = 600
"""How long a child waits while another process changes the tables. A child is never killed for taking its time."""

CHANGE_TIMEOUT_S = 3_600.0
"""How long one change of a large table may take on a server."""

_REVISION = re.compile(r"(\d{4})_\w+\.py", re.ASCII)


log = logging.getLogger(__name__)


class MigrationFailed(Problem):
    """The tables could not be brought to the expected state; the next start goes on. Says what the child said."""

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


def schemas(services: Path = SERVICES, *, only: Collection[str] = ()) -> tuple[Schema, ...]:
    """Return the schema of every service that keeps tables (or `only` of those), in order of name.

    A service keeps tables when it has a folder `migrations`.
    """
    found = []
    for folder in sorted(services.glob("*/migrations")):
        revisions = [match[1] for file in folder.iterdir() if (match := _REVISION.fullmatch(file.name))]
        if revisions and (not only or folder.parent.name in only):
            found.append(Schema(folder.parent.name, folder, max(revisions)))
    return tuple(found)


async def migrate(engine: AsyncEngine, *, only: Collection[str] = ()) -> tuple[str, ...]:
    """Bring every service's tables (or `only` of those services) to the newest revision; return what was behind.

    Where none is, this costs one query a service. Several processes may call it at once: they wait for each other.
    Raises `MigrationFailed`, `SchemaIsNewer`, and the problems of `storage.sql` where the database does not answer.
    """
    behind = await services_behind(engine, only=only)
    if behind:
        log.info("the tables of %s are brought to their newest revision", ", ".join(behind))
        await _run_child(engine, behind)
        still = await services_behind(engine, only=only)
        if still:
            message = f"The tables of {', '.join(still)} are not at their newest revision after the migration."
            raise MigrationFailed(message)
    return behind


@repeated
async def services_behind(engine: AsyncEngine, *, only: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the services whose tables are older than the code. Raises `SchemaIsNewer`."""
    expected = schemas(only=only)
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


async def _run_child(engine: AsyncEngine, services: Collection[str]) -> None:
    url = engine.url.render_as_string(hide_password=False)
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "energy_tracker.storage.migrations", *services),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await child.communicate(url.encode())
    finally:
        if child.returncode is None:  # this process is told to end
            child.kill()
            await child.wait()
    if child.returncode:
        message = f"The migration of the tables failed:\n{output.decode(errors='replace').strip()[-2000:]}"
        raise MigrationFailed(message)


async def upgrade(url: str, *, only: Collection[str] = ()) -> None:
    """Run the missing revisions of every service (or `only` those) with Alembic, in this process.

    On SQLite a service's revisions are one transaction; on a server, which commits each change of a table by itself,
    one process at a time makes them.
    """
    engine = create_engine(url, statement_timeout_s=CHANGE_TIMEOUT_S)
    try:
        with database_problems():
            async with engine.connect() as connection:
                if engine.dialect.name != "sqlite":
                    await _take_turn(connection)
                for schema in schemas(only=only):
                    async with connection.begin():
                        await connection.run_sync(_upgrade_schema, schema)
    finally:
        await engine.dispose()  # the turn ends with the connection


async def _take_turn(connection: AsyncConnection) -> None:
    database = connection.engine.url.database or ""
    # The names of such locks are the server's, not the database's, and at most 64 characters long.
    name = f"energy-tracker-{hashlib.blake2b(database.encode(), digest_size=16).hexdigest()}"
    taken = await connection.scalar(
        text("SELECT GET_LOCK(:name, :longest_s)"), {"name": name, "longest_s": TURN_TIMEOUT_S}
    )
    await connection.rollback()
    if taken != 1:
        raise MigrationFailed(f"Another process has been changing the tables for {TURN_TIMEOUT_S} s.")


def _upgrade_schema(connection: Connection, schema: Schema) -> None:
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(schema.folder), version_locations=[str(schema.folder)])

    def missing(revision: Any, _: object) -> Any:
        return script._upgrade_revs("head", revision)  # noqa: SLF001 - what alembic.command.upgrade calls, too

    environment = EnvironmentContext(_config(schema), script, fn=missing, destination_rev="head")
    with environment:
        # The transaction is the caller's: on SQLite it has the write lock, on a server the turn is taken already.
        environment.configure(connection=connection, version_table=schema.version_table, transactional_ddl=False)
        environment.run_migrations()


def _config(schema: Schema) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(schema.folder).replace("%", "%%"))
    return config


def main() -> None:
    """Be the child process: services as arguments, the URL on standard input, what is wrong on standard error."""
    try:
        asyncio.run(upgrade(sys.stdin.read().strip(), only=sys.argv[1:]))
    except Problem as problem:
        sys.exit(problem.detail)


if __name__ == "__main__":
    main()
