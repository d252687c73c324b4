"""What the event log on Kafka does beside what every event log does."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from tests.support.clock import VirtualClock
from tests.support.kafka import kafka_log, kafka_options, kafka_topics

from energy_tracker.contracts import topics
from energy_tracker.eventlog import kafka_consumer
from energy_tracker.eventlog.kafka import STANDSTILL_MS, KafkaEventLog
from energy_tracker.eventlog.kafka_admin import KafkaAdmin
from energy_tracker.eventlog.kafka_client import (
    KafkaOptions,
    PartitionsDiffer,
    create_topics,
    ensure_topics,
    partition_of,
    partitions,
    topic_plan,
)
from energy_tracker.eventlog.kafka_consumer import KafkaConsumer
from energy_tracker.eventlog.port import BEFORE_ALL, LogUnavailable, Message
from energy_tracker.kit.clock import SystemClock

needs_kafka = pytest.mark.servers("ENERGY_TEST_KAFKA")
SOON_S = 30
KEYS = [str(number) for number in range(40)]


async def caught_up(log: KafkaEventLog, topic: str = "t", group: str = "g") -> None:
    """Return once the group has nothing to do."""
    async with asyncio.timeout(SOON_S):
        while await log.lag(topic, group=group):
            pass


@needs_kafka
async def test_a_batch_holds_several_partitions_each_in_order() -> None:
    async with kafka_log({"t": 3}) as log:
        await log.append("t", [Message(key, bytes([turn]), readings=1) for turn in range(3) for key in KEYS])
        assert (await log.partitions("t"), await log.lag("t", group="g")) == (3, 120)
        seen: dict[str | None, list[int]] = {}
        async with asyncio.timeout(SOON_S), aclosing(log.consume("t", group="g", limit=50)) as batches:
            while sum(map(len, seen.values())) < 120:
                batch = await anext(batches)
                assert len(batch.records) <= 50
                for record in batch.records:
                    assert record.partition == partition_of(str(record.key).encode(), 3)
                    assert abs(record.appended_ms - time.time() * 1_000) < 60_000
                    seen.setdefault(record.key, []).append(record.value[0])
                await batch.commit()
        assert seen == {key: [0, 1, 2] for key in KEYS}
        assert await log.lag("t", group="g") == 0
        assert await log.committed("t", group="g") >= 39
        assert await log.expire(now_ms=2**60) == 0


@needs_kafka
async def test_a_single_offset_is_no_position_in_several_partitions() -> None:
    async with kafka_log({"t": 3}) as log:
        with pytest.raises(ValueError, match="3 partitions"):
            await anext(log.consume("t", group="g", after=BEFORE_ALL))
        with pytest.raises(ValueError, match="3 partitions"):
            await log.read("t")


@needs_kafka
async def test_partitions_move_once_the_batch_under_way_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, asked, done, begun = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    handled: list[tuple[str, bytes]] = []
    give_up = KafkaConsumer._on_revoke

    def spied(self: KafkaConsumer, *given: Any) -> None:
        loop.call_soon_threadsafe(asked.set)
        give_up(self, *given)

    async def handle(log: KafkaEventLog, name: str, gate: asyncio.Event | None = None) -> None:
        async with aclosing(log.consume("t", group="g", limit=1)) as batches:
            async for batch in batches:
                begun.set()
                if gate is not None:
                    await gate.wait()
                handled.extend((name, record.value) for record in batch.records)
                await batch.commit()
                if len(handled) >= len(KEYS):
                    done.set()

    monkeypatch.setattr(KafkaConsumer, "_on_revoke", spied)
    async with kafka_log({"t": 4}) as log, asyncio.timeout(SOON_S), asyncio.TaskGroup() as group:
        await log.append("t", [Message(key, key.encode()) for key in KEYS])
        first = group.create_task(handle(log, "first", asked))
        await begun.wait()
        second = group.create_task(handle(log, "second"))
        await done.wait()
        await caught_up(log)
        first.cancel()
        second.cancel()
    assert sorted(value for _, value in handled) == sorted(key.encode() for key in KEYS)
    assert {name for name, _ in handled} == {"first", "second"}


@needs_kafka
async def test_what_was_taken_away_is_not_committed() -> None:
    async with kafka_log({"t": 1}) as log, asyncio.timeout(SOON_S):
        await log.append("t", [Message(None, b"1")])
        async with aclosing(log.consume("t", group="g")) as batches:
            batch = await anext(batches)
            consumer = next(iter(log._consumers))
            consumer._on_lost(consumer._consumer, [])
            await batch.commit()
            assert await log.committed("t", group="g") == BEFORE_ALL


@needs_kafka
async def test_a_long_batch_keeps_its_place_in_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    paused, loop = asyncio.Event(), asyncio.get_running_loop()
    stay = KafkaConsumer._stay_a_member

    def spied(self: KafkaConsumer) -> None:
        stay(self)
        loop.call_soon_threadsafe(paused.set)

    monkeypatch.setattr(kafka_consumer, "_BUSY_S", 0.01)
    monkeypatch.setattr(KafkaConsumer, "_stay_a_member", spied)
    async with kafka_log({"t": 2}) as log, asyncio.timeout(SOON_S):
        await log.append("t", [Message(key, key.encode()) for key in KEYS])
        handled: list[bytes] = []
        async with aclosing(log.consume("t", group="g", limit=7)) as batches:
            while len(handled) < len(KEYS):
                batch = await anext(batches)
                handled += [record.value for record in batch.records]
                paused.clear()
                await paused.wait()
                await batch.commit()
        assert sorted(handled) == sorted(key.encode() for key in KEYS)
        assert await log.lag("t", group="g") == 0


@needs_kafka
async def test_a_consumer_with_its_own_position_never_moves_the_group_back() -> None:
    async with kafka_log({"t": 1}) as log, asyncio.timeout(SOON_S):
        await log.append("t", [Message(None, bytes([number])) for number in range(4)])
        async with aclosing(log.consume("t", group="g", limit=3)) as batches:
            await (await anext(batches)).commit()
        async with aclosing(log.consume("t", group="g", after=BEFORE_ALL, limit=1)) as batches:
            batch = await anext(batches)
            assert [record.offset for record in batch.records] == [0]
            await batch.commit()
            assert await log.committed("t", group="g") == 2


@needs_kafka
async def test_what_foreign_producers_write_is_tolerated() -> None:
    async with kafka_log({"t": 1}) as log:
        foreign = Producer(log._options.client_config())
        headers = [("__TypeId__", b"com.example.Reading"), ("bytes", b"\xff\x00"), ("none", None), ("readings", "x")]
        foreign.produce(log._options.topic("t"), None, b"\xff7", headers=headers)
        foreign.produce(log._options.topic("t"), b"{}")
        assert foreign.flush(10) == 0
        tombstone, plain = await log.read("t")
        assert (tombstone.key, tombstone.value, tombstone.readings) == ("\\xff7", b"", 0)
        assert tombstone.headers == {"__TypeId__": "com.example.Reading", "bytes": "\\xff\x00", "none": ""}
        assert (plain.key, plain.value, plain.headers, plain.readings) == (None, b"{}", {}, 0)
        async with aclosing(log.consume("t", group="g")) as batches:
            assert list((await anext(batches)).records) == [tombstone, plain]


@needs_kafka
async def test_marks_of_transactions_are_no_lag_and_what_was_aborted_is_not_seen() -> None:
    async with kafka_log({"t": 1}) as log, asyncio.timeout(SOON_S):
        transactions = Producer(log._options.client_config() | {"transactional.id": f"test-{uuid4()}"})
        await asyncio.to_thread(transactions.init_transactions, 10)
        for value, ending in (
            (b"kept", transactions.commit_transaction),
            (b"gone", transactions.abort_transaction),
            (b"too", transactions.commit_transaction),
        ):
            transactions.begin_transaction()
            transactions.produce(log._options.topic("t"), value)
            await asyncio.to_thread(transactions.flush, 10)
            await asyncio.to_thread(ending, 10)
        assert [record.value for record in await log.read("t")] == [b"kept", b"too"]
        async with aclosing(log.consume("t", group="g")) as batches:
            seen: list[bytes] = []
            while len(seen) < 2:
                batch = await anext(batches)
                seen += [record.value for record in batch.records]
                await batch.commit()
            following = asyncio.create_task(anext(batches))
            await caught_up(log)
            assert seen == [b"kept", b"too"]
            following.cancel()
            await asyncio.wait([following])


@needs_kafka
async def test_a_consumer_that_stands_still_is_down() -> None:
    clock = VirtualClock()
    async with kafka_log({"t": 1}, clock=clock) as log, asyncio.timeout(SOON_S):
        await log.append("t", [Message(None, b"1"), Message(None, b"2")])
        assert (await log.health()).status == "UP"
        async with aclosing(log.consume("t", group="g", limit=1)) as batches:
            batch = await anext(batches)
            await clock.advance(3_600)
            health = await log.health()
            assert (health.status, health.details) == ("UP", {"t": {"partitions": 1, "lag": 2}})
            await clock.advance(STANDSTILL_MS / 1_000 + 1)
            assert (await log.health()).status == "DOWN"
            await batch.commit()
            assert (await log.health()).status == "UP"
            await (await anext(batches)).commit()
            await clock.advance(3_600)
            assert (await log.health()).status == "UP"


async def test_without_a_broker_the_log_says_so() -> None:
    nowhere = KafkaOptions(bootstrap_servers="127.0.0.1:1", answer_s=0.5)
    async with KafkaEventLog.open(options=nowhere, clock=SystemClock()) as log, asyncio.timeout(SOON_S):
        assert (await log.health()).status == "DOWN"
        with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:1"):
            await log.lag("t", group="g")
        waiting = asyncio.create_task(anext(log.consume("t", group="g")))
        await asyncio.wait([waiting], timeout=0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@needs_kafka
async def test_the_topics_are_made_once_whoever_comes_first() -> None:
    async with kafka_topics(kafka_options(partitions=3), {}) as options:
        await asyncio.gather(*(ensure_topics(options) for _ in range(6)))
        names = (topics.ENERGY_USAGE, topics.ENERGY_USAGE_STATE, topics.dead_letter_topic(topics.ENERGY_USAGE))
        assert [await partitions(options, name) for name in names] == [3, 3, 1]
        await ensure_topics(replace(options, partitions=8, log_retention_ms=86_400_000))
        assert [await partitions(options, name) for name in names] == [3, 3, 1]
        async with KafkaAdmin(options.client_config(), answer_s=5) as admin:
            settings = await admin.settings(options.topic(topics.ENERGY_USAGE))
            state = await admin.settings(options.topic(topics.ENERGY_USAGE_STATE))
        assert (settings["retention.ms"], settings["message.timestamp.type"]) == ("86400000", "LogAppendTime")
        assert state["cleanup.policy"] == "compact"


@needs_kafka
async def test_a_topic_that_a_foreign_producer_made_decides_the_number() -> None:
    async with kafka_topics(kafka_options(partitions=3), {topics.ENERGY_USAGE: 1}) as options:
        await ensure_topics(options)
        assert await partitions(options, topics.ENERGY_USAGE_BY_OWNER) == 1
        assert await partitions(options, topics.ENERGY_ALERTS) == 3


@needs_kafka
async def test_topics_that_do_not_fit_together_are_refused() -> None:
    async with kafka_topics(kafka_options(partitions=3), {}) as options:
        await create_topics(options, [topic_plan(options, topics.ENERGY_USAGE_STATE, 2, {})])
        with pytest.raises(PartitionsDiffer, match="has 2 partitions"):
            await ensure_topics(options)


@needs_kafka
async def test_a_topic_that_is_not_there_is_named() -> None:
    async with kafka_log({}) as log:
        with pytest.raises(LogUnavailable, match="topic"):
            await log.lag("not-there", group="g")
