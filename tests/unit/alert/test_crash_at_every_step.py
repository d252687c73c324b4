"""The process ends just before and just after every call of a port, and starts again on what is left."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.alert import UserDirectory, database, message
from tests.support.clock import VirtualClock
from tests.support.crashing import Crashing, CrashingLog, CrashPlan, ProcessEnded

from energy_tracker.contracts.topics import ALERT_GROUP, ENERGY_ALERT_EPISODES, dead_letter_topic
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.eventlog.port import Message
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.services.alert.adapters.memory import MemoryAlertStore
from energy_tracker.services.alert.adapters.sql import SqlAlertRepository, SqlMailOutbox
from energy_tracker.services.alert.model.mails import (
    Deferred,
    Delivered,
    Mail,
    MailKind,
    MailPolicy,
    Outcome,
    Refused,
    message_id,
)
from energy_tracker.services.alert.ports import AlertRepository, MailOutbox
from energy_tracker.services.alert.service.episodes import AlertService
from energy_tracker.services.alert.service.mailing import Mailing
from energy_tracker.services.alert.worker import EpisodeFollower, MailSender

POLICY = MailPolicy(remind_after_ms=600_000)
ROUNDS = 200

# What happens, in order; each message may come in a batch of its own or with others.
HISTORY: Sequence[Message] = (
    message("a", 1),
    message("a", 1),
    Message("1", b"\xff not a transition"),
    message("late", 1, notify=False),
    message("b", 1, user_id=2, rule="silent-device", device_id=7, device_name="Fridge"),
    message("a", 2, state="open", energy_consumed_kwh=3.0),
    message("off", 1, alerting=False),
    message("a", 3),
    message("b", 1, user_id=2, rule="silent-device", device_id=7, device_name="Fridge"),
    message("refused", 1, email="nobody@example.org"),
    message("late", 2, notify=False),
    message("off", 2, alerting=False),
)
DUE: set[tuple[str, MailKind]] = {("a", "opened"), ("a", "ended"), ("b", "opened"), ("b", "reminder")}
A_REMINDER: tuple[str, MailKind] = ("a", "reminder")  # sent only where time passes before the end


@dataclass
class FlakyServer:
    """A mail server that is the same over restarts: it answers 4xx, drops the line after DATA, refuses, or delivers."""

    delivers: bool = True
    taken: list[Mail] = field(default_factory=list)
    moods: Iterator[int] = field(default_factory=itertools.count)

    async def send(self, mail: Mail) -> Outcome:
        if mail.recipient == "nobody@example.org":
            return Refused("550 no such mailbox")
        mood = next(self.moods) % 4
        if mood == 1:
            return Deferred("450 busy", whole_server=False)
        if mood == 3:
            return Deferred("no connection", whole_server=True)
        self.taken.append(mail)
        return Deferred("connection lost after DATA", whole_server=True) if mood == 2 else Delivered()


@dataclass
class World:
    """What survives the process."""

    repository: AlertRepository
    outbox: MailOutbox
    clock: VirtualClock
    server: FlakyServer = field(default_factory=FlakyServer)

    def __post_init__(self) -> None:
        self.log = MemoryEventLog(clock=self.clock)

    async def live(self, plan: CrashPlan) -> None:
        """Run one process until all is done, or until it ends."""
        repository, outbox = Crashing(self.repository, plan), Crashing(self.outbox, plan)
        log, notifier = CrashingLog(self.log, plan), Crashing(self.server, plan)
        telemetry = Telemetry("alert")
        service = AlertService(
            repository=repository, outbox=outbox, directory=UserDirectory(), clock=self.clock, policy=POLICY
        )
        mailing = Mailing(outbox=outbox, notifier=notifier, clock=self.clock, policy=POLICY, random=lambda: 0.5)
        sender = MailSender(mailing=mailing, repository=repository, clock=self.clock, telemetry=telemetry)
        follower = EpisodeFollower(
            event_log=log,
            service=service,
            repository=repository,
            clock=self.clock,
            telemetry=telemetry,
            on_stored=sender.wake,
        )
        tasks = [asyncio.create_task(follower.run()), asyncio.create_task(sender.run())]
        try:
            for _ in range(ROUNDS):
                await self.clock.advance(120)
                await self.at_rest(tasks)
                if plan.ended or await self.is_done():
                    break
            else:
                pytest.fail("the world did not come to rest")
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError | ProcessEnded) for end in ends), ends

    async def at_rest(self, tasks: list["asyncio.Task[None]"]) -> None:
        """Wait until the sender sleeps on the virtual clock again, whatever a database's thread is doing meanwhile."""
        while self.clock.next_wake_ms is None and not any(task.done() for task in tasks):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.0005)

    async def is_done(self) -> bool:
        queued = (await self.repository.tally()).mails["queued"]
        return queued == 0 and await self.log.lag(ENERGY_ALERT_EPISODES, group=ALERT_GROUP) == 0

    async def check(self) -> None:
        taken = {(mail.episode_id, mail.kind) for mail in self.server.taken}
        assert taken - {A_REMINDER} == DUE
        first: dict[str, Mail] = {}
        for mail in self.server.taken:
            assert mail.message_id == message_id(mail.episode_id, mail.kind)
            before = first.setdefault(mail.message_id, mail)
            assert (before.subject, before.text, before.html) == (mail.subject, mail.text, mail.html)
        order = [mail.kind for mail in self.server.taken if mail.episode_id == "a"]
        assert order == sorted(order, key=("opened", "reminder", "ended").index)
        episodes = {name: await self.repository.episode(name) for name in ("a", "b", "late", "off", "refused")}
        states = {name: episode and (episode.state, episode.sent) for name, episode in episodes.items()}
        assert states == {
            "a": ("ended", True),
            "b": ("open", True),
            "late": ("ended", False),
            "off": ("ended", False),
            "refused": ("open", False),
        }
        dead = await self.log.read(dead_letter_topic(ENERGY_ALERT_EPISODES))
        assert {record.value for record in dead} == {b"\xff not a transition"}
        suppressed = await self.outbox.mails(states=frozenset({"suppressed"}), before=None, limit=100)
        assert {(mail.episode_id, mail.kind) for mail in suppressed} == {
            ("refused", "opened"),
            ("refused", "reminder"),
        } | ({A_REMINDER} - taken)


