"""What other usage-services have committed: as of the question, one request for all who ask meanwhile."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import Consumer

from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.port import LogUnavailable
from energy_tracker.services.usage.adapters.flow_notes import Note
from energy_tracker.services.usage.adapters.kafka_ledger import KafkaLedger


@dataclass
class AskedLedger(KafkaLedger):
    """A ledger whose Kafka commits something whenever it is asked, and answers when the test lets it."""

    asked: int = 0
    away: bool = False
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def _ask(self, question: Callable[[Consumer], Any]) -> Any:
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
def ledger() -> AskedLedger:
    ledger = AskedLedger(KafkaOptions(bootstrap_servers="nowhere:9"), 1, NothingTurnedAway())
    ledger.answers.set()
    return ledger


async def epoch_of(ledger: AskedLedger, *, within_s: float = 0.0) -> int:
    notes = await ledger.notes(within_s=within_s)
    return notes[0].epoch


async def test_what_is_told_is_as_of_the_question(ledger: AskedLedger) -> None:
    assert [await epoch_of(ledger) for _ in range(3)] == [1, 2, 3]


async def test_what_was_told_lately_serves_where_that_will_do(ledger: AskedLedger) -> None:
    assert [await epoch_of(ledger, within_s=60) for _ in range(3)] == [1, 1, 1]
    assert await epoch_of(ledger) == 2


async def test_all_who_ask_while_an_answer_is_awaited_get_the_next_one(ledger: AskedLedger) -> None:
    ledger.answers.clear()
    first = asyncio.create_task(epoch_of(ledger))
    await asyncio.sleep(0)
    others = [asyncio.create_task(epoch_of(ledger)) for _ in range(5)]
    await asyncio.sleep(0)
    ledger.answers.set()
    assert await asyncio.gather(first, *others) == [1, 2, 2, 2, 2, 2]


async def test_while_kafka_is_away_what_was_known_serves_and_it_is_not_asked_each_time(ledger: AskedLedger) -> None:
    assert await epoch_of(ledger) == 1
    ledger.away = True
    assert [await epoch_of(ledger) for _ in range(3)] == [1, 1, 1]
    assert ledger.asked == 2
