"""What the thread of a flow does where a broker fails between two calls: a client that fails when it is told to."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from energy_tracker.eventlog import kafka_flow_health, kafka_flow_thread, kafka_gathering, kafka_hearing
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_flow import FlowCommit, FlowOptions, KafkaFlow
from energy_tracker.eventlog.kafka_flow_orders import Order
from energy_tracker.eventlog.kafka_state import PartitionState
from energy_tracker.eventlog.port import LogUnavailable, Record
from energy_tracker.kit.health import PartHealth

OPTIONS = FlowOptions(kafka=KafkaOptions(bootstrap_servers="nowhere:1"), group="g", topics=("t",), state_topic="s")
FAILS = KafkaException(KafkaError(KafkaError.REQUEST_TIMED_OUT))
PATIENCE_S = 10


class ScriptedConsumer:
    """Hands out what is put into `script`, one entry a call: messages, something to raise, or something to do."""

    script: deque[Sequence[Message] | KafkaException | Callable[["ScriptedConsumer"], Sequence[Message] | None]]

    def __init__(self, _: object) -> None:
        self.assigned: list[TopicPartition] = []
        self.paused: set[int] = set()

    def subscribe(self, _: object, *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.on_assign, self.on_revoke = on_assign, on_revoke
        assert on_revoke == on_lost

    def consume(self, _: int, __: float) -> Sequence[Message]:
        entry = self.script.popleft() if self.script else ()
        if isinstance(entry, KafkaException):
            raise entry
        if callable(entry):
            return entry(self) or ()
        return [message for message in entry if message.partition() not in self.paused]

    def poll(self, _: float) -> None:
        return None

    def assign(self, places: Iterable[TopicPartition]) -> None:
        self.assigned = list(places)

    def unassign(self) -> None:
        self.assigned = []

    def assignment(self) -> list[TopicPartition]:
        return self.assigned

    def pause(self, places: Iterable[TopicPartition]) -> None:
        self.paused |= {place.partition for place in places}

    def resume(self, places: Iterable[TopicPartition]) -> None:
        self.paused -= {place.partition for place in places}

    def consumer_group_metadata(self) -> None:
        return None

    def close(self) -> None:
        pass


class NoTransactions:
    def __init__(self, _: object, *, group: str, topics: Sequence[str]) -> None:
        assert (group, topics) == ("g", ["t", "s"])
        self.may_hang = False

    def commit(self, *_: object) -> None:
        pass

    def end_hanging(self) -> None:
        self.may_hang = False

    def close(self) -> None:
        pass


class NoState:
    def __init__(self, *_: object) -> None:
        pass

    def load(self, _: object, partitions: Sequence[int], __: object) -> dict[int, PartitionState]:
        return {number: PartitionState(positions={"t": -1}) for number in partitions}


def given(*partitions: int) -> Callable[[ScriptedConsumer], None]:
    """Give these partitions, instead of those that were given before."""

    def give(consumer: ScriptedConsumer) -> None:
        consumer.on_revoke(consumer, consumer.assigned)
        consumer.on_assign(consumer, [TopicPartition("t", partition) for partition in partitions])

    return give


def messages(*offsets: int, partition: int = 0) -> list[Message]:
    return [Message(topic="t", partition=partition, offset=offset, value=b"x") for offset in offsets]


@pytest.fixture
async def flow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KafkaFlow]:
    """A flow that has been given partition 0."""
    ScriptedConsumer.script = deque([given(0)])
    monkeypatch.setattr(kafka_flow_thread, "Consumer", ScriptedConsumer)
    monkeypatch.setattr(kafka_flow_thread, "Transactions", NoTransactions)
    monkeypatch.setattr(kafka_flow_thread, "StateLoader", NoState)
    monkeypatch.setattr(kafka_flow_thread, "_RETRY_S", 0.0)
    monkeypatch.setattr(kafka_flow_thread, "_LOOK_S", 0.01)
    async with KafkaFlow.open(OPTIONS) as made:
        yield made


async def taken(flow: KafkaFlow) -> list[int]:
    """Take the next batch and commit it; return its offsets."""
    async with asyncio.timeout(PATIENCE_S):
        assignment = await flow.assigned()
        records: Sequence[Record] | None = await flow.next_batch(assignment.number)
        assert records is not None
        offsets = [record.offset for record in records]
        await flow.commit(assignment.number, FlowCommit(positions={("t", records[0].partition): offsets[-1]}))
        return offsets


async def test_what_was_fetched_before_a_call_failed_is_not_skipped(flow: KafkaFlow) -> None:
    await flow.assigned()
    ScriptedConsumer.script.extend([messages(0, 1), FAILS, messages(2)])
    assert await taken(flow) == [0, 1, 2]


async def test_a_partition_that_was_paused_and_comes_back_is_fetched(
    flow: KafkaFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await flow.assigned()
    monkeypatch.setattr(kafka_flow_thread, "_BUSY_S", 0.0)  # nobody asks for a batch: it is paused at once
    ScriptedConsumer.script.append(given(1))
    async with asyncio.timeout(PATIENCE_S):
        while not (assignment := flow.assignment) or assignment.number == first.number:
            await flow.health()
            await asyncio.to_thread(lambda: None)
    ScriptedConsumer.script.append(messages(0, partition=1))
    assert await taken(flow) == [0]
    ScriptedConsumer.script.extend([given(0)])
    async with asyncio.timeout(PATIENCE_S):
        while not (again := flow.assignment) or 0 not in again.partitions:
            await asyncio.to_thread(lambda: None)
    ScriptedConsumer.script.append(messages(0))
    assert await taken(flow) == [0]


async def test_a_flow_that_cannot_go_back_begins_again(flow: KafkaFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await flow.assigned()
    fails = iter([FAILS])

    def assign(consumer: ScriptedConsumer, places: Iterable[TopicPartition]) -> None:
        consumer.assigned = list(places)
        if consumer.assigned and (failure := next(fails, None)) is not None:
            raise failure

    monkeypatch.setattr(ScriptedConsumer, "assign", assign)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(LogUnavailable):
            await flow.rewind(first.number)
        while not (assignment := flow.assignment) or assignment.number == first.number:
            await asyncio.to_thread(lambda: None)
    ScriptedConsumer.script.append(messages(0, 1))
    assert await taken(flow) == [0, 1]


async def test_a_client_that_does_not_find_the_group_any_more_is_replaced(
    flow: KafkaFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await flow.assigned()
    lost = flow._worker._consumer
    closed: list[object] = []

    def load(_: NoState, consumer: object, partitions: Sequence[int], __: object) -> dict[int, PartitionState]:
        if consumer is lost:
            raise FAILS
        return {number: PartitionState(positions={"t": -1}) for number in partitions}

    monkeypatch.setattr(NoState, "load", load)

    def close(consumer: ScriptedConsumer) -> None:
        closed.append(consumer)

    monkeypatch.setattr(ScriptedConsumer, "close", close)
    ScriptedConsumer.script.extend([given(0), given(0)])  # to the one that is lost, and to the one in its place
    async with asyncio.timeout(PATIENCE_S):
        while not closed or not (assignment := flow.assignment) or assignment.number == first.number:
            await asyncio.to_thread(lambda: None)
    assert flow._worker._consumer is not lost
    assert closed == [lost]
    ScriptedConsumer.script.append(messages(0))
    assert await taken(flow) == [0]


async def test_a_client_to_which_nothing_comes_though_something_waits_is_replaced(
    flow: KafkaFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await flow.assigned()
    deaf = flow._worker._consumer
    monkeypatch.setattr(kafka_hearing, "SILENT_S", 0.05)
    flow._worker.progress.learn({("t", 0): 1})
    ScriptedConsumer.script.clear()
    asking = asyncio.ensure_future(flow.next_batch(first.number))
    async with asyncio.timeout(PATIENCE_S):
        while flow._worker._consumer is deaf:
            await asyncio.to_thread(lambda: None)
        assert await asking is None
        ScriptedConsumer.script.extend([given(0), messages(0)])
    assert await taken(flow) == [0]


async def test_what_comes_steadily_keeps_no_batch_waiting_for_more(
    flow: KafkaFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_gathering, "WINDOW_S", 0.0)
    await flow.assigned()
    ScriptedConsumer.script.extend(messages(offset) for offset in range(6))
    assert [await taken(flow) for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]


async def test_what_has_come_already_is_taken_together(flow: KafkaFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_gathering, "WINDOW_S", 0.0)
    monkeypatch.setattr(kafka_gathering, "_AT_ONCE", 2)
    await flow.assigned()
    ScriptedConsumer.script.extend([messages(0), messages(1, 2), messages(3, 4), messages(5), messages(6)])
    assert await taken(flow) == [0, 1, 2, 3, 4, 5]


async def test_a_commit_does_not_wait_for_a_batch_to_become_larger(
    flow: KafkaFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_gathering, "WINDOW_S", 3_600.0)
    monkeypatch.setattr(kafka_gathering, "MEANWHILE_S", 3_600.0)
    assignment = await flow.assigned()
    ordered = asyncio.get_running_loop().create_future()

    def order_meanwhile(_: ScriptedConsumer) -> Sequence[Message]:
        flow._orders.put(Order(assignment.number, ordered, commit=FlowCommit()))
        return messages(1)

    ScriptedConsumer.script.extend([messages(0), order_meanwhile, *(messages(offset) for offset in range(2, 9))])
    async with asyncio.timeout(PATIENCE_S):
        records = await flow.next_batch(assignment.number)
        await ordered
    assert records is not None
    assert [record.offset for record in records] == [0, 1]


def taken_away(consumer: ScriptedConsumer) -> None:
    """Take the partitions away, as where the broker has not been heard of for longer than a session lasts."""
    consumer.on_revoke(consumer, consumer.assigned)


async def test_a_flow_that_is_given_no_partitions_is_not_well(flow: KafkaFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_told(status: str) -> PartHealth:
        async with asyncio.timeout(PATIENCE_S):
            while (health := await flow.health()).status != status:
                await asyncio.to_thread(lambda: None)
        return health

    assignment = await flow.assigned()
    asking = asyncio.ensure_future(flow.next_batch(assignment.number))
    ScriptedConsumer.script.append(taken_away)
    assert await asking is None
    assert (await flow.health()).status == "UP", "they may only go from one to another"
    monkeypatch.setattr(kafka_flow_health, "_WITHOUT_S", 0.0)
    assert "no partitions" in str((await is_told("DOWN")).details)
    ScriptedConsumer.script.append(given(0))
    await is_told("UP")


async def test_who_waits_for_records_still_gets_them_after_going_back(flow: KafkaFlow) -> None:
    assignment = await flow.assigned()
    waiting = asyncio.ensure_future(flow.next_batch(assignment.number))
    async with asyncio.timeout(PATIENCE_S):
        assert await flow.rewind(assignment.number)
        ScriptedConsumer.script.append(messages(0))
        records = await waiting
    assert records is not None
    assert [record.offset for record in records] == [0]


async def test_a_batch_that_is_long_under_way_is_no_reason_for_another_client(
    flow: KafkaFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    assignment = await flow.assigned()
    monkeypatch.setattr(kafka_hearing, "SILENT_S", 0.0)
    consumer = flow._worker._consumer
    flow._worker.progress.learn({("t", 0): 2})
    ScriptedConsumer.script.append(messages(0, 1))
    async with asyncio.timeout(PATIENCE_S):
        assert await flow.next_batch(assignment.number) is not None
        ahead = asyncio.ensure_future(flow.next_batch(assignment.number))
        while ScriptedConsumer.script or not flow.lag():
            await asyncio.to_thread(lambda: None)
        for _ in range(200):
            await asyncio.to_thread(lambda: None)
        assert flow._worker._consumer is consumer
        ScriptedConsumer.script.append(messages(2))
        assert await ahead is not None
