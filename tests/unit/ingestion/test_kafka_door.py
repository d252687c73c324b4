"""The door to the log in Kafka: what it writes, what it forgets, and what counts when something fails."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.support.ingestion import NOW_MS, FixedClock
from tests.support.kafka import kafka_log

from energy_tracker.contracts.ingestion import ReadingBody
from energy_tracker.contracts.intake import IntakeCounts
from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.contracts.topics import ENERGY_INTAKE, ENERGY_USAGE
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_intake import KafkaIntakeCounts
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.eventlog.port import LogUnavailable, Message
from energy_tracker.services.ingestion.adapters import kafka
from energy_tracker.services.ingestion.adapters.kafka import KafkaDoor, LedgerIsElsewhere
from energy_tracker.services.ingestion.model.admission import Verdict
from energy_tracker.services.ingestion.model.readings import Candidate, judge
from energy_tracker.services.usage.decoding import to_reading

START = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)
ACCEPTED, DUPLICATE, CONFLICT = Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.CONFLICT
OWNERS = {1: 70, 2: 70, 3: 80}


class FlakyLog(MemoryEventLog):
    """A log that refuses a topic while it is told to, or makes an append wait."""

    def __init__(self) -> None:
        super().__init__(clock=FixedClock())
        self.refused: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        await self.gate.wait()
        if topic == self.refused:
            raise LogUnavailable("It is down.")
        await super().append(topic, messages)

    async def counts(self) -> list[IntakeCounts]:
        """Every message of `energy-intake`."""
        return [msgspec.json.decode(r.value, type=IntakeCounts) for r in await self.read(ENERGY_INTAKE)]


@pytest.fixture
def log() -> FlakyLog:
    return FlakyLog()


def candidate(
    device_id: int = 1,
    second: float = 0,
    kwh: float = 0.5,
    event_id: str | None = None,
    *,
    since: datetime | None = None,
    channel: str | None = None,
) -> Candidate:
    body = ReadingBody(
        device_id=device_id,
        timestamp=START + timedelta(seconds=second),
        energy_consumed=kwh,
        event_id=event_id,
        since=since,
        channel=channel,
    )
    judged = judge(body, now_ms=NOW_MS)
    assert isinstance(judged, Candidate)
    return judged


async def test_a_single_reading_is_one_object_that_foreign_consumers_read(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get)
    await door.admit([candidate(event_id="a", since=START - timedelta(minutes=1))])
    (record,) = await log.read(ENERGY_USAGE)
    assert (record.key, record.readings, record.headers) == ("70", 0, {})  # as foreign producers write it
    assert msgspec.json.decode(record.value) == {
        "deviceId": 1,
        "timestamp": "2026-05-01T12:00:00.250Z",
        "energyConsumed": 0.5,
        "since": "2026-05-01T11:59:00.250Z",
        "eventId": "a",
        "receivedAt": NOW_MS,
    }


async def test_a_single_reading_always_says_its_event_id(log: FlakyLog) -> None:
    door, reading = KafkaDoor(log, owner_of=OWNERS.get), candidate()
    await door.admit([reading])
    (record,) = await log.read(ENERGY_USAGE)
    assert msgspec.json.decode(record.value, type=ReadingMessage).event_id == reading.event_id


async def test_what_an_array_says_of_event_ids_leads_to_those_of_the_door(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get)
    derived = candidate()
    readings = [
        derived,
        candidate(second=1, event_id="chosen"),
        candidate(second=2, since=START),
        candidate(second=3, since=START + timedelta(microseconds=7)),
        candidate(second=4, channel="switch:0"),
        candidate(second=5.000_001),
        candidate(second=6, event_id=candidate(second=6).event_id),
    ]
    await door.admit(readings)
    (record,) = await log.read(ENERGY_USAGE)
    messages = msgspec.json.decode(record.value, type=list[ReadingMessage])
    assert [to_reading(message, NOW_MS).key for message in messages] == [reading.key for reading in readings]
    assert [index for index, message in enumerate(messages) if message.event_id is not None] == [1, 3, 5]


async def test_a_batch_is_one_array_per_owner(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get)
    await door.admit([candidate(device) for device in (1, 3, 2, 4)] + [candidate(1, second=1)])
    records = {record.key: record for record in await log.read(ENERGY_USAGE)}
    packed = {key: msgspec.json.decode(r.value, type=list[ReadingMessage]) for key, r in records.items()}
    assert {key: [reading.device_id for reading in readings] for key, readings in packed.items()} == {
        "70": [1, 2, 1],
        "80": [3],
        "device-4": [4],
    }
    assert {key: record.readings for key, record in records.items()} == {"70": 3, "80": 1, "device-4": 1}
    assert packed["80"][0].timestamp == int(START.timestamp() * 1000)


async def test_a_message_packs_a_bounded_number(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get)
    await door.admit([candidate(second=second) for second in range(4_500)])
    assert [record.readings for record in await log.read(ENERGY_USAGE)] == [2_000, 2_000, 500]


async def test_a_device_registered_just_now_is_asked_about_once(log: FlakyLog) -> None:
    owners: dict[int, int] = {}
    asked = 0

    async def learn() -> None:
        nonlocal asked
        asked += 1
        owners[1] = 7

    door = KafkaDoor(log, owner_of=owners.get, learn=learn)
    for second, device_id in enumerate((1, 1, 2, 2)):
        await door.admit([candidate(device_id, second)])
    assert asked == 2
    assert {record.key for record in await log.read(ENERGY_USAGE)} == {"7", "device-2"}


async def test_nobody_waits_long_for_whose_a_device_is(log: FlakyLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_LEARNING_S", 0.001)
    door = KafkaDoor(log, owner_of=lambda _: None, learn=asyncio.Event().wait)
    await door.admit([candidate()])
    assert [record.key for record in await log.read(ENERGY_USAGE)] == ["device-1"]


async def test_what_was_not_acknowledged_is_not_remembered(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get)
    log.refused = ENERGY_USAGE
    with pytest.raises(LogUnavailable):
        await door.admit([candidate(), candidate()], rejected=2)
    assert door.totals.received == 0
    assert await log.counts() == []
    log.refused = None
    assert await door.admit([candidate()]) == [ACCEPTED]
    assert await door.admit([candidate(), candidate(kwh=1, event_id="x")]) == [DUPLICATE, ACCEPTED]


async def test_the_oldest_are_forgotten(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get, remembered=8)
    for second in range(20):
        assert await door.admit([candidate(second=second)]) == [ACCEPTED]
        assert await door.admit([candidate(second=max(0, second - 3))]) == [DUPLICATE]
    assert await door.admit([candidate(second=0)]) == [ACCEPTED]


async def test_what_is_turned_away_is_counted_before_the_answer(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get)
    await door.admit([candidate(event_id="a"), candidate(event_id="a"), candidate(kwh=9, event_id="a")], rejected=2)
    await door.admit([], rejected=1)
    assert await log.counts() == [IntakeCounts(duplicate=1, rejected=3), IntakeCounts(duplicate=1, rejected=4)]
    assert len({record.key for record in await log.read(ENERGY_INTAKE)}) == 1
    totals = door.totals
    assert (totals.received, totals.accepted, totals.duplicate, totals.rejected) == (6, 1, 1, 4)
    with pytest.raises(LedgerIsElsewhere):
        await door.ledger(after=0)


async def test_calls_at_the_same_time_share_a_message(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get)
    log.gate.clear()
    calls = [asyncio.create_task(door.admit([], rejected=1)) for _ in range(100)]
    await asyncio.sleep(0)
    log.gate.set()
    await asyncio.gather(*calls)
    counts = await log.counts()
    assert counts[-1] == IntakeCounts(rejected=100)
    assert len(counts) <= 2


async def test_counts_that_cannot_be_written_do_not_count(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get)
    log.refused = ENERGY_INTAKE
    for outcome in await asyncio.gather(*(door.admit([], rejected=1) for _ in range(3)), return_exceptions=True):
        assert isinstance(outcome, LogUnavailable)
    log.refused = None
    await door.admit([], rejected=5)
    assert await log.counts() == [IntakeCounts(rejected=5)]


async def test_a_call_that_is_cancelled_holds_nobody_up(log: FlakyLog) -> None:
    door = KafkaDoor(log, owner_of=OWNERS.get)
    log.gate.clear()
    calls = [asyncio.create_task(door.admit([], rejected=1)) for _ in range(3)]
    await asyncio.sleep(0)
    calls[0].cancel()
    log.gate.set()
    assert await asyncio.gather(*calls[1:]) == [[], []]
    assert (await log.counts())[-1].rejected in {2, 3}


@pytest.mark.servers("ENERGY_TEST_KAFKA")
async def test_the_counts_of_all_doors_are_summed() -> None:
    async with (
        kafka_log({ENERGY_USAGE: 2, ENERGY_INTAKE: 1}) as log,
        KafkaIntakeCounts.open(log._options) as intake,
    ):
        assert await intake.totals() == (0, 0)
        doors = [KafkaDoor(log, owner_of=OWNERS.get) for _ in range(3)]
        for door in doors:
            await door.admit([candidate(), candidate()], rejected=2)
        assert await intake.totals() == (3, 6)
        await log.append(ENERGY_INTAKE, [Message(None, b"poison")])
        await doors[0].admit([candidate()])
        assert await intake.totals() == (4, 6)
        async with KafkaIntakeCounts.open(log._options) as another:
            assert await another.totals() == (4, 6)


async def test_without_a_broker_the_counts_are_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("energy_tracker.eventlog.kafka_records._READING_S", 0.5)
    async with KafkaIntakeCounts.open(KafkaOptions(bootstrap_servers="127.0.0.1:1")) as intake:
        with pytest.raises(LogUnavailable):
            await intake.totals()
