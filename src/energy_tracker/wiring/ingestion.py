"""ingestion-service, put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI
from starlette.middleware import Middleware

from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.ingestion.adapters.sqlite import DEFAULT_QUEUE_LIMIT, EmbeddedDoor
from energy_tracker.services.ingestion.api import IngestionApi, Shortcut
from energy_tracker.services.ingestion.ports import Directory, KnownReadings, SimulationControl
from energy_tracker.services.ingestion.requests import RequestLimits
from energy_tracker.services.ingestion.service import IngestionService
from energy_tracker.services.ingestion.worker import Housekeeper
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter
from energy_tracker.wiring.background import keep_running


@dataclass(frozen=True, slots=True)
class IngestionOptions:
    """How much is taken at once: by one request, and before usage-service has stored it (readings; beyond it, 429)."""

    limits: RequestLimits = field(default_factory=RequestLimits)
    queue_limit: int = DEFAULT_QUEUE_LIMIT


@asynccontextmanager
async def ingestion_service(  # noqa: PLR0913 - the collaborators, each named
    *,
    writer: SqliteWriter,
    readers: SqliteReaders,
    log: SqliteEventLog,
    known_readings: KnownReadings,
    directory: Directory,
    clock: Clock,
    simulation: SimulationControl,
    options: IngestionOptions | None = None,
) -> AsyncIterator[FastAPI]:
    """Give the application of ingestion-service.

    `writer` and `readers` are those of the event log's file, made with `prepare_log` and `prepare_door`.
    """
    options = options or IngestionOptions()
    door = await EmbeddedDoor.open(writer, readers, log, known_readings, clock=clock, queue_limit=options.queue_limit)
    telemetry = Telemetry("ingestion")
    _expose(door, telemetry)
    service = IngestionService(door=door, directory=directory, clock=clock, simulation=simulation)
    api = IngestionApi(service, options.limits)
    health = Health({"log": writer.health})
    app = create_app(
        "ingestion",
        description="Takes readings in; what it has answered is on the disk.",
        health=health,
        telemetry=telemetry,
        body_limit=options.limits.body_bytes,
    )
    app.include_router(api.router())
    app.user_middleware.append(Middleware(Shortcut, endpoints=api.shortcuts()))
    async with AsyncExitStack() as stack:
        keep_running(stack, Housekeeper(door=door, clock=clock).run(), name="ingestion: Housekeeper")
        yield app


def _expose(door: EmbeddedDoor, telemetry: Telemetry) -> None:
    readings = telemetry.gauge("ingestion_readings", "Readings ever since, by what became of them", "outcome")
    readings.labels("received").set_function(lambda: door.totals.received)
    readings.labels("accepted").set_function(lambda: door.totals.accepted)
    readings.labels("duplicate").set_function(lambda: door.totals.duplicate)
    readings.labels("rejected").set_function(lambda: door.totals.rejected)