async def run(plan: CrashPlan, sizes: Sequence[int], file: Path | None = None) -> CrashPlan:
    """Let the history happen in pieces of these sizes, with a process that ends as planned and is started again.

    With a `file` on SQLite, else in memory.
    """
    async with AsyncExitStack() as stack:
        clock = VirtualClock()
        if file is None:
            store = MemoryAlertStore()
            return await live_through(World(store, store, clock), plan, sizes)
        engine = await stack.enter_async_context(database(file))
        return await live_through(
            World(SqlAlertRepository(engine, clock=clock), SqlMailOutbox(engine), clock), plan, sizes
        )


async def live_through(world: World, plan: CrashPlan, sizes: Sequence[int]) -> CrashPlan:
    """Append the history piece by piece, let each come to rest, and check what is left."""
    remaining = list(HISTORY)
    for size in (*sizes, len(HISTORY)):
        piece, remaining = remaining[:size], remaining[size:]
        if piece:
            await world.log.append(ENERGY_ALERT_EPISODES, piece)
            await world.live(plan)
            if plan.ended:
                plan = CrashPlan(calls=plan.calls)
                await world.live(plan)
    await world.check()
    return plan


@pytest.mark.parametrize(("sizes", "every"), [([12], 1), ([5, 3], 7), ([1] * 12, 23)])
async def test_every_episode_has_its_mails_wherever_the_process_ends(sizes: Sequence[int], every: int):
    whole = await run(CrashPlan(), sizes)
    for number, (call, after) in enumerate(itertools.product(range(1, whole.calls + 1), (False, True))):
        if number % every == 0:
            await run(CrashPlan(at_call=call, after=after), sizes)


@pytest.mark.parametrize(("call", "after"), [(6, False), (12, True)])
async def test_the_same_on_sqlite(tmp_path: Path, call: int, after: bool):
    plan = await run(CrashPlan(at_call=call, after=after), [5, 3], tmp_path / "alert.db")
    assert plan.at_call == 0, "the process was ended and started again"
