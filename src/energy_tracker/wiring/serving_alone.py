"""One service in a process of its own, with its port open from the first moment on."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from starlette.types import ASGIApp

from energy_tracker.kit.clock import Clock
from energy_tracker.settings import Settings
from energy_tracker.wiring import options
from energy_tracker.wiring.distributed import ALONE
from energy_tracker.wiring.folder import exclusive_folder
from energy_tracker.wiring.http_server import answering, open_sockets, url_at, url_of
from energy_tracker.wiring.modes import uses_database, uses_folder, uses_log
from energy_tracker.wiring.process import Process
from energy_tracker.wiring.startup import Startup


@dataclass(frozen=True, slots=True)
class RunningAlone:
    """A service that serves, or says that it is starting: where, and the task that it is."""

    url: str
    work: asyncio.Task[None]

    async def until_it_fails(self) -> None:
        """Return never; raise what ended the service."""
        await asyncio.shield(self.work)


@asynccontextmanager
async def serving_alone(service: str, *, settings: Settings, clock: Clock) -> AsyncIterator[RunningAlone]:
    """Run one service and open its port; when the block is left, the port is closed first.

    Databases, brokers and other services need not be there yet. Raises `InvalidConfiguration`, `PortTaken`,
    `AddressUnusable` and, where the service keeps files, `FolderInUse` and `FolderUnusable`.
    """
    _check(service, settings)
    async with AsyncExitStack() as stack:
        sockets = open_sockets(settings, (service,))
        listening = sockets[service]
        stack.callback(listening.close)
        if uses_folder(service, settings):
            stack.enter_context(exclusive_folder(settings.home))

        @asynccontextmanager
        async def begin(startup: Startup) -> AsyncIterator[ASGIApp]:
            async with AsyncExitStack() as inner:
                yield await ALONE[service](
                    Process(
                        service=service,
                        settings=settings,
                        clock=clock,
                        own_url=_own_url(listening),
                        reached_at=_reached_at(listening),
                        startup=startup,
                        stack=inner,
                    )
                )

        startup = Startup(service, begin, clock=clock)
        work = asyncio.create_task(startup.run(), name=f"{service}-service")
        stack.push_async_callback(_end, work)
        only_this_machine = not settings.network.allow_unauthenticated_network
        await stack.enter_async_context(answering({service: startup}, sockets, only_this_machine=only_this_machine))
        yield RunningAlone(url_of(listening), work)


def _check(service: str, settings: Settings) -> None:
    """Raise `InvalidConfiguration` where a service cannot do with the settings, before anything is opened."""
    if uses_database(service):
        options.database_url(settings)
    if uses_log(service):
        options.kafka(settings, client_id=service)
    if service == "usage":
        options.influx(settings)


async def _end(work: asyncio.Task[None]) -> None:
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


def _own_url(listening: socket.socket) -> str:
    """Return the address where a service reaches itself: one that listens on all addresses is on the loopback too."""
    if not _is_on_all_addresses(listening):
        return url_of(listening)
    host, port = listening.getsockname()[:2]
    return url_at("::1" if ":" in host else "127.0.0.1", port)


def _reached_at(listening: socket.socket) -> str:
    """Return the address where others reach a service: where it listens on all, the one of this machine or container.

    Empty where this machine does not know its own name.
    """
    if not _is_on_all_addresses(listening):
        return url_of(listening)
    try:
        return url_at(socket.gethostbyname(socket.gethostname()), listening.getsockname()[1])
    except OSError:
        return ""


def _is_on_all_addresses(listening: socket.socket) -> bool:
    host: str = listening.getsockname()[0]
    return ipaddress.ip_address(host.partition("%")[0]).is_unspecified
