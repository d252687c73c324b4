"""What other usage-services have committed: as of the question, one request for all who ask meanwhile."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Consumer

from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.port import LogUnavailable
from energy_tracker.services.usage.adapters import kafka_ledger
from energy_tracker.services.usage.adapters.flow_notes import Note, newest
from energy_tracker.services.usage.adapters.kafka_ledger import KafkaLedger


@dataclass
class Kafka:
    """A Kafka in which something is committed whenever it is asked, and which answers when the test lets it."""

    asked: int = 0
    away: bool = False
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, question: Callable[[Consumer], Any]) -> Any:
        del question
        self.asked += 1
        found = {0: Note(epoch=self.asked)}
        await self.answers.wait()
        if self.away:
            message = "It is away."
            raise LogUnavailable(message)
        return {}, found


class NothingTurnedAway:
    async def totals(self) -> tuple[int, int]:
        return 0, 0


@pytest.fixture
def kafka() -> Kafka:
    kafka = Kafka()
    kafka.answers.set()
    return kafka


@pytest.fixture
def ledger(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> KafkaLedger:
    monkeypatch.setattr(kafka_ledger, "_Questions", lambda _: kafka)
    return KafkaLedger(KafkaOptions(bootstrap_servers="nowhere:9"), 1, NothingTurnedAway())


async def epoch_of(ledger: KafkaLedger, *, within_s: float = 0.0) -> int:
    notes = await ledger.notes(within_s=within_s)
    return notes[0].epoch


async def test_what_is_told_is_as_of_the_question(ledger: KafkaLedger) -> None:
    assert [await epoch_of(ledger) for _ in range(3)] == [1, 2, 3]


async def test_what_was_told_lately_serves_where_that_will_do(ledger: KafkaLedger) -> None:
    assert [await epoch_of(ledger, within_s=60) for _ in range(3)] == [1, 1, 1]
    assert await epoch_of(ledger) == 2


async def test_all_who_ask_while_an_answer_is_awaited_get_the_next_one(ledger: KafkaLedger, kafka: Kafka) -> None:
    kafka.answers.clear()
    first = asyncio.create_task(epoch_of(ledger))
    await asyncio.sleep(0)
    others = [asyncio.create_task(epoch_of(ledger)) for _ in range(5)]
    await asyncio.sleep(0)
    kafka.answers.set()
    assert await asyncio.gather(first, *others) == [1, 2, 2, 2, 2, 2]


async def test_whoever_asks_next_asks_for_those_who_waited_for_one_that_gave_up(
    ledger: KafkaLedger, kafka: Kafka
) -> None:
    kafka.answers.clear()
    first = asyncio.create_task(epoch_of(ledger))
    await asyncio.sleep(0)
    other = asyncio.create_task(epoch_of(ledger))
    await asyncio.sleep(0)
    first.cancel()
    kafka.answers.set()
    assert await other == 2


async def test_while_kafka_is_away_what_was_known_serves_and_it_is_not_asked_each_time(
    ledger: KafkaLedger, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await epoch_of(ledger) == 1
    kafka.away = True
    assert [await epoch_of(ledger) for _ in range(3)] == [1, 1, 1]
    assert kafka.asked == 2
    kafka.away = False
    later = time.monotonic() + 60
    monkeypatch.setattr(kafka_ledger.time, "monotonic", lambda: later)
    assert await epoch_of(ledger) == 3


async def test_what_was_never_known_is_not_made_up(ledger: KafkaLedger, kafka: Kafka) -> None:
    kafka.away = True
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await ledger.notes()


def test_of_two_notes_of_a_partition_the_later_one_counts() -> None:
    own = {0: Note(epoch=1, write=5), 1: Note(epoch=2, write=9)}
    others = {0: Note(epoch=2, write=1), 1: Note(epoch=2, write=8), 2: Note(epoch=1)}
    assert newest(own, others) == {0: others[0], 1: own[1], 2: others[2]}
