"""One suite for every event log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from tests.support.kafka import kafka_log

from energy_tracker.eventlog.dead_letter import (
    DeadLetterNotFound,
    dead_letter,
    is_replayed,
    list_dead_letters,
    replay_dead_letters,
)
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.eventlog.port import BEFORE_ALL, READINGS_PER_BATCH, EventLog, Message, Retention
from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.eventlog.sqlite_schema import prepare_log
from energy_tracker.kit.clock import SystemClock
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter

GROUPS = {"t": ["g", "h"]}


class SettableClock(SystemClock):
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def now_ms(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@asynccontextmanager
async def sqlite_log(folder: Path, clock: SettableClock) -> AsyncIterator[EventLog]:
    writer = await SqliteWriter.open(folder / "log.db", prepare=prepare_log)
    readers = SqliteReaders(folder / "log.db")
    yield await SqliteEventLog.open(writer, readers, clock=clock, groups=GROUPS)
    await readers.close()
    await writer.close()


@pytest.fixture(params=["memory", "sqlite", pytest.param("kafka", marks=pytest.mark.servers("ENERGY_TEST_KAFKA"))])
async def log(request: pytest.FixtureRequest, tmp_path: Path, clock: SettableClock) -> AsyncIterator[EventLog]:
    match request.param:
        case "memory":
            yield MemoryEventLog(clock=clock, groups=GROUPS)
        case "sqlite":
            async with sqlite_log(tmp_path, clock) as log:
                yield log
        case _:
            async with kafka_log({"t": 1, "t.dlt": 1, "other": 1}) as kafka:
                yield kafka


@pytest.fixture(params=["memory", "sqlite"])
async def own_log(request: pytest.FixtureRequest, tmp_path: Path, clock: SettableClock) -> AsyncIterator[EventLog]:
    """A log that goes by our clock and knows the groups; Kafka goes by its own, and its records expire by age alone."""
    if request.param == "memory":
        yield MemoryEventLog(clock=clock, groups=GROUPS)
        return
    async with sqlite_log(tmp_path, clock) as log:
        yield log


async def test_a_topic_has_one_partition(log: EventLog) -> None:
    assert await log.partitions("t") == 1


def messages(*values: bytes) -> list[Message]:
    return [Message(None, value) for value in values]


async def test_records_come_back_as_they_were_appended(log: EventLog) -> None:
    given = [
        Message("7", b"\x00\xff\xc0 not text", {"why": "caf\u00e9", "x": '"'}, readings=3),
        Message(None, b"", {}),
        Message("", b"\x00"),
        Message("8", bytes(range(256)) * 40),
    ]
    await log.append("t", given[:1])
    await log.append("other", messages(b"elsewhere"))
    await log.append("t", given[1:])
    records = await log.read("t")
    assert [(r.key, r.value, r.headers, r.readings) for r in records] == [
        (m.key, m.value, m.headers, m.readings) for m in given
    ]
    assert {(r.topic, r.partition) for r in records} == {("t", 0)}
    assert [r.offset for r in records] == sorted({r.offset for r in records})


async def test_a_record_says_when_it_was_appended(own_log: EventLog, clock: SettableClock) -> None:
    await own_log.append("t", messages(b"1"))
    clock.ms += 5
    await own_log.append("t", messages(b"2"))
    assert [r.appended_ms for r in await own_log.read("t")] == [clock.ms - 5, clock.ms]


async def test_a_consumer_takes_over_where_its_group_has_committed(log: EventLog) -> None:
    await log.append("t", messages(b"1", b"2", b"3"))
    async with aclosing(log.consume("t", group="g", limit=2)) as batches:
        assert (await log.committed("t", group="g"), await log.lag("t", group="g")) == (BEFORE_ALL, 3)
        first = await anext(batches)
        assert [r.value for r in first.records] == [b"1", b"2"]
        await first.commit()
        assert [r.value for r in (await anext(batches)).records] == [b"3"]
    assert await log.lag("t", group="g") == 1
    assert await log.committed("t", group="g") == first.records[-1].offset
    assert await log.committed("t", group="h") == BEFORE_ALL
    assert await log.lag("t", group="h") == 3
    async with aclosing(log.consume("t", group="g")) as batches:
        assert [r.value for r in (await anext(batches)).records] == [b"3"]
    async with aclosing(log.consume("t", group="g", after=first.records[0].offset)) as batches:
        assert [r.value for r in (await anext(batches)).records] == [b"2", b"3"]


async def test_a_waiting_consumer_wakes_up(log: EventLog) -> None:
    async with aclosing(log.consume("t", group="g")) as batches:
        waiting = asyncio.create_task(anext(batches))
        await log.append("other", messages(b"not this"))
        await log.append("t", messages(b"this"))
        async with asyncio.timeout(5):
            assert [r.value for r in (await waiting).records] == [b"this"]


async def test_a_waiting_consumer_can_be_cancelled(log: EventLog) -> None:
    waiting = asyncio.create_task(anext(log.consume("t", group="g")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await log.append("t", messages(b"1"))
    assert await log.lag("t", group="g") == 1


async def test_a_batch_is_bounded_by_its_readings(log: EventLog) -> None:
    packed = [Message(None, b"x", readings=n) for n in (READINGS_PER_BATCH + 1, 1, READINGS_PER_BATCH - 1, 1)]
    await log.append("t", packed)
    async with aclosing(log.consume("t", group="g")) as batches:
        sizes = [[r.readings for r in (await anext(batches)).records] for _ in range(3)]
    assert sizes == [[READINGS_PER_BATCH + 1], [1, READINGS_PER_BATCH - 1], [1]]


async def test_records_expire_once_old_and_committed_by_every_group(own_log: EventLog, clock: SettableClock) -> None:
    await own_log.append("t", messages(b"old", b"unread"))
    await own_log.append("t.dlt", messages(b"dead"))
    start_ms = clock.ms
    async with aclosing(own_log.consume("t", group="g", limit=1)) as batches:
        await (await anext(batches)).commit()
    clock.ms += Retention().log_ms + 1
    await own_log.append("t", messages(b"new"))
    assert await own_log.expire(now_ms=clock.ms) == 0  # the group "h" has not read anything
    async with aclosing(own_log.consume("t", group="h", limit=1)) as batches:
        await (await anext(batches)).commit()
    assert await own_log.expire(now_ms=clock.ms) == 1
    assert [r.value for r in await own_log.read("t")] == [b"unread", b"new"]
    assert [r.value for r in await own_log.read("t.dlt")] == [b"dead"]
    assert await own_log.expire(now_ms=start_ms + Retention().dead_letters_ms + 1) == 1


async def test_offsets_are_never_used_again(own_log: EventLog, clock: SettableClock) -> None:
    await own_log.append("x", messages(b"1", b"2"))
    before = (await own_log.read("x"))[-1].offset
    clock.ms += Retention().log_ms + 1
    assert await own_log.expire(now_ms=clock.ms) == 2
    await own_log.append("x", messages(b"3"))
    assert (await own_log.read("x"))[0].offset > before


async def test_dead_letters_are_listed_and_replayed(log: EventLog, clock: SettableClock) -> None:
    await log.append("t", [Message("7", b"poison", {"trace": "x"}, readings=2), Message(None, b"fine")])
    record = (await log.read("t"))[0]
    await log.append("t.dlt", [dead_letter(record, reason="not JSON", now_ms=clock.ms + 5)])
    letters = await list_dead_letters(log, "t")
    assert [(x.reason, x.value, x.origin_topic, x.origin_offset, x.dead_since_ms) for x in letters] == [
        ("not JSON", b"poison", "t", record.offset, clock.ms + 5)
    ]
    with pytest.raises(DeadLetterNotFound):
        await replay_dead_letters(log, "t", offsets=[letters[0].offset, 999])
    assert await replay_dead_letters(log, "t", offsets=[letters[0].offset]) == 1
    again = (await log.read("t"))[-1]
    assert (again.key, again.value, again.headers["trace"], again.readings) == ("7", b"poison", "x", 0)
    assert (is_replayed(again), is_replayed(record)) == (True, False)
    await log.append("t.dlt", [dead_letter(again, reason="not JSON", now_ms=clock.ms + 9, readings=2)])
    assert not is_replayed((await log.read("t.dlt"))[-1])
