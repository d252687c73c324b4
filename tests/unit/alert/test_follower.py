"""The follower of episodes when what it needs is down."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.alert import UserDirectory, message
from tests.support.clock import VirtualClock

from energy_tracker.contracts.topics import ALERT_GROUP, ENERGY_ALERT_EPISODES, dead_letter_topic
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.eventlog.port import LogUnavailable, Message
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.services.alert.adapters.memory import MemoryAlertStore
from energy_tracker.services.alert.model.mails import MailPolicy
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

    def __post_init__(self) -> None:
        self.log = Failing(MemoryEventLog(clock=self.clock), "append")
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
