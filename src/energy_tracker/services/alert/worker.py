"""The tasks of alert-service: one follows the episodes, one sends the mails, one erases what deleted users leave."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import assert_never

from energy_tracker.contracts.topics import ALERT_GROUP, ENERGY_ALERT_EPISODES, dead_letter_topic
from energy_tracker.eventlog.dead_letter import dead_letter
from energy_tracker.eventlog.port import BEFORE_ALL, Batch, EventLog, Message
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import PartHealth
from energy_tracker.kit.problems import Problem
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.services.alert.model.mails import Deferred, Delivered, Held, Outcome, Refused
from energy_tracker.services.alert.model.transitions import NotATransition, Transition, read_transition
from energy_tracker.services.alert.ports import AlertRepository, DirectoryChange
from energy_tracker.services.alert.service.episodes import AlertService
from energy_tracker.services.alert.service.mailing import Mailing

log = logging.getLogger(__name__)

RECORDS_PER_BATCH = 200
FIRST_RETRY_S = 0.5
LAST_RETRY_S = 30.0
ONLY_PARTITION = 0


class _Loop:
    """Runs a step for ever, and waits longer after each failure that follows another."""

    def __init__(self, name: str, step: Callable[[], Awaitable[None]], *, clock: Clock) -> None:
        self._name = name
        self._step = step
        self._clock = clock
        self.failures = 0
        self.last_error: str | None = None

    async def run(self) -> None:
        while True:
            try:
                await self._step()
            except Problem as problem:  # a store or the log is down; what was under way comes again
                log.warning("%s waits: %s", self._name, problem.detail)
                await self._back_off(problem.detail)
            except Exception as error:
                log.exception("%s failed and goes on", self._name)
                await self._back_off(f"{type(error).__name__}: {error}")
            else:
                self.succeeded()

    def succeeded(self) -> None:
        self.failures = 0
        self.last_error = None

    async def _back_off(self, error: str) -> None:
        self.failures += 1
        self.last_error = error[:300]
        await self._clock.sleep(min(FIRST_RETRY_S * 2 ** min(self.failures - 1, 16), LAST_RETRY_S))


class EpisodeFollower:
    """Takes the transitions of episodes from the log: stores them, then commits, always last."""

    def __init__(
        self,
        *,
        event_log: EventLog,
        service: AlertService,
        repository: AlertRepository,
        clock: Clock,
        telemetry: Telemetry,
        on_stored: Callable[[], None],
    ) -> None:
        self._log = event_log
        self._service = service
        self._repository = repository
        self._clock = clock
        self._on_stored = on_stored
        self._transitions = telemetry.counter("alert_transitions", "Transitions of episodes taken", "outcome")
        self._loop = _Loop("the follower of episodes", self._follow, clock=clock)

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        await self._loop.run()

    async def health(self) -> PartHealth:
        """DOWN while what is in the log cannot be stored."""
        if self._loop.failures:
            return PartHealth("DOWN", {"error": self._loop.last_error, "failures": self._loop.failures})
        return PartHealth("UP", {"lag": await self._log.lag(ENERGY_ALERT_EPISODES, group=ALERT_GROUP)})

    async def _follow(self) -> None:
        batches = self._log.consume(
            ENERGY_ALERT_EPISODES, group=ALERT_GROUP, after=await self._own_position(), limit=RECORDS_PER_BATCH
        )
        async with aclosing(batches):  # type: ignore[type-var]  # every implementation is an async generator
            async for batch in batches:
                await self._take(batch)
                self._loop.succeeded()

    async def _own_position(self) -> int | None:
        """Return the stored position where it is behind the log's (the store was restored from a backup), else None.

        Where it is ahead, the process ended before it could commit: what comes again is known, and is committed then.
        """
        if await self._log.partitions(ENERGY_ALERT_EPISODES) != 1:
            return None  # a group goes on where it committed; several partitions cannot be told where to begin
        stored = (await self._repository.positions()).get(ONLY_PARTITION, BEFORE_ALL)
        return stored if stored < await self._log.committed(ENERGY_ALERT_EPISODES, group=ALERT_GROUP) else None

    async def _take(self, batch: Batch) -> None:
        transitions: list[Transition] = []
        poison: list[Message] = []
        positions: dict[int, int] = {}
        for record in batch.records:
            try:
                transitions.append(read_transition(record.value))
            except NotATransition as reason:
                log.warning("dead letter from %s at %d: %s", record.topic, record.offset, reason)
                poison.append(dead_letter(record, reason=str(reason), now_ms=self._clock.now_ms()))
            positions[record.partition] = record.offset
        if poison:
            await self._log.append(dead_letter_topic(ENERGY_ALERT_EPISODES), poison)
        new = await self._service.record_transitions(transitions=transitions, positions=positions)
        self._transitions.labels("stored").inc(new)
        self._transitions.labels("repeated").inc(len(transitions) - new)
        self._transitions.labels("dead-lettered").inc(len(poison))
        self._on_stored()
        await batch.commit()


class MailSender:
    """Sends the mails of the outbox as they become due."""

    def __init__(self, *, mailing: Mailing, repository: AlertRepository, clock: Clock, telemetry: Telemetry) -> None:
        self._mailing = mailing
        self._repository = repository
        self._clock = clock
        self._wake = asyncio.Event()
        self._released = False
        self._attempts = telemetry.counter("alert_mail_attempts", "Attempts to send a mail", "outcome")
        self._mails = telemetry.gauge("alert_mails", "Mails in the outbox", "state")
        self._episodes = telemetry.gauge("alert_episodes", "Episodes", "state")
        self._loop = _Loop("the sender of mails", self._round, clock=clock)

    def wake(self) -> None:
        """Say that the outbox may hold something new."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        await self._loop.run()

    async def health(self) -> PartHealth:
        """Return UP even if the mail server is down: no mail is lost by that, and nothing else waits for it."""
        server = self._mailing.server
        error = self._loop.last_error or server.last_error
        tally = await self._repository.tally()
        details: dict[str, object] = {"mails": dict(tally.mails)}
        return PartHealth("UP", details | ({"lastError": error, "failures": server.failures} if error else {}))

    async def _round(self) -> None:
        if not self._released:
            await self._mailing.release_held_mails()
            self._released = True
        self._wake.clear()
        while (outcome := await self._mailing.send_next_mail()) is not None:
            self._attempts.labels(_word(outcome)).inc()
        await self._count()
        await self._wait(await self._mailing.pause_ms() / 1000)

    async def _count(self) -> None:
        tally = await self._repository.tally()
        for mail_state, number in tally.mails.items():
            self._mails.labels(mail_state).set(number)
        for state, number in tally.episodes.items():
            self._episodes.labels(state).set(number)

    async def _wait(self, seconds: float) -> None:
        tasks = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._wake.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class UserEraser:
    """Erases what belongs to deleted users: at the start, and when the directory tells of a deletion."""

    def __init__(self, *, service: AlertService, clock: Clock) -> None:
        self._service = service
        self._changed = asyncio.Event()
        self._changed.set()
        self._loop = _Loop("the eraser of deleted users", self._round, clock=clock)

    async def on_change(self, change: DirectoryChange) -> None:
        """Look again whether a user was deleted."""
        if change.users:
            self._changed.set()

    async def run(self) -> None:
        """Erase until cancelled."""
        await self._loop.run()

    async def _round(self) -> None:
        await self._changed.wait()
        self._changed.clear()
        try:
            await self._service.erase_deleted_users()
        except BaseException:
            self._changed.set()
            raise


def _word(outcome: Outcome) -> str:
    match outcome:
        case Delivered():
            return "delivered"
        case Deferred():
            return "deferred"
        case Refused():
            return "refused"
        case Held():
            return "held"
        case _:
            assert_never(outcome)
