"""The follower of episodes when what it needs is down."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.alert import UserDirectory, message
from tests.support.clock import VirtualClock

from energy_tracker.contracts.topics import ALERT_GROUP, ENERGY_ALERT_EPISODES, dead_letter_topic
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.eventlog.port import Batch, LogUnavailable, Message
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.services.alert.adapters.memory import MemoryAlertStore
from energy_tracker.services.alert.model.mails import MailPolicy
from energy_tracker.services.alert.ports import EpisodeQuery
from energy_tracker.services.alert.service.episodes import AlertService
from energy_tracker.services.alert.worker import EpisodeFollower


@dataclass
class Failing:
    """A part of which one call fails for as long as `error` is set."""

    port: Any
    name: str
    error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if name == self.name and self.error is not None:
            raise self.error
        return getattr(self.port, name)


@dataclass
class Follower:
    clock: VirtualClock = field(default_factory=VirtualClock)
    wakes: int = 0
    log: Any = None

    def __post_init__(self) -> None:
        self.log = Failing(MemoryEventLog(clock=self.clock) if self.log is None else self.log, "append")
        self.store = Failing(MemoryAlertStore(), "store")
        service = AlertService(
            repository=self.store,
            outbox=self.store,
            directory=UserDirectory(),
            clock=self.clock,
            policy=MailPolicy(),
        )
        self.follower = EpisodeFollower(
            event_log=self.log,
            service=service,
            repository=self.store,
            clock=self.clock,
            telemetry=Telemetry("alert"),
            on_stored=self.woken,
        )

    def woken(self) -> None:
        self.wakes += 1

    async def lag(self) -> int:
        return await self.log.lag(ENERGY_ALERT_EPISODES, group=ALERT_GROUP)


@pytest.fixture
async def world():
    made = Follower()
    task = asyncio.create_task(made.follower.run())
    yield made
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("error", [TemporarilyUnavailable("The database is locked."), RuntimeError("a mistake")])
async def test_a_store_that_is_down_is_waited_for_and_is_no_poison(world: Follower, error: Exception):
    world.store.error = error
    await world.log.append(ENERGY_ALERT_EPISODES, [message()])
    await world.clock.advance(300)
    assert await world.lag() == 1
    health = await world.follower.health()
    assert health.status == "DOWN"
    assert str(health.details["error"]).endswith(str(error))
    assert world.wakes == 0
    world.store.error = None
    await world.clock.advance(31)
    assert (await world.lag(), world.wakes) == (0, 1)
    assert (await world.follower.health()).status == "UP"
    assert await world.log.read(dead_letter_topic(ENERGY_ALERT_EPISODES)) == []
    assert await world.store.episode("high-usage-1-1") is not None


async def test_while_dead_letters_cannot_be_kept_nothing_is_committed(world: Follower):
    await world.log.append(ENERGY_ALERT_EPISODES, [message("a"), Message(None, b"poison"), message("b")])
    world.log.error = LogUnavailable("The log is full.")
    await world.clock.advance(60)
    assert await world.lag() == 3
    world.log.error = None
    await world.clock.advance(60)
    assert await world.lag() == 0
    assert [record.value for record in await world.log.read(dead_letter_topic(ENERGY_ALERT_EPISODES))] == [b"poison"]
    assert await world.store.episode("b") is not None


class Divided(MemoryEventLog):
    """A log of several partitions, in which a single offset is no position."""

    async def partitions(self, topic: str) -> int:  # noqa: ARG002 - the port's
        return 6

    def consume(self, topic: str, *, group: str, after: int | None = None, limit: int = 1000) -> AsyncIterator[Batch]:
        if after is not None:
            raise ValueError(topic)
        return super().consume(topic, group=group, limit=limit)


async def with_a_store_that_is_new(log: MemoryEventLog) -> list[str]:
    """Take two episodes, follow again with a store that has neither, and return what it has then."""
    first = Follower(log=log)
    await log.append(ENERGY_ALERT_EPISODES, [message("a"), message("b")])
    for world in (first, second := Follower(log=log)):
        task = asyncio.create_task(world.follower.run())
        await world.clock.advance(60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await world.follower.health()).status == "UP"
    assert await first.store.count_episodes(user_id=None, states=frozenset()) == 2
    return [episode.id for episode in await second.store.episodes(EpisodeQuery())]


async def test_a_store_from_a_backup_is_brought_up_to_date_from_a_log_of_one_partition():
    assert sorted(await with_a_store_that_is_new(MemoryEventLog(clock=VirtualClock()))) == ["a", "b"]


async def test_with_several_partitions_the_group_goes_on_where_it_committed():
    assert await with_a_store_that_is_new(Divided(clock=VirtualClock())) == []
