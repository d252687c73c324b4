"""The embedded mode with its ports open."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from energy_tracker.kit.clock import Clock
from energy_tracker.settings import Settings
from energy_tracker.wiring.http_server import Server, answering, open_sockets, url_of
from energy_tracker.wiring.standalone import SERVICES, System, standalone


@dataclass(frozen=True, slots=True)
class Running:
    """A system that serves: the base URL of each service, and the system itself."""

    urls: Mapping[str, str]
    system: System
    server: Server


@asynccontextmanager
async def serving(*, settings: Settings, clock: Clock) -> AsyncIterator[Running]:
    """Run the whole system and open its ports; when the block is left, they are closed first.

    `run.json` in the data folder says while it runs where it answers. Raises `PortTaken`, `AddressUnusable` and what
    `standalone` raises.
    """
    sockets = open_sockets(settings, SERVICES)
    async with AsyncExitStack() as stack:
        for listening in sockets.values():
            stack.callback(listening.close)
        system = await stack.enter_async_context(standalone(settings=settings, clock=clock))
        only_this_machine = not settings.network.allow_unauthenticated_network
        answers = answering(system.apps, sockets, only_this_machine=only_this_machine)
        server = await stack.enter_async_context(answers)
        urls = {service: url_of(listening) for service, listening in sockets.items()}
        run_file = settings.home / "run.json"
        stack.callback(run_file.unlink, missing_ok=True)
        _write_atomically(run_file, {"pid": os.getpid(), "urls": urls})
        yield Running(urls, system, server)


def _write_atomically(path: Path, document: Mapping[str, object]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document), encoding="utf-8")
    temporary.replace(path)
