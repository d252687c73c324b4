"""usage-service, put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from energy_tracker.clients.directory import Directory
from energy_tracker.clients.ingestion import IngestionClient
from energy_tracker.eventlog.port import EventLog
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.services.usage.adapters.intake import IngestionIntake
from energy_tracker.services.usage.api import create_api
from energy_tracker.services.usage.dead_letters import DeadLetterService
from energy_tracker.services.usage.explain import ExplainService
from energy_tracker.services.usage.ports import ReadingStore
from energy_tracker.services.usage.queries import QueryService
from energy_tracker.services.usage.service import UsageService
from energy_tracker.services.usage.watch import HomeWatch
from energy_tracker.services.usage.worker import UsageWorker
from energy_tracker.wiring.background import keep_running


@dataclass(frozen=True, slots=True)
class UsageOptions:
    """How long readings of an unknown device wait (ms), and how often time is looked at (s)."""

    patience_ms: int = 300_000
    check_interval_s: float = 10.0


@asynccontextmanager
async def usage_service(
    *,
    log: EventLog,
    store: ReadingStore,
    directory: Directory,
    ingestion: IngestionClient,
    clock: Clock,
    options: UsageOptions,
) -> AsyncIterator[FastAPI]:
    """Give the application of usage-service; while it runs, it consumes the log, tells of episodes and watches time."""
    service = UsageService(store, directory, HomeWatch(store, directory), clock, options.patience_ms)
    worker = UsageWorker(log, store, service, clock, options.check_interval_s)
    queries = QueryService(store=store, directory=directory, intake=IngestionIntake(ingestion), clock=clock)
    app = create_api(
        queries=queries,
        explain=ExplainService(store, queries),
        rebuild=service,
        dead_letters=DeadLetterService(log),
        health=Health({"flow": worker.health}),
        telemetry=Telemetry("usage"),
    )
    directory.subscribe(worker.registry_changed)
    async with AsyncExitStack() as stack:
        for work in (worker.follow_registry, worker.consume, worker.publish, worker.watch_time):
            keep_running(stack, work(), name=f"usage: {work.__name__}")
        yield app
