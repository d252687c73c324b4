"""What every store of episodes and mails promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.alert import START_MS, transition
from tests.support.clock import VirtualClock
from tests.support.relational import ON_SERVERS, any_engine, two_engines

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, to_iso
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.alert.adapters.memory import MemoryAlertStore
from energy_tracker.services.alert.adapters.sql import SqlAlertRepository, SqlMailOutbox
from energy_tracker.services.alert.model.mails import Mail, MailPolicy, Settlement, message_id
from energy_tracker.services.alert.model.rules import Change, Withdrawal, changes_of
from energy_tracker.services.alert.model.transitions import Transition
from energy_tracker.services.alert.ports import AlertRepository, EpisodeKey, EpisodeQuery, MailOutbox

LEASE_MS = 1_000


@dataclass(frozen=True)
class Store:
    repository: AlertRepository
    outbox: MailOutbox

    async def take(self, *transitions: Transition, policy: MailPolicy | None = None) -> list[Change]:
        known = await self.repository.known_episodes({each.episode_id for each in transitions})
        changes = changes_of(transitions, known, policy=policy or MailPolicy(), now_ms=START_MS)
        await self.repository.store(changes, {0: 1})
        return changes

    async def all_mails(self) -> list[Mail]:
        return [*reversed(await self.outbox.mails(states=frozenset(), before=None, limit=1000))]

    async def claim(self, now_ms: int = START_MS) -> Mail:
        mail = await self.outbox.claim(now_ms=now_ms, lease_ms=LEASE_MS)
        assert mail is not None
        return mail


@pytest.fixture(params=["memory", "sqlite", *ON_SERVERS])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        memory = MemoryAlertStore()
        yield Store(memory, memory)
        return
    async with any_engine(request, tmp_path) as engine:
        yield Store(SqlAlertRepository(engine, clock=VirtualClock()), SqlMailOutbox(engine))


async def test_an_episode_is_kept_as_it_was_told(store: Store):
    told = transition(device_id=2**63 - 1, user_id=2**63 - 1, message="Ä\U0001f50c' OR 1=1--")
    (change,) = await store.take(told)
    assert await store.repository.episode(told.episode_id) == change.episode
    assert (await store.repository.known_episodes([told.episode_id]))[told.episode_id].mails == {"opened"}
    assert await store.repository.episode("another") is None
    assert await store.repository.known_episodes([]) == {}


async def test_ids_that_differ_in_case_or_accents_are_two(store: Store):
    await store.take(transition("a"), transition("A"))
    assert await store.repository.count_episodes(user_id=1, states=frozenset()) == 2


async def test_an_older_version_changes_nothing(store: Store):
    await store.take(transition(version=2))
    (older,) = changes_of([transition()], {}, policy=MailPolicy(), now_ms=START_MS)
    await store.repository.store([older], {})
    episode = await store.repository.episode(older.episode.id)
    assert episode is not None
    assert episode.state == "ended"
    assert [mail.kind for mail in await store.all_mails()] == ["ended"]


async def test_a_message_id_is_taken_once(store: Store):
    (change,) = await store.take(transition())
    again = replace(change, episode=replace(change.episode, version=5))
    await store.repository.store([again, again], {})
    assert len(await store.all_mails()) == 1


async def test_positions_are_kept_with_the_changes(store: Store):
    assert await store.repository.positions() == {}
    await store.repository.store([], {0: 7, 3: 9})
    await store.repository.store([], {0: 8})
    assert await store.repository.positions() == {0: 8, 3: 9}


async def test_episodes_come_newest_first_in_pages(store: Store):
    instants = [START_MS + minute * MS_PER_MINUTE for minute in (0, 0, 1, 2, 3)]
    await store.take(
        *(transition(f"e{n}", opened_at=to_iso(instant), user_id=n % 2) for n, instant in enumerate(instants))
    )
    listed = await store.repository.episodes(EpisodeQuery(limit=3))
    assert [episode.id for episode in listed] == ["e4", "e3", "e2"]
    after = EpisodeKey(listed[-1].opened_at_ms, listed[-1].id)
    assert [each.id for each in await store.repository.episodes(EpisodeQuery(after=after))] == ["e1", "e0"]
    assert [each.id for each in await store.repository.episodes(EpisodeQuery(user_id=1))] == ["e3", "e1"]
    assert await store.repository.episodes(EpisodeQuery(user_id=99)) == []
    assert await store.repository.user_ids(after=0, limit=9) == [1]


async def test_states_are_filtered_and_counted(store: Store):
    await store.take(*(transition(f"e{n}", user_id=n) for n in range(3)), transition("e2", 2, user_id=2))
    await store.repository.acknowledge("e1", at_ms=5, reminder="seen")
    for state, expected in (("open", "e0"), ("acknowledged", "e1"), ("ended", "e2")):
        states = frozenset({state})
        assert [each.id for each in await store.repository.episodes(EpisodeQuery(states=states))] == [expected]
        assert await store.repository.count_episodes(user_id=None, states=states) == 1
    assert await store.repository.count_episodes(user_id=1, states=frozenset({"open", "ended"})) == 0
    tally = await store.repository.tally()
    assert tally.episodes == {"open": 1, "acknowledged": 1, "ended": 1}
    assert tally.mails == {"queued": 4, "sent": 0, "suppressed": 0, "held": 0}


async def test_the_first_acknowledgement_stays_and_survives_later_versions(store: Store):
    await store.take(transition(), policy=MailPolicy(remind_after_ms=5))
    assert await store.repository.acknowledge("nothing", at_ms=1, reminder="seen") is None
    for at_ms in (10, 20):
        episode = await store.repository.acknowledge("high-usage-1-1", at_ms=at_ms, reminder="seen")
        assert episode is not None
        assert (episode.state, episode.acknowledged_at_ms) == ("acknowledged", 10)
    await store.take(transition(version=2, state="open", energy_consumed_kwh=9.0))
    episode = await store.repository.episode("high-usage-1-1")
    assert episode is not None
    assert (episode.acknowledged_at_ms, episode.energy_consumed_kwh) == (10, 9.0)
    assert [(mail.state, mail.last_error) for mail in await store.all_mails()] == [
        ("queued", None),
        ("suppressed", "seen"),
    ]


async def test_a_mail_is_claimed_by_one_until_its_lease_ends(store: Store):
    await store.take(transition())
    claimed = await store.claim()
    assert (claimed.attempts, claimed.next_attempt_at_ms) == (1, START_MS + LEASE_MS)
    assert await store.outbox.claim(now_ms=START_MS + LEASE_MS - 1, lease_ms=LEASE_MS) is None
    assert await store.outbox.next_attempt_at_ms() == START_MS + LEASE_MS
    assert (await store.claim(START_MS + LEASE_MS)).attempts == 2


async def test_the_mails_of_an_episode_keep_their_order_and_others_do_not_wait(store: Store):
    await store.take(transition("a"), transition("b"), transition("a", 2))
    first, second = await store.claim(), await store.claim()
    assert [(mail.episode_id, mail.kind) for mail in (first, second)] == [("a", "opened"), ("b", "opened")]
    assert await store.outbox.claim(now_ms=START_MS, lease_ms=LEASE_MS) is None
    retry = Settlement(state="queued", at_ms=START_MS, next_attempt_at_ms=START_MS + 500, error="busy")
    assert await store.outbox.settle(first, retry)
    assert await store.outbox.next_attempt_at_ms() == START_MS + 500
    again = await store.claim(START_MS + 500)
    assert again.last_error == "busy"
    assert await store.outbox.settle(again, Settlement(state="sent", at_ms=START_MS + 600))
    assert (await store.claim(START_MS + 600)).kind == "ended"


@pytest.mark.parametrize("state", ["queued", "suppressed", "held"])
async def test_an_attempt_that_outlived_its_lease_changes_nothing_while_another_is_under_way(store: Store, state: str):
    await store.take(transition())
    stale = await store.claim()
    current = await store.claim(START_MS + LEASE_MS)
    late = Settlement(state=state, at_ms=START_MS + LEASE_MS, next_attempt_at_ms=START_MS + LEASE_MS, error="late")  # type: ignore[arg-type]  # one of the states
    assert not await store.outbox.settle(stale, late)
    assert await store.all_mails() == [current]
    assert await store.outbox.claim(now_ms=current.next_attempt_at_ms - 1, lease_ms=LEASE_MS) is None
    sent = Settlement(state="sent", at_ms=START_MS + LEASE_MS)
    assert await store.outbox.settle(stale, sent)  # what went out, went out
    assert not await store.outbox.settle(current, replace(late, state="queued"))
    assert [mail.state for mail in await store.all_mails()] == ["sent"]


@pytest.mark.parametrize("state", ["sent", "suppressed", "held"])
async def test_a_settled_mail_is_not_claimed_again(store: Store, state: str):
    await store.take(transition())
    mail = await store.claim()
    assert await store.outbox.settle(mail, Settlement(state=state, at_ms=START_MS + 1, error="so"))  # type: ignore[arg-type]  # one of the states
    assert await store.outbox.claim(now_ms=START_MS + MS_PER_DAY, lease_ms=LEASE_MS) is None
    assert await store.outbox.next_attempt_at_ms() is None
    (settled,) = await store.all_mails()
    assert (settled.state, settled.sent_at_ms) == (state, START_MS + 1 if state == "sent" else None)
    episode = await store.repository.episode(mail.episode_id)
    assert episode is not None
    assert episode.sent == (state == "sent")


async def test_an_untried_mail_is_withdrawn_and_one_that_was_tried_is_not(store: Store):
    changes = await store.take(transition("tried"))
    await store.claim()
    changes += await store.take(transition("untried"))
    for change in changes:
        withdrawal = Withdrawal(change.mails[0].message_id, "overtaken", only_untried=True)
        newer = Change(replace(change.episode, version=2), withdrawals=(withdrawal,))
        await store.repository.store([newer], {})
    assert [(mail.state, mail.last_error) for mail in await store.all_mails()] == [
        ("queued", None),
        ("suppressed", "overtaken"),
    ]


async def test_a_withdrawn_mail_is_not_queued_again_by_an_attempt_under_way(store: Store):
    await store.take(transition(), policy=MailPolicy(remind_after_ms=1))
    await store.outbox.settle(await store.claim(), Settlement(state="sent", at_ms=START_MS))
    reminder = await store.claim(START_MS + 1)
    await store.repository.acknowledge(reminder.episode_id, at_ms=1, reminder="seen")
    assert not await store.outbox.settle(reminder, Settlement(state="queued", at_ms=START_MS + 2, error="busy"))
    assert await store.outbox.settle(
        reminder, Settlement(state="sent", at_ms=START_MS + 2)
    )  # but what went out, went out


async def test_held_mails_are_released_while_they_are_news(store: Store):
    for number in range(2):
        await store.take(transition(f"e{number}"))
        await store.outbox.settle(await store.claim(), Settlement(state="held", at_ms=START_MS))
    await store.take(transition("e2"))
    assert await store.outbox.release_held(now_ms=START_MS + 9, oldest_ms=START_MS, reason="old") == 2
    assert await store.outbox.release_held(now_ms=START_MS + 9, oldest_ms=START_MS, reason="old") == 0
    held = await store.claim()
    await store.outbox.settle(held, Settlement(state="held", at_ms=START_MS))
    assert await store.outbox.release_held(now_ms=START_MS + 9, oldest_ms=START_MS + 1, reason="old") == 0
    states = {mail.message_id: (mail.state, mail.last_error) for mail in await store.all_mails()}
    assert states[held.message_id] == ("suppressed", "old")
    assert states[message_id("e0", "opened")] == ("queued", None)


async def test_mails_are_listed_newest_first_in_pages(store: Store):
    await store.take(*(transition(f"e{number}") for number in range(3)))
    first = await store.outbox.mails(states=frozenset({"queued"}), before=None, limit=2)
    rest = await store.outbox.mails(states=frozenset({"queued"}), before=first[-1].id, limit=2)
    assert [mail.episode_id for mail in (*first, *rest)] == ["e2", "e1", "e0"]
    assert await store.outbox.mails(states=frozenset({"sent"}), before=None, limit=2) == []


async def test_a_user_is_erased_whole(store: Store):
    await store.take(transition("mine"), transition("theirs", user_id=2))
    claimed = await store.claim()
    assert await store.repository.erase_user(1) == 1
    assert await store.repository.erase_user(1) == 0
    assert [mail.episode_id for mail in await store.all_mails()] == ["theirs"]
    assert not await store.outbox.settle(claimed, Settlement(state="sent", at_ms=START_MS))
    assert await store.repository.user_ids(after=-1, limit=10) == [2]


@pytest.fixture(params=["sqlite", *ON_SERVERS])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    async with any_engine(request, tmp_path) as engine:
        yield engine


async def test_a_database_takes_all_or_nothing(engine: AsyncEngine):
    (good,) = changes_of([transition("a")], {}, policy=MailPolicy(), now_ms=START_MS)
    broken = Change(replace(good.episode, id="b", message=None))  # type: ignore[arg-type]  # what no database takes
    repository = SqlAlertRepository(engine, clock=VirtualClock())
    with pytest.raises(TemporarilyUnavailable):
        await repository.store([good, broken], {0: 3})
    assert await repository.episode("a") is None
    assert await repository.positions() == {}


@pytest.fixture(params=ON_SERVERS)
async def replicas(request: pytest.FixtureRequest) -> AsyncIterator[list[Store]]:
    async with two_engines(request) as engines:
        yield [Store(SqlAlertRepository(each, clock=VirtualClock()), SqlMailOutbox(each)) for each in engines]


async def test_two_processes_never_claim_one_mail(replicas: list[Store]):
    await replicas[0].take(*(transition(f"e{number}") for number in range(40)))
    claimed: list[str] = []

    async def claim_all(outbox: MailOutbox) -> None:
        while (mail := await outbox.claim(now_ms=START_MS, lease_ms=LEASE_MS)) is not None:
            claimed.append(mail.episode_id)

    await asyncio.gather(*(claim_all(replica.outbox) for replica in replicas * 3))
    assert sorted(claimed) == sorted(f"e{number}" for number in range(40))


async def test_two_processes_may_store_the_same_changes_and_positions_at_once(replicas: list[Store]):
    transitions = [transition(f"e{number}") for number in range(10)]
    changes = changes_of(transitions, {}, policy=MailPolicy(), now_ms=START_MS)
    for positions in ({0: 1, 1: 1}, {1: 2, 0: 2}, {2: 3}):
        await asyncio.gather(
            *(
                replica.repository.store(changes if number % 2 else changes[::-1], positions)
                for number, replica in enumerate(replicas * 3)
            )
        )
    assert await replicas[0].repository.count_episodes(user_id=None, states=frozenset()) == 10
    assert len(await replicas[0].all_mails()) == 10
    assert await replicas[1].repository.positions() == {0: 2, 1: 2, 2: 3}


async def test_what_one_process_stores_another_acknowledges_sends_and_erases(replicas: list[Store]):
    """Everything at once, in opposite orders: no call fails, and nothing is left half done."""
    here, there = replicas
    policy = MailPolicy(remind_after_ms=1)

    async def live(user_id: int) -> None:
        name = f"e{user_id}"
        await here.take(transition(name, user_id=user_id), policy=policy)
        await asyncio.gather(
            there.repository.acknowledge(name, at_ms=5, reminder="seen"),
            here.take(transition(name, 2, user_id=user_id), policy=policy),
            send(there),
            send(here),
        )
        if user_id % 2:
            await asyncio.gather(
                there.repository.erase_user(user_id),
                send(here),
                here.outbox.release_held(now_ms=START_MS, oldest_ms=0, reason="old"),
            )

    async def send(store: Store) -> None:
        mail = await store.outbox.claim(now_ms=START_MS + 2, lease_ms=LEASE_MS)
        if mail is not None:
            await store.outbox.settle(mail, Settlement(state="sent", at_ms=START_MS))

    await asyncio.gather(*(live(user_id) for user_id in range(1, 13)))
    assert await here.repository.user_ids(after=-1, limit=100) == [2, 4, 6, 8, 10, 12]
    assert {mail.user_id for mail in await there.all_mails()} == {2, 4, 6, 8, 10, 12}
    tally = await here.repository.tally()
    assert tally.episodes == {"open": 0, "acknowledged": 0, "ended": 6}
