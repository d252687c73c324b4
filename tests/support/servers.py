"""The servers that the services stand on: those that variables name, or some of a test's own to be killed."""

import asyncio
import os
import secrets
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import URL, text
from tests.support.ports import free_ports

from energy_tracker.storage.mysql import mysql_url
from energy_tracker.storage.sql import create_engine, write_transaction

VARIABLES = ("ENERGY_TEST_KAFKA", "ENERGY_TEST_MYSQL", "ENERGY_TEST_INFLUX")
"""What the six services cannot do without."""

COMMAND = "ENERGY_TEST_SERVERS"
"""The variable that names a command which starts, kills and pauses servers of a test's own; see CONTRIBUTING."""


@dataclass(frozen=True)
class Servers:
    """Where Kafka, MySQL and InfluxDB are."""

    kafka: str
    mysql: URL
    influx: str
    influx_token: str
    influx_org: str

    @classmethod
    def named_by(cls, environment: Mapping[str, str]) -> "Servers":
        """Return those that the variables name."""
        return cls(
            environment["ENERGY_TEST_KAFKA"],
            mysql_url(environment["ENERGY_TEST_MYSQL"], username=None, password=None),
            environment["ENERGY_TEST_INFLUX"],
            environment["ENERGY_TEST_INFLUX_TOKEN"],
            environment["ENERGY_TEST_INFLUX_ORG"],
        )

    @asynccontextmanager
    async def new_database(self) -> AsyncIterator[URL]:
        """Give the URL of a new database, and drop it in the end."""
        name = f"energy_{secrets.token_hex(6)}"
        await self._execute(f"CREATE DATABASE {name}")
        try:
            yield self.mysql.set(database=name)
        finally:
            await self._execute(f"DROP DATABASE {name}")

    async def _execute(self, statement: str) -> None:
        engine = create_engine(self.mysql)
        try:
            async with write_transaction(engine) as connection:
                await connection.execute(text(statement))
        finally:
            await engine.dispose()


@dataclass(frozen=True)
class OwnServers:
    """Servers that nobody else uses; the command of `COMMAND` has their lives in its hand."""

    environment: Mapping[str, str]
    names: tuple[str, ...]
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def servers(self) -> Servers:
        """Where they are."""
        return Servers.named_by(self.addresses)

    async def up(self, *names: str) -> None:
        """Start these, or all of them; return when they answer."""
        await self._call("up", *(names or self.names))

    async def kill(self, name: str) -> None:
        """End one without a warning."""
        await self._call("kill", name)

    async def pause(self, name: str) -> None:
        """Have one hang."""
        await self._call("pause", name)

    async def resume(self, name: str) -> None:
        """Let it go on."""
        await self._call("resume", name)

    async def wipe(self) -> None:
        """End them all, and forget what they had."""
        await self._call("reset", *self.names)

    async def look(self) -> None:
        """Ask where they are."""
        for line in (await self._call("env")).splitlines():
            (assignment,) = shlex.split(line.removeprefix("export "))
            name, _, value = assignment.partition("=")
            self.addresses[name] = value

    async def _call(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            os.environ[COMMAND],
            *words,
            env={**os.environ, **self.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, f"{words}: {said.decode()[-2000:]}"
        return said.decode()


@asynccontextmanager
async def own_servers(*more: Literal["mailpit", "ollama"]) -> AsyncIterator[OwnServers]:
    """Start Kafka, MySQL and InfluxDB on free ports, and those that are named besides."""
    kafka, mysql, influxdb, smtp, mailpit, ollama = free_ports(1, pair=True)[0], *free_ports(5)
    own = OwnServers(
        {
            "ENERGY_SERVERS_INSTANCE": f"test-{secrets.token_hex(4)}",
            "KAFKA_PORT": str(kafka),
            "MYSQL_PORT": str(mysql),
            "MYSQL_OPTIONS": "--performance-schema=OFF",
            "INFLUXDB_PORT": str(influxdb),
            "MAILPIT_SMTP_PORT": str(smtp),
            "MAILPIT_PORT": str(mailpit),
            "OLLAMA_PORT": str(ollama),
        },
        ("kafka", "mysql", "influxdb", *more),
    )
    try:
        await own.up()
        await own.look()
        yield own
    finally:
        await own.wipe()
