"""usage-service, put together."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI

from energy_tracker.clients.directory import Directory
from energy_tracker.eventlog.port import EventLog
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import Check, Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.services.usage.api import create_api
from energy_tracker.services.usage.api_forecast import forecast_routes
from energy_tracker.services.usage.api_outdoor import outdoor_routes
from energy_tracker.services.usage.api_watch import watch_routes
from energy_tracker.services.usage.dead_letters import DeadLetterService
from energy_tracker.services.usage.explain import ExplainService
from energy_tracker.services.usage.forecasting import ForecastService
from energy_tracker.services.usage.intake import IntakeLedger, UsageStream
from energy_tracker.services.usage.month_limit import MonthLimitWatch
from energy_tracker.services.usage.neighbours import Neighbours
from energy_tracker.services.usage.outdoor import OutdoorTemperatures
from energy_tracker.services.usage.ports import Homes, ReadingStore
from energy_tracker.services.usage.queries import QueryService
from energy_tracker.services.usage.rehearsal import RehearsalService
from energy_tracker.services.usage.service import UsageService
from energy_tracker.services.usage.unusual import UnusualWatch
from energy_tracker.services.usage.unusual_wishes import WatchWishes
from energy_tracker.services.usage.watch import HomeWatch
from energy_tracker.services.usage.worker import UsageWorker
from energy_tracker.wiring.background import keep_running


@dataclass(frozen=True, slots=True)
class UsageOptions:
    """How long readings of an unknown device wait (ms), and how often time is looked at (s)."""

    patience_ms: int = 300_000
    check_interval_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageBackends:
    """The log and the readings, and which homes of them are this process's; `checks` are their health.

    `neighbours` are the processes that look after the others, where there may be any.
    """

    log: EventLog
    stream: UsageStream
    store: ReadingStore
    intake: IntakeLedger
    homes: Homes
    neighbours: Neighbours | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)


@asynccontextmanager
async def usage_service(
    *, backends: UsageBackends, directory: Directory, clock: Clock, options: UsageOptions
) -> AsyncIterator[FastAPI]:
    """Give the application of usage-service; while it runs, it consumes the log, tells of episodes and watches time."""
    store, homes = backends.store, backends.homes
    watch = HomeWatch(store, directory, homes)
    service = UsageService(store, directory, watch, clock, options.patience_ms, homes=homes)
    telemetry = Telemetry("usage")
    worker = UsageWorker(
        backends.log, backends.stream, store, service, clock, options.check_interval_s, telemetry=telemetry
    )
    worker.unusual = unusual = UnusualWatch(store, directory, homes, service.recorder, clock)
    worker.limits = MonthLimitWatch(unusual)
    queries = QueryService(store=store, directory=directory, intake=backends.intake, clock=clock)
    app = create_api(
        queries=queries,
        explain=ExplainService(store, queries),
        rebuild=service,
        dead_letters=DeadLetterService(backends.log),
        health=Health({"flow": worker.health, **backends.checks}),
        telemetry=telemetry,
    )
    app.include_router(watch_routes(WatchWishes(unusual, clock), RehearsalService(unusual), backends.neighbours))
    app.include_router(outdoor_routes(OutdoorTemperatures(unusual), backends.neighbours))
    app.include_router(forecast_routes(ForecastService(queries, store, clock)))
    directory.subscribe(worker.registry_changed)
    async with AsyncExitStack() as stack:
        for work in (
            worker.follow_registry,
            worker.consume,
            worker.publish,
            worker.watch_time,
            worker.watch_for_unusual_use,
            worker.watch_month_limits,
        ):
            keep_running(stack, work(), name=f"usage: {work.__name__}")
        yield app
