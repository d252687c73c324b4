"""How user-service is put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from energy_tracker.eventlog.port import Retention
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import Health
from energy_tracker.kit.instants import zone_names
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.user.adapters.sql import SqlUserRepository
from energy_tracker.services.user.api import UserApi
from energy_tracker.services.user.service import UserService
from energy_tracker.storage.sql import database_check


@asynccontextmanager
async def user_service(
    *, engine: AsyncEngine, clock: Clock, default_time_zone: str, retention: Retention | None = None
) -> AsyncIterator[FastAPI]:
    """Give user-service's application; the tables are at their newest revision (`storage.migrations.migrate`)."""
    service = UserService(
        repository=SqlUserRepository(engine),
        clock=clock,
        default_time_zone=default_time_zone,
        time_zones=zone_names(),
        retention=retention or Retention(),
    )
    app = create_app(
        "user",
        description="Users (homes): who they are, when they want to be alerted, and in which time zone they live.",
        health=Health({"database": database_check(engine)}),
        telemetry=Telemetry("user"),
    )
    app.include_router(UserApi(service).router())
    yield app
