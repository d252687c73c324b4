"""The sender of mails: several processes on one outbox, stores that fail, servers that hang or are away for long."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.alert import START_MS, database, transition
from tests.support.clock import VirtualClock

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.alert.adapters.memory import MemoryAlertStore, MemoryNotifier
from energy_tracker.services.alert.adapters.sql import SqlAlertRepository, SqlMailOutbox
from energy_tracker.services.alert.model.mails import (
    Deferred,
    Delivered,
    Mail,
    MailPolicy,
    Outcome,
    Settlement,
)
from energy_tracker.services.alert.model.rules import changes_of
from energy_tracker.services.alert.ports import AlertRepository, MailOutbox, Notifier
from energy_tracker.services.alert.service.mailing import Mailing

POLICY = MailPolicy()


@dataclass
class Slow:
    """Takes each mail, and says so only when it is told to."""

    delivers: bool = True
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    taken: list[Mail] = field(default_factory=list)

    async def send(self, mail: Mail) -> Outcome:
        self.begun.set()
        self.taken.append(mail)
        await self.go_on.wait()
        return Delivered()


@dataclass
class Away:
    """A server that is not there."""

    delivers: bool = True
    attempts: list[int] = field(default_factory=list)

    async def send(self, mail: Mail) -> Outcome:
        self.attempts.append(mail.id)
        return Deferred("no connection", whole_server=True)


@dataclass
class StoreThatFails:
    """An outbox whose store is down when an attempt ends, so many times."""

    outbox: MailOutbox
    failures: int

    def __getattr__(self, name: str) -> object:
        return getattr(self.outbox, name)

    async def settle(self, mail: Mail, settlement: Settlement) -> bool:
        if self.failures:
            self.failures -= 1
            raise TemporarilyUnavailable("The store is down.")
        return await self.outbox.settle(mail, settlement)


async def fill(repository: AlertRepository, mails: int) -> None:
    transitions = [transition(f"high-usage-{number}", user_id=number) for number in range(1, mails + 1)]
    await repository.store(changes_of(transitions, {}, policy=POLICY, now_ms=START_MS), {0: mails})


def mailing(outbox: MailOutbox, notifier: Notifier, clock: VirtualClock, policy: MailPolicy = POLICY) -> Mailing:
    return Mailing(outbox=outbox, notifier=notifier, clock=clock, policy=policy, random=lambda: 0.0)


@asynccontextmanager
async def a_store(kind: str, clock: VirtualClock, path: Path) -> AsyncIterator[tuple[AlertRepository, MailOutbox]]:
    if kind == "memory":
        store = MemoryAlertStore()
        yield store, store
    else:
        async with database(path / "alert.db") as engine:
            yield SqlAlertRepository(engine, clock=clock), SqlMailOutbox(engine)


async def send_all(sender: Mailing, outbox: MailOutbox) -> None:
    while (await outbox.mails(states=frozenset({"queued"}), before=None, limit=1)) != []:
        if await sender.send_next_mail() is None:
            await asyncio.sleep(0)  # the other has what is due


@pytest.mark.parametrize("kind", ["memory", "sql"])
async def test_two_processes_on_one_outbox_send_each_mail_once(kind: str, tmp_path: Path):
    clock, notifier = VirtualClock(), MemoryNotifier()
    async with a_store(kind, clock, tmp_path) as (repository, outbox):
        await fill(repository, 25)
        await asyncio.gather(*(send_all(mailing(outbox, notifier, clock), outbox) for _ in range(2)))
    sent = Counter(mail.message_id for mail in notifier.taken)
    assert len(sent) == 25
    assert set(sent.values()) == {1}


async def test_a_mail_that_one_process_is_sending_is_left_alone_by_the_other():
    clock, store, slow, quick = VirtualClock(), MemoryAlertStore(), Slow(), MemoryNotifier()
    await fill(store, 3)
    busy = asyncio.create_task(mailing(store, slow, clock).send_next_mail())
    await slow.begun.wait()
    other = mailing(store, quick, clock)
    while await other.send_next_mail() is not None:
        await clock.advance(1)
    slow.go_on.set()
    assert await busy == Delivered()
    assert [mail.id for mail in slow.taken] == [1]
    assert [mail.id for mail in quick.taken] == [2, 3]


async def test_an_attempt_ends_well_before_the_mail_is_anybody_elses():
    assert POLICY.longest_attempt_ms < POLICY.lease_ms
    clock, store, slow = VirtualClock(), MemoryAlertStore(), Slow()
    await fill(store, 1)
    outcome = await mailing(store, slow, clock, MailPolicy(lease_ms=40)).send_next_mail()
    assert outcome == Deferred("the attempt took longer than 0.03 s", whole_server=True)
    (mail,) = await store.mails(states=frozenset(), before=None, limit=9)
    assert (mail.state, mail.last_error) == ("queued", "the attempt took longer than 0.03 s")


async def test_a_store_that_is_down_after_a_mail_went_out_is_no_reason_to_send_it_again():
    clock, store, notifier = VirtualClock(), MemoryAlertStore(), MemoryNotifier()
    await fill(store, 2)
    sender = mailing(StoreThatFails(store, failures=2), notifier, clock)  # type: ignore[arg-type]  # the rest is passed on
    for _ in range(2):
        with pytest.raises(TemporarilyUnavailable):
            await sender.send_next_mail()
        await clock.advance(POLICY.lease_ms / 1000 + 1)
    while await sender.send_next_mail() is not None:
        pass
    assert [mail.id for mail in notifier.taken] == [1, 2]
    assert (await store.tally()).mails["sent"] == 2


async def test_the_end_of_the_service_waits_for_a_server_that_is_about_to_answer():
    clock, store, slow = VirtualClock(), MemoryAlertStore(), Slow()
    await fill(store, 1)
    sending = asyncio.create_task(mailing(store, slow, clock).send_next_mail())
    await slow.begun.wait()
    sending.cancel()
    await clock.settle()
    assert not sending.done()
    slow.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert (await store.tally()).mails["sent"] == 1


async def test_the_end_of_the_service_waits_for_no_server_for_long():
    clock, store, slow = VirtualClock(), MemoryAlertStore(), Slow()
    await fill(store, 1)
    sending = asyncio.create_task(mailing(store, slow, clock, MailPolicy(finish_ms=10)).send_next_mail())
    await slow.begun.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    (mail,) = await store.mails(states=frozenset(), before=None, limit=9)
    assert (mail.state, mail.attempts, mail.next_attempt_at_ms) == ("queued", 1, START_MS + POLICY.lease_ms)


async def test_a_server_that_is_away_for_a_day_is_asked_seldom_and_found_again_within_half_an_hour():
    clock, store, away = VirtualClock(), MemoryAlertStore(), Away()
    await fill(store, 50)
    sender = mailing(store, away, clock)
    pauses: list[int] = []
    while clock.now_ms() - START_MS < MS_PER_DAY:
        await sender.send_next_mail()
        pauses.append(sender.server.resume_at_ms - clock.now_ms())
        await clock.advance(max(await sender.pause_ms(), 1) / 1000)
    assert max(pauses) == POLICY.last_retry_ms == 30 * MS_PER_MINUTE
    assert len(away.attempts) < 60, "one mail is tried for all of them"
    assert sender.server.failures == len(away.attempts)
    back = mailing(store, MemoryNotifier(), clock)
    waited_ms = 0
    while (await store.tally()).mails["queued"]:
        if await back.send_next_mail() is None:
            pause_ms = max(await back.pause_ms(), 1)
            await clock.advance(pause_ms / 1000)
            waited_ms += pause_ms
    assert waited_ms <= POLICY.last_retry_ms
    assert (await store.tally()).mails["sent"] == 50
