"""ingestion-service, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from fastapi import FastAPI
from starlette.middleware import Middleware

from energy_tracker.contracts.ingestion import IngestionLedger
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import Check, Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.ingestion.api import IngestionApi, Shortcut
from energy_tracker.services.ingestion.ports import Directory, Door, SimulationControl
from energy_tracker.services.ingestion.requests import RequestLimits
from energy_tracker.services.ingestion.service import IngestionService


class CountingDoor(Door, Protocol):
    """A door that also tells its ledger at once, for metrics."""

    @property
    def totals(self) -> IngestionLedger:
        """The ledger from memory."""


@asynccontextmanager
async def ingestion_service(
    *,
    door: CountingDoor,
    log_health: Check,
    directory: Directory,
    clock: Clock,
    simulation: SimulationControl,
    limits: RequestLimits | None = None,
) -> AsyncIterator[FastAPI]:
    """Give the application of ingestion-service; `log_health` checks what the door writes to."""
    limits = limits or RequestLimits()
    telemetry = Telemetry("ingestion")
    _expose(door, telemetry)
    service = IngestionService(door=door, directory=directory, clock=clock, simulation=simulation)
    api = IngestionApi(service, limits)
    app = create_app(
        "ingestion",
        description="Takes readings in; what it has answered is durable.",
        health=Health({"log": log_health}),
        telemetry=telemetry,
        body_limit=limits.body_bytes,
    )
    app.include_router(api.router())
    app.user_middleware.append(Middleware(Shortcut, endpoints=api.shortcuts()))
    yield app


def _expose(door: CountingDoor, telemetry: Telemetry) -> None:
    readings = telemetry.gauge("ingestion_readings", "Readings ever since, by what became of them", "outcome")
    readings.labels("received").set_function(lambda: door.totals.received)
    readings.labels("accepted").set_function(lambda: door.totals.accepted)
    readings.labels("duplicate").set_function(lambda: door.totals.duplicate)
    readings.labels("rejected").set_function(lambda: door.totals.rejected)
