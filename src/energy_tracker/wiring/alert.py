"""alert-service, put together."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from energy_tracker.eventlog.port import EventLog
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import Check, Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.alert.adapters.outbox import OutboxNotifier
from energy_tracker.services.alert.adapters.smtp import SmtpNotifier
from energy_tracker.services.alert.adapters.sql import SqlAlertRepository, SqlMailOutbox
from energy_tracker.services.alert.api import AlertApi
from energy_tracker.services.alert.model.mails import MailPolicy, MailSettings
from energy_tracker.services.alert.ports import Directory
from energy_tracker.services.alert.service.episodes import AlertService
from energy_tracker.services.alert.service.mailing import Mailing
from energy_tracker.services.alert.worker import EpisodeFollower, MailSender, UserEraser
from energy_tracker.storage.sql import database_check
from energy_tracker.wiring.background import keep_running


@asynccontextmanager
async def alert_service(  # noqa: PLR0913 - the collaborators, each named
    *,
    engine: AsyncEngine,
    log: EventLog,
    directory: Directory,
    clock: Clock,
    mail: MailSettings,
    policy: MailPolicy | None = None,
    log_health: Check | None = None,
) -> AsyncIterator[FastAPI]:
    """Give the application of alert-service; its tables are migrated already. Mails go out while the block runs.

    `log_health` checks a log that can be down by itself.
    """
    policy = policy or MailPolicy()
    telemetry = Telemetry("alert")
    repository, outbox = SqlAlertRepository(engine, clock=clock), SqlMailOutbox(engine)
    notifier = OutboxNotifier() if mail.host is None else SmtpNotifier(mail)
    service = AlertService(repository=repository, outbox=outbox, directory=directory, clock=clock, policy=policy)
    mailing = Mailing(outbox=outbox, notifier=notifier, clock=clock, policy=policy, random=random.random)
    sender = MailSender(mailing=mailing, repository=repository, clock=clock, telemetry=telemetry)
    eraser = UserEraser(service=service, clock=clock)
    follower = EpisodeFollower(
        event_log=log,
        service=service,
        repository=repository,
        clock=clock,
        telemetry=telemetry,
        on_stored=sender.wake,
    )
    health = Health({"database": database_check(engine), "episodes": follower.health, "mail": sender.health})
    if log_health is not None:
        health.checks["log"] = log_health
    app = create_app("alert", description="Alerts, and the mails about them.", health=health, telemetry=telemetry)
    app.include_router(AlertApi(service).router())
    directory.subscribe(eraser.on_change)
    async with AsyncExitStack() as stack:
        for worker in (follower, sender, eraser):
            keep_running(stack, worker.run(), name=f"alert: {type(worker).__name__}")
        yield app
