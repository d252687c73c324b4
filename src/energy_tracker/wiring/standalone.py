"""All six services in one process, on SQLite: the embedded mode."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from energy_tracker.clients import device, ingestion, usage, user
from energy_tracker.clients.directory import Directory
from energy_tracker.clients.http import ServiceCalls
from energy_tracker.contracts import topics
from energy_tracker.eventlog.port import EventLog
from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import Problem
from energy_tracker.services.ingestion.adapters.registry import RegistryRefusals
from energy_tracker.services.ingestion.adapters.sqlite import EmbeddedDoor
from energy_tracker.services.ingestion.worker import Housekeeper
from energy_tracker.services.usage.adapters.embedded import EmbeddedStream
from energy_tracker.services.usage.adapters.intake import IngestionIntake
from energy_tracker.services.usage.adapters.sqlite import SqliteReadingStore
from energy_tracker.services.usage.ports import EveryHome
from energy_tracker.settings import Settings
from energy_tracker.storage.migrations import migrate
from energy_tracker.storage.sql import create_engine
from energy_tracker.wiring import options
from energy_tracker.wiring.alert import alert_service
from energy_tracker.wiring.background import keep_running
from energy_tracker.wiring.device import device_service
from energy_tracker.wiring.folder import exclusive_folder
from energy_tracker.wiring.folder_files import folder_files
from energy_tracker.wiring.ingestion import ingestion_service
from energy_tracker.wiring.insight import insight_service
from energy_tracker.wiring.modes import SERVICES, refuse_other_backends
from energy_tracker.wiring.simulation import simulated_meters
from energy_tracker.wiring.usage import UsageBackends, usage_service
from energy_tracker.wiring.user import user_service

log = logging.getLogger(__name__)

__all__ = ["GROUPS", "SERVICES", "Switchboard", "System", "standalone"]
GROUPS: Final = {
    topics.ENERGY_USAGE: (topics.USAGE_GROUP,),
    topics.ENERGY_ALERT_EPISODES: (topics.ALERT_GROUP,),
}
_HOUSEKEEPING_S = 3_600.0


@dataclass(frozen=True, slots=True)
class System:
    """The running services: the ASGI application of each, by its short name, and the directory they share."""

    apps: Mapping[str, ASGIApp]
    directory: Directory


@dataclass(slots=True)
class Switchboard:
    """Calls between the services of one process: each is `http://<service>.internal`, reached without a socket."""

    apps: dict[str, ASGIApp] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the service that its host names."""
        await self.apps[scope["server"][0].partition(".")[0]](scope, receive, send)

    def calls(self, http: httpx.AsyncClient, clock: Clock, service: str, path: str) -> ServiceCalls:
        """Return the calls to one of the services."""
        return ServiceCalls(
            service=f"{service}-service", url=f"http://{service}.internal{path}", http=http, clock=clock
        )


@asynccontextmanager
async def standalone(*, settings: Settings, clock: Clock) -> AsyncIterator[System]:
    """Run the whole system on the data folder of the settings, without opening a port.

    Raises `InvalidConfiguration` where settings name other backends, `FolderInUse`, `FolderUnusable` and the problems
    of the data files.
    """
    refuse_other_backends(settings)
    async with AsyncExitStack() as stack:
        stack.enter_context(exclusive_folder(settings.home))
        engine = create_engine(options.database_url(settings))
        stack.push_async_callback(engine.dispose)
        await migrate(engine)
        board = Switchboard()
        http = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.ASGITransport(board)))
        calls = partial(board.calls, http, clock)
        start = stack.enter_async_context
        users = user.UserClient(calls("user", user.PATH))
        zone, kept = settings.default_time_zone, options.retention(settings)
        board.apps["user"] = await start(
            user_service(engine=engine, clock=clock, default_time_zone=zone, retention=kept)
        )
        board.apps["device"] = await start(device_service(engine=engine, clock=clock, users=users))
        directory = Directory(users=users, devices=device.DeviceClient(calls("device", device.PATH)), clock=clock)
        eventlog = await _start_stream(stack, settings, clock, board, http, directory)
        board.apps["alert"] = await start(
            alert_service(
                engine=engine,
                log=eventlog,
                directory=directory,
                clock=clock,
                mail=options.mail(settings),
                policy=options.mail_policy(settings),
            )
        )
        board.apps["insight"] = await start(
            insight_service(
                usage=usage.UsageClient(calls("usage", usage.PATH)),
                directory=directory,
                clock=clock,
                adviser=options.adviser(settings),
            )
        )
        keep_running(stack, directory.run(clock), name="directory")
        keep_running(stack, _keep_house(eventlog, clock), name="housekeeping")
        yield System(board.apps, directory)


async def _start_stream(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    board: Switchboard,
    http: httpx.AsyncClient,
    directory: Directory,
) -> SqliteEventLog:
    """Start ingestion-service and usage-service on their files; return the log between them."""
    limits, kept = settings.ingestion, options.retention(settings)
    files = await stack.enter_async_context(folder_files(settings.home, waiting_limit=limits.waiting_readings))
    log_writer, log_readers = files.log_writer, files.log_readers
    eventlog = await SqliteEventLog.open(log_writer, log_readers, clock=clock, groups=GROUPS, retention=kept)
    door = await EmbeddedDoor.open(
        log_writer, log_readers, eventlog, files.known, clock=clock, queue_limit=limits.max_lag
    )
    keep_running(stack, Housekeeper(door=door, clock=clock).run(), name="ingestion: Housekeeper")
    simulation = simulated_meters(settings, clock, http, directory, "http://ingestion.internal")
    board.apps["ingestion"] = await stack.enter_async_context(
        ingestion_service(
            door=door,
            log_health=log_writer.health,
            directory=RegistryRefusals(directory),
            clock=clock,
            simulation=simulation,
            limits=options.limits(settings),
        )
    )
    await directory.refresh()
    store, stream = SqliteReadingStore(files.writer, files.readers), EmbeddedStream(eventlog)
    intake = IngestionIntake(ingestion.IngestionClient(board.calls(http, clock, "ingestion", "")))
    backends = UsageBackends(log=eventlog, stream=stream, store=store, intake=intake, homes=EveryHome())
    board.apps["usage"] = await stack.enter_async_context(
        usage_service(backends=backends, directory=directory, clock=clock, options=options.usage(settings))
    )
    stack.push_async_callback(simulation.close)
    return eventlog


async def _keep_house(eventlog: EventLog, clock: Clock) -> None:
    """Drop what is past its time from the log, every hour."""
    while True:
        try:
            await eventlog.expire(now_ms=clock.now_ms())
        except Problem:
            log.exception("the log could not be cleared of what is past its time")
        await clock.sleep(_HOUSEKEEPING_S)
