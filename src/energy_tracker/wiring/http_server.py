"""Opening ports: one server on several sockets, each request given to the service of the port it came to."""

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import Server as UvicornServer

from energy_tracker.kit.problems import MalformedRequest, Problem
from energy_tracker.kit.web import problem_response
from energy_tracker.settings import Settings
from energy_tracker.wiring.careful_http import CarefulHttp

_BACKLOG = 2_048
_GRACE_S = 3


class PortTaken(Problem):
    """Another program listens on a port that a service needs."""

    status = 409
    title = "A port is in use"


class AddressUnusable(Problem):
    """The address to listen on is none of this machine's."""

    status = 422
    title = "The address cannot be listened on"


class HostUnknown(Problem):
    """The request calls this machine by a name that is not known here."""

    status = 421
    title = "The host is not known here"


@dataclass(frozen=True, slots=True)
class ByPort:
    """The ASGI application that gives each request to the service of its port.

    With `only_this_machine`, the host of a request must be an address or `localhost`: any other name that leads here
    may be a foreign one that a page in a browser has had pointed at this machine (DNS rebinding).
    """

    apps: Mapping[int, ASGIApp]
    only_this_machine: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        hosts = [content for name, content in scope["headers"] if name == b"host"]
        if len(hosts) != 1 and (hosts or scope["http_version"] != "1.0"):
            await problem_response(MalformedRequest("A request has one Host header."))(scope, receive, send)
        elif hosts and self.only_this_machine and not names_this_machine(hosts[0].decode("latin-1")):
            await problem_response(HostUnknown("Call this machine localhost, or by its address."))(scope, receive, send)
        else:
            await self.apps[scope["server"][1]](scope, receive, send)


def names_this_machine(host: str) -> bool:
    """Return whether a Host header holds an address or `localhost`, with a port or without."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Server(UvicornServer):
    """uvicorn without its own handling of signals: the command line decides when to stop."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        """Set once requests are answered."""
        self._stopped = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Wait until told to end. The base class wakes ten times a second for headers that are not sent here."""
        await self.on_tick(0)
        await self._stopped.wait()

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]  # noqa: ANN201 - as the base class has it
        """Leave the signals alone."""
        yield

    def stop(self) -> None:
        """End: finish what is under way, for a few seconds at most."""
        self.should_exit = True
        self._stopped.set()


@asynccontextmanager
async def answering(
    apps: Mapping[str, ASGIApp], sockets: Mapping[str, socket.socket], *, only_this_machine: bool
) -> AsyncIterator[Server]:
    """Answer on the sockets, each with the application of its service; when the block is left, they are closed."""
    by_port = ByPort(
        {listening.getsockname()[1]: apps[service] for service, listening in sockets.items()}, only_this_machine
    )
    server = Server(_config(by_port))
    task = asyncio.create_task(server.serve(sockets=list(sockets.values())), name="server")
    try:
        await server.listening.wait()
        yield server
    finally:
        server.stop()
        await task


def open_sockets(settings: Settings, services: Collection[str]) -> dict[str, socket.socket]:
    """Bind each service's port. Raises `PortTaken` naming it, `AddressUnusable`; nothing stays open then."""
    opened: dict[str, socket.socket] = {}
    try:
        for service in services:
            opened[service] = _bind(settings.network.host, getattr(settings.ports, service), service)
    except BaseException:
        for listening in opened.values():
            listening.close()
        raise
    return opened


def _bind(host: str, port: int, service: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressUnusable(f"{host} cannot be listened on: {error.strerror}.") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        variable = f"ENERGY_TRACKER_{service.upper()}_PORT"
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise PortTaken(
                f"Port {port} of {service}-service is in use or not allowed. Stop the program that listens there"
                f" (`ss -ltnp 'sport = :{port}'` names it), or set {variable} to another port."
            ) from error
        raise AddressUnusable(f"{host} cannot be listened on: {error.strerror}.") from error
    return listening


def url_of(listening: socket.socket) -> str:
    """Return the base URL of what listens there."""
    host, port = listening.getsockname()[:2]
    return url_at(host, port)


def url_at(host: str, port: int) -> str:
    """Return the base URL of a port of a host, which may be an address of either kind."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(app: ASGIApp) -> Config:
    return Config(
        app,
        loop="none",
        http=CarefulHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=30,
    )
