"""Consumers to which nothing comes, though something waits."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from tests.support.kafka import kafka_log

from energy_tracker.eventlog import kafka_hearing
from energy_tracker.eventlog.kafka_hearing import Hearing, Unheard
from energy_tracker.eventlog.port import Message

SOON_S = 60


class Ends:
    """Stands for a consumer that is asked where partitions end."""

    def __init__(self) -> None:
        self.ends = {0: 5, 1: 5}
        self.fails = self.is_lost = False

    def get_watermark_offsets(self, place: TopicPartition, _: float) -> tuple[int, int]:
        if self.fails:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        if self.is_lost and not place.partition:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_PARTITION))
        assert place.topic == "t"
        return 0, self.ends[place.partition]


@pytest.fixture
def consumer() -> Any:
    """Give a consumer whose partitions 0 and 1 end at 5."""
    return Ends()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at every call."""
    monkeypatch.setattr(kafka_hearing, "SILENT_S", 0.0)


class TestUnheard:
    """The seconds are made to pass, not waited for."""

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Return what the clock shows."""
        now = [100.0]
        monkeypatch.setattr(kafka_hearing.time, "monotonic", lambda: now[0])
        return now

    def test_what_waits_for_long_does_not_come(self, clock: list[float]) -> None:
        unheard = Unheard()
        assert not unheard.is_deaf({("t", 0): 5}, others_came=False)
        clock[0] += kafka_hearing.SILENT_S
        assert not unheard.is_deaf({("t", 0): 5}, others_came=False)
        clock[0] += 1
        assert unheard.is_deaf({("t", 0): 5}, others_came=False)

    def test_a_partition_that_goes_on_begins_anew(self, clock: list[float]) -> None:
        unheard = Unheard()
        for offset in range(5):
            assert not unheard.is_deaf({("t", 0): offset}, others_came=False)
            clock[0] += kafka_hearing.SILENT_S - 1
        assert not unheard.is_deaf({}, others_came=False)
        assert not unheard.is_deaf({("t", 0): 4}, others_came=False)

    def test_one_partition_is_deaf_while_others_go_on(self, clock: list[float]) -> None:
        """It may be queued behind them, so it has more time; and what was paused has not been waiting."""
        unheard = Unheard()
        passed = 0.0
        while passed <= kafka_hearing.SILENT_AMONG_OTHERS_S:
            assert not unheard.is_deaf({("t", 0): int(passed), ("t", 1): 7}, others_came=True)
            clock[0] += 1
            passed += 1
        assert unheard.is_deaf({("t", 0): -1, ("t", 1): 7}, others_came=True)
        unheard.forget()
        assert not unheard.is_deaf({("t", 1): 7}, others_came=True)


@pytest.mark.usefixtures("at_once")
class TestDeafness:
    def test_what_waits_at_two_looks_does_not_come(self, consumer: Any) -> None:
        hearing = Hearing("t")
        assert [hearing.is_deaf(consumer, {0: 5, 1: 3}) for _ in range(2)] == [False, True]

    def test_at_the_end_nothing_is_to_come(self, consumer: Any) -> None:
        hearing = Hearing("t")
        assert [hearing.is_deaf(consumer, {0: 5, 1: 5}) for _ in range(3)] == [False] * 3

    def test_what_goes_on_comes(self, consumer: Any) -> None:
        hearing = Hearing("t")
        assert [hearing.is_deaf(consumer, {0: at, 1: at}) for at in range(5)] == [False] * 5

    def test_one_partition_may_be_silent_while_another_goes_on(self, consumer: Any) -> None:
        hearing = Hearing("t")
        assert [hearing.is_deaf(consumer, {0: 3, 1: at}) for at in (1, 2)] == [False, True]

    def test_without_a_broker_nothing_is_known(self, consumer: Any) -> None:
        hearing = Hearing("t")
        assert not hearing.is_deaf(consumer, {0: 3})
        consumer.fails = True
        assert not hearing.is_deaf(consumer, {0: 3})
        consumer.fails = False
        assert not hearing.is_deaf(consumer, {0: 3})

    def test_who_knows_no_leader_any_more_hears_nothing(self, consumer: Any) -> None:
        hearing = Hearing("t")
        consumer.is_lost = True
        assert [hearing.is_deaf(consumer, {0: 5, 1: 5}) for _ in range(2)] == [False, True]


def test_a_look_is_taken_only_after_a_silence(consumer: Any) -> None:
    hearing = Hearing("t")
    consumer.ends = {}
    assert not hearing.is_deaf(consumer, {0: 3})


@pytest.mark.servers("ENERGY_TEST_KAFKA")
@pytest.mark.parametrize("partitions", [1, 3])
async def test_another_client_goes_on_where_the_group_is(monkeypatch: pytest.MonkeyPatch, partitions: int) -> None:
    deaf: list[object] = []

    def once(_: Hearing, client: object, committed: object) -> bool:
        if deaf or not committed:
            return False
        deaf.append(client)
        return True

    async with kafka_log({"t": partitions}) as log, asyncio.timeout(SOON_S):
        seen: list[bytes] = []
        async with aclosing(log.consume("t", group="g")) as batches:
            for turn in (b"before", b"after"):
                following = asyncio.ensure_future(anext(batches))
                if turn == b"after":
                    monkeypatch.setattr(Hearing, "is_deaf", once)
                    while not deaf:
                        await asyncio.to_thread(lambda: None)
                messages = [Message(str(number), turn + b"%d" % number) for number in range(12)]
                await log.append("t", messages)
                wanted = len(seen) + len(messages)
                while len(seen) < wanted:
                    batch = await following
                    seen += [record.value for record in batch.records]
                    await batch.commit()
                    if len(seen) < wanted:
                        following = asyncio.ensure_future(anext(batches))
        assert len({*seen}) == len(seen) == 24
