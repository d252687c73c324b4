"""What a service in a process of its own is built with: settings, other services, a database, the log.

Imports are late, so that a process holds only what its own service needs. What must answer before the service can
start is in a `part` (see `wiring.startup`).
"""

import math
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from energy_tracker.clients import device, usage, user
from energy_tracker.clients.directory import Directory
from energy_tracker.clients.http import ServiceCalls
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.settings import Settings
from energy_tracker.wiring import options
from energy_tracker.wiring.background import keep_running
from energy_tracker.wiring.outgoing import http_client
from energy_tracker.wiring.startup import Startup

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from energy_tracker.eventlog.kafka import KafkaEventLog
    from energy_tracker.eventlog.kafka_client import KafkaOptions

BROKER_PATIENCE_S: Final = 5.0
"""How long one attempt to start waits for the broker; there is always another."""


@dataclass(frozen=True, slots=True)
class Peers:
    """The other services, over TCP."""

    users: user.UserClient
    devices: device.DeviceClient
    usage: usage.UsageClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The process of one service: its settings, and what takes it down again.

    `own_url` is the address where it reaches itself, `reached_at` the one where other processes do (empty: none).
    """

    service: str
    settings: Settings
    clock: Clock
    own_url: str
    reached_at: str
    startup: Startup
    stack: AsyncExitStack

    async def http(self) -> httpx.AsyncClient:
        """Return a client for the other services and the own one."""
        addresses = self.settings.peers
        client = http_client(addresses.user_url, addresses.device_url, addresses.usage_url)
        return await self.stack.enter_async_context(client)

    def peers(self, http: httpx.AsyncClient) -> Peers:
        """Return the other services; none of them is asked yet."""

        def calls(service: str, url: str) -> ServiceCalls:
            return ServiceCalls(service=f"{service}-service", url=url, http=http, clock=self.clock)

        addresses = self.settings.peers
        return Peers(
            user.UserClient(calls("user", addresses.user_url)),
            device.DeviceClient(calls("device", addresses.device_url)),
            usage.UsageClient(calls("usage", addresses.usage_url)),
        )

    async def learn(self, directory: Directory) -> None:
        """Fill a directory for the first time. Raises `TemporarilyUnavailable` where its services do not answer."""
        with self.startup.part("directory"):
            await directory.refresh()
            if math.isinf(directory.age_s):
                raise TemporarilyUnavailable("user-service and device-service have not told of the homes yet.")

    def follow(self, directory: Directory) -> None:
        """Keep a directory up to date; it is empty and stale until its services answer."""
        keep_running(self.stack, directory.run(self.clock), name="directory")

    async def database(self) -> "AsyncEngine":
        """Return the database of users, devices and alerts, with its tables at their newest revision."""
        from energy_tracker.storage.migrations import migrate
        from energy_tracker.storage.sql import create_engine

        engine = create_engine(options.database_url(self.settings))
        self.stack.push_async_callback(engine.dispose)
        with self.startup.part("database"):
            await migrate(engine, only=[self.service])
        return engine

    async def log(self) -> "KafkaEventLog":
        """Return the log in Kafka, with its topics."""
        from energy_tracker.eventlog.kafka import KafkaEventLog

        kafka = await self.broker()
        return await self.stack.enter_async_context(KafkaEventLog.open(options=kafka, clock=self.clock))

    async def broker(self) -> "KafkaOptions":
        """Return how Kafka is reached, once its topics are there."""
        kafka = options.kafka(self.settings, client_id=f"energy-tracker-{self.service}")
        from energy_tracker.eventlog.kafka_client import ensure_topics

        with self.startup.part("log"):
            await ensure_topics(kafka, timeout_s=BROKER_PATIENCE_S)
        return kafka

    async def partitions(self, kafka: "KafkaOptions") -> int:
        """Return how many partitions the readings are in: as many as when their topic was made."""
        from energy_tracker.contracts.topics import ENERGY_USAGE
        from energy_tracker.eventlog.kafka_client import partitions

        with self.startup.part("log"):
            return await partitions(kafka, ENERGY_USAGE)
