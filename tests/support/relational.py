"""A relational database with its tables, and user- and device-service on it, talking to each other in one process."""

import asyncio
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
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.clock import VirtualClock

from energy_tracker.clients.device import DeviceClient
from energy_tracker.clients.directory import Directory
from energy_tracker.clients.http import Retry, ServiceCalls
from energy_tracker.clients.user import UserClient
from energy_tracker.storage.sql import create_engine
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
