"""A relational database with its tables, and user- and device-service on it, talking to each other in one process."""

import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.clock import VirtualClock

from energy_tracker.clients.device import DeviceClient
from energy_tracker.clients.directory import Directory
from energy_tracker.clients.http import Retry, ServiceCalls
from energy_tracker.clients.user import UserClient
from energy_tracker.storage.migrations import upgrade
from energy_tracker.storage.mysql import mysql_url
from energy_tracker.storage.sql import create_engine, write_transaction
from energy_tracker.wiring.device import device_service
from energy_tracker.wiring.user import user_service


def url_of(path: Path) -> str:
    """Return the URL of a SQLite database."""
    return f"sqlite+aiosqlite:///{path}"


@cache
def migrated_database() -> bytes:
    """Return the file of an empty database at the newest revision; made once, since that takes a process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "relational.db"
        command = [sys.executable, "-m", "energy_tracker.storage.migrations"]
        subprocess.run(command, input=url_of(path), text=True, check=True)
        return path.read_bytes()


@asynccontextmanager
async def engine_of(path: Path) -> AsyncIterator[AsyncEngine]:
    """Give the engine of a database, and wait in the end for the threads of connections that could not be opened.

    Such a thread tells the event loop that it ends, after nobody waits for it any more; the loop has to be there still.
    """
    before = set(threading.enumerate())
    engine = create_engine(url_of(path))
    try:
        yield engine
    finally:
        await engine.dispose()
        for thread in set(threading.enumerate()) - before:
            if "_connection_worker_thread" in thread.name:
                await asyncio.to_thread(thread.join, 1)


@asynccontextmanager
async def relational_engine(folder: Path) -> AsyncIterator[AsyncEngine]:
    """Give the engine of a new database with all tables; where the folder has one already, of that."""
    path = folder / "relational.db"
    if not path.exists():
        path.write_bytes(migrated_database())
    async with engine_of(path) as engine:
        yield engine


SERVERS = {"mysql": "ENERGY_TEST_MYSQL", "mariadb": "ENERGY_TEST_MARIADB"}
"""The variables that name the servers of the tests, by what is behind them."""

ON_SERVERS = [pytest.param(name, marks=pytest.mark.servers(variable)) for name, variable in SERVERS.items()]
"""Parameters of a fixture that takes each server."""

_databases = pytest.StashKey[dict[str, URL]]()


def server_url(server: str) -> URL:
    """Return the URL of the database that a server's variable names."""
    return mysql_url(os.environ[SERVERS[server]], username=None, password=None)


@asynccontextmanager
async def new_database(server: str) -> AsyncIterator[URL]:
    """Give the URL of a new database on a server, without tables, and drop it in the end."""
    url = await _create_database(server)
    try:
        yield url
    finally:
        await _drop_database(url)


async def _create_database(server: str) -> URL:
    url = server_url(server).set(database=f"energy_{secrets.token_hex(6)}")
    await _execute(server_url(server), f"CREATE DATABASE {url.database} CHARACTER SET latin1")
    return url


async def _drop_database(url: URL) -> None:
    await _execute(url, f"DROP DATABASE {url.database}")


async def _execute(url: URL, *statements: str) -> None:
    engine = create_engine(url)
    try:
        async with write_transaction(engine) as connection:
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()


async def empty_database(config: pytest.Config, server: str) -> URL:
    """Return the URL of a database on a server whose tables are empty: one for all tests of this process, in turn."""
    databases = config.stash.setdefault(_databases, {})
    if server not in databases:
        databases[server] = url = await _create_database(server)
        config.add_cleanup(lambda: asyncio.run(_drop_database(url)))
        await upgrade(url.render_as_string(hide_password=False))
    await _empty(databases[server])
    return databases[server]


async def _empty(url: URL) -> None:
    """Empty every table and begin its ids at 1, the versions at 0."""
    engine = create_engine(url)
    try:
        async with write_transaction(engine) as connection:
            tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
            await connection.execute(text("SET foreign_key_checks = 0"))
            for table in sorted(tables):
                if table.endswith("_counter"):
                    await connection.execute(text(f"UPDATE {table} SET version = 0"))  # noqa: S608 - one of our tables
                elif not table.endswith("_version"):
                    await connection.execute(text(f"TRUNCATE `{table}`"))
    finally:
        await engine.dispose()


@asynccontextmanager
async def any_engine(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[AsyncEngine]:
    """Give the engine of an empty database with all tables: on a server if the parameter names one, else SQLite."""
    if request.param not in SERVERS:
        async with relational_engine(folder) as engine:
            yield engine
        return
    engine = create_engine(await empty_database(request.config, request.param))
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def two_engines(request: pytest.FixtureRequest) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    """Give two engines of an empty database on the server that the parameter names: two processes that share it."""
    url = await empty_database(request.config, request.param)
    engines = create_engine(url), create_engine(url)
    try:
        yield engines
    finally:
        for engine in engines:
            await engine.dispose()


class Switch(httpx.AsyncBaseTransport):
    """A way to a service that can be cut."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner
        self.cut = False
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request on, unless the way is cut."""
        self.requests += 1
        if self.cut:
            raise httpx.ConnectError("cut", request=request)
        return await self.inner.handle_async_request(request)


@dataclass(frozen=True)
class House:
    """Both services, how to talk to them in plain HTTP and typed, and the directory that follows them."""

    engine: AsyncEngine
    clock: VirtualClock
    user_http: httpx.AsyncClient
    device_http: httpx.AsyncClient
    users: UserClient
    devices: DeviceClient
    directory: Directory
    to_users: Switch
    to_devices: Switch


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    """Run user- and device-service on virtual time."""
    clock = VirtualClock()
    once = Retry(attempts=1)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(relational_engine(folder))
        user_app = await stack.enter_async_context(
            user_service(engine=engine, clock=clock, default_time_zone="Europe/Zurich")
        )
        to_users = Switch(httpx.ASGITransport(user_app))
        http = await stack.enter_async_context(httpx.AsyncClient(transport=to_users))
        users = UserClient(
            ServiceCalls(service="user-service", url="http://user/api/v1/user", http=http, clock=clock, retry=once)
        )
        device_app = await stack.enter_async_context(device_service(engine=engine, clock=clock, users=users))
        to_devices = Switch(httpx.ASGITransport(device_app))
        http = await stack.enter_async_context(httpx.AsyncClient(transport=to_devices))
        devices = DeviceClient(
            ServiceCalls(
                service="device-service", url="http://device/api/v1/device", http=http, clock=clock, retry=once
            )
        )
        plain = [
            await stack.enter_async_context(
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
            )
            for app in (user_app, device_app)
        ]
        directory = Directory(users=users, devices=devices, clock=clock)
        yield House(engine, clock, plain[0], plain[1], users, devices, directory, to_users, to_devices)
