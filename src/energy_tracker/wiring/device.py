"""How device-service is put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from energy_tracker.clients.directory import user_feed
from energy_tracker.clients.user import UserClient
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.device.adapters.directory import DirectoryOwners
from energy_tracker.services.device.adapters.sql import SqlDeviceRepository
from energy_tracker.services.device.api import DeviceApi
from energy_tracker.services.device.service import DeviceService
from energy_tracker.services.device.worker import OwnerWatch
from energy_tracker.storage.sql import database_check
from energy_tracker.wiring.background import keep_running


@asynccontextmanager
async def device_service(*, engine: AsyncEngine, clock: Clock, users: UserClient) -> AsyncIterator[FastAPI]:
    """Give device-service's application; the tables are at their newest revision (`storage.migrations.migrate`).

    While it runs, it erases the devices of users that are deleted. It starts and works without user-service.
    """
    owners = DirectoryOwners(user_feed(users, clock))
    service = DeviceService(repository=SqlDeviceRepository(engine), owners=owners, clock=clock)
    app = create_app(
        "device",
        description="Devices: what they are, whose they are and were, and how their readings come.",
        health=Health({"database": database_check(engine)}),
        telemetry=Telemetry("device"),
    )
    app.include_router(DeviceApi(service).router())
    async with AsyncExitStack() as stack:
        keep_running(stack, OwnerWatch(service=service, owners=owners, clock=clock).run(), name="device: OwnerWatch")
        yield app
