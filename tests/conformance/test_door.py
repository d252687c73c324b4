"""What every door says within a process; and the embedded one whatever was stored, forgotten or restarted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.ingestion import NOW_MS, FixedClock, Ingestion, prepare
from tests.support.kafka import kafka_log

from energy_tracker.contracts.ingestion import ReadingBody
from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.contracts.topics import ENERGY_INTAKE, ENERGY_USAGE, USAGE_GROUP
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.eventlog.port import BEFORE_ALL, EventLog
from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.services.ingestion.adapters.kafka import KafkaDoor
from energy_tracker.services.ingestion.adapters.memory import MemoryDoor, MemoryKnownReadings
from energy_tracker.services.ingestion.adapters.sqlite import EmbeddedDoor
from energy_tracker.services.ingestion.model.admission import Verdict
from energy_tracker.services.ingestion.model.readings import Candidate, judge
from energy_tracker.services.usage.decoding import to_reading
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter

START = datetime(2026, 5, 1, tzinfo=UTC)


def candidate(device_id: int, minute: int, amount: int, event_id: str | None) -> Candidate:
    body = ReadingBody(
        device_id=device_id, timestamp=START + timedelta(minutes=minute), power_w=float(amount), event_id=event_id
    )
    judged = judge(body, now_ms=NOW_MS)
    assert isinstance(judged, Candidate)
    return judged


CANDIDATES = st.builds(
    candidate, st.integers(1, 2), st.integers(0, 6), st.integers(0, 1), st.sampled_from([None, None, "a", "b"])
)
OWNERS = {1: 7}
CALLS = st.tuples(st.lists(CANDIDATES, max_size=6), st.integers(0, 2))
STEPS = st.lists(st.one_of(CALLS, st.sampled_from(["store", "restart"])), max_size=14)


@asynccontextmanager
async def some_door(kind: str, folder: Path) -> AsyncIterator[tuple[EmbeddedDoor | KafkaDoor, EventLog]]:
    """Give a door and the log that it appends to, both without content."""
    memory = MemoryEventLog(clock=FixedClock())
    match kind:
        case "embedded":
            async with embedded(folder, MemoryKnownReadings()) as (door, log):
                yield door, log
        case "kafka on a log in memory":
            yield KafkaDoor(memory, owner_of=OWNERS.get), memory
        case _:
            async with kafka_log({ENERGY_USAGE: 1, ENERGY_INTAKE: 1}) as kafka:
                yield KafkaDoor(kafka, owner_of=OWNERS.get), kafka


async def readings_in(log: EventLog) -> list[tuple[int, bytes]]:
    """Return device and event key of every reading in the stream; each record that packs several says how many."""
    found: list[tuple[int, bytes]] = []
    after = BEFORE_ALL
    while records := await log.read(ENERGY_USAGE, after=after):
        for record in records:
            packed = msgspec.json.decode(record.value, type=list[ReadingMessage] | ReadingMessage)
            readings = packed if isinstance(packed, list) else [packed]
            says_nothing = not isinstance(packed, list) and record.readings == 0  # one object is one reading
            assert says_nothing or record.readings == len(readings)
            found += [(reading.device_id, to_reading(reading, NOW_MS).key) for reading in readings]
        after = records[-1].offset
    return found


async def check_calls(kind: str, folder: Path, calls: list[tuple[list[Candidate], int]]) -> None:
    """Check that a door says of calls what a door that remembers everything says, and appends what it says it does."""
    model = MemoryDoor(MemoryEventLog(clock=FixedClock()))
    accepted: list[tuple[int, bytes]] = []
    async with some_door(kind, folder) as (door, log):
        for candidates, rejected in calls:
            verdicts = await door.admit(candidates, rejected=rejected)
            assert verdicts == await model.admit(candidates, rejected=rejected)
            accepted += [
                (candidate.device_id, candidate.key)
                for candidate, verdict in zip(candidates, verdicts, strict=True)
                if verdict is Verdict.ACCEPTED
            ]
        assert sorted(await readings_in(log)) == sorted(accepted)
        totals, expected = door.totals, await model.ledger(after=BEFORE_ALL)
        assert (totals.received, totals.accepted) == (expected.received, expected.accepted)
        assert (totals.duplicate, totals.rejected) == (expected.duplicate, expected.rejected)


@pytest.mark.parametrize("kind", ["embedded", "kafka on a log in memory"])
@settings(max_examples=25)
@given(st.lists(CALLS, max_size=8))
async def test_a_door_knows_what_it_has_acknowledged(
    tmp_path_factory: pytest.TempPathFactory, kind: str, calls: list[tuple[list[Candidate], int]]
) -> None:
    await check_calls(kind, tmp_path_factory.mktemp("door"), calls)


@pytest.mark.servers("ENERGY_TEST_KAFKA")
@settings(max_examples=5)
@given(st.lists(CALLS, min_size=4, max_size=8))
async def test_the_door_to_kafka_knows_what_it_has_acknowledged(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[list[Candidate], int]]
) -> None:
    await check_calls("kafka", tmp_path_factory.mktemp("door"), calls)


@asynccontextmanager
async def embedded(folder: Path, known: MemoryKnownReadings) -> AsyncIterator[tuple[EmbeddedDoor, SqliteEventLog]]:
    writer = await SqliteWriter.open(folder / "log.db", prepare=prepare)
    readers = SqliteReaders(folder / "log.db", size=1)
    log = await SqliteEventLog.open(writer, readers, clock=FixedClock())
    try:
        yield await EmbeddedDoor.open(writer, readers, log, known, clock=FixedClock()), log
    finally:
        await readers.close()
        await writer.close()


async def store_everything(log: SqliteEventLog, known: MemoryKnownReadings) -> None:
    """Do as usage-service does: store, and then commit."""
    for message in await Ingestion.logged_in(log):
        known.stored.add(to_reading(message, NOW_MS).identity)
    records = await log.read(ENERGY_USAGE)
    if records:
        log.set_committed(ENERGY_USAGE, USAGE_GROUP, records[-1].offset)


@settings(max_examples=40)
@given(STEPS)
async def test_the_embedded_door_remembers_everything(
    tmp_path_factory: pytest.TempPathFactory, steps: list[object]
) -> None:
    folder = tmp_path_factory.mktemp("door")
    known = MemoryKnownReadings()
    model = MemoryDoor(MemoryEventLog(clock=FixedClock()))
    remaining = iter(steps)
    running = True
    while running:
        running = False
        async with embedded(folder, known) as (door, log):
            for step in remaining:
                if step == "restart":
                    running = True
                    break
                if step == "store":
                    await store_everything(log, known)
                    continue
                assert isinstance(step, tuple)
                candidates, rejected = step
                expected = await model.admit(candidates, rejected=rejected)
                assert await door.admit(candidates, rejected=rejected) == expected
            assert await door.ledger(after=0) == await model.ledger(after=0)


async def test_an_explicit_id_is_forgotten_after_thirty_days(tmp_path: Path) -> None:
    async with embedded(tmp_path, MemoryKnownReadings()) as (door, _):
        await door.admit([candidate(1, 0, 0, "a")])
        day_ms = 24 * 3_600_000
        assert await door.forget_old_ids(now_ms=NOW_MS + 30 * day_ms) == 0
        assert await door.admit([candidate(1, 0, 1, "a")]) == [Verdict.CONFLICT]
        assert await door.forget_old_ids(now_ms=NOW_MS + 30 * day_ms + 1) == 1
        assert await door.admit([candidate(1, 0, 1, "a")]) == [Verdict.ACCEPTED]
