"""The producer: what it says when brokers are down, busy or have given up on it."""

import asyncio
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from tests.support.kafka import kafka_log, kafka_options

from energy_tracker.eventlog import kafka_producer
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_errors import MessageTooLarge
from energy_tracker.eventlog.kafka_producer import KafkaProducer, TooManyWaiting
from energy_tracker.eventlog.port import LogUnavailable, Message

NOWHERE = KafkaOptions(bootstrap_servers="127.0.0.1:1")
ONE = [Message("7", b"{}", readings=1)]
Report = Callable[[KafkaError | None, object], None]


class ThirdParty:
    """Stands for librdkafka's producer: reports nothing until it is told to, or takes only so many messages."""

    def __init__(self, config: Mapping[str, Any], room: int = 1_000) -> None:
        self.config = config
        self.room = room
        self.failed = False
        self.replaced = threading.Event()
        self.reports: list[Report] = []
        self.due: list[tuple[Report, KafkaError | None]] = []

    def produce(self, topic: str, value: bytes, key: bytes | None, *, on_delivery: Report, headers: object) -> None:
        del topic, value, key, headers
        if self.failed:
            raise KafkaException(KafkaError(KafkaError._FATAL, "fenced", fatal=True))
        if len(self.reports) >= self.room:
            raise BufferError
        self.reports.append(on_delivery)

    def __len__(self) -> int:
        return len(self.reports) + len(self.due)

    def time_out(self, count: int) -> None:
        """Let the first messages wait too long."""
        late, self.reports = self.reports[:count], self.reports[count:]
        self.due += [(report, KafkaError(KafkaError._MSG_TIMED_OUT)) for report in late]

    def deliver(self) -> None:
        """Let everything arrive."""
        self.due += [(report, None) for report in self.reports]
        self.reports.clear()

    def fail_for_good(self) -> None:
        """Let everything fail, and all that comes."""
        error = KafkaError(KafkaError._FATAL, "fenced", fatal=True)
        self.failed = True
        self.due += [(report, error) for report in self.reports]
        self.reports.clear()
        self.config["error_cb"](error)

    def poll(self, _: float) -> int:
        due, self.due = self.due, []
        for report, error in due:
            report(error, None)
        return len(due)

    def purge(self) -> None:
        self.due += [(report, KafkaError(KafkaError._PURGE_QUEUE)) for report in self.reports]
        self.reports.clear()

    def flush(self, _: float) -> int:
        return self.poll(0)


@pytest.fixture
def made() -> list[ThirdParty]:
    return []


@pytest.fixture
def make(made: list[ThirdParty]) -> Callable[[Mapping[str, Any]], Any]:
    def make(config: Mapping[str, Any]) -> Any:
        for earlier in made:
            earlier.replaced.set()
        made.append(ThirdParty(config))
        return made[-1]

    return make


async def started(producer: KafkaProducer, *messages: Message) -> asyncio.Task[None]:
    task = asyncio.create_task(producer.send("t", messages or ONE))
    await asyncio.sleep(0)
    return task


async def test_without_a_broker_an_append_fails_in_bounded_time() -> None:
    async with asyncio.timeout(10), KafkaProducer.open(NOWHERE, delivery_timeout_s=0.3) as producer:
        with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:1") as raised:
            await producer.send("t", ONE)
        assert raised.value.headers["Retry-After"]


async def test_an_append_of_nothing_needs_no_broker() -> None:
    async with KafkaProducer.open(NOWHERE, delivery_timeout_s=0.3) as producer:
        await producer.send("t", [])


async def test_more_than_fits_in_memory_is_refused(made: Any, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_producer, "WAITING_MESSAGES", 2)
    async with KafkaProducer.open(NOWHERE, make=make) as producer:
        waiting = await started(producer, *ONE, *ONE)
        with pytest.raises(TooManyWaiting):
            await producer.send("t", ONE)
        made[0].deliver()
        await waiting
        again = await started(producer)
        made[0].deliver()
        await again


async def test_a_full_queue_fails_the_call_once_what_it_took_is_reported(made: Any, make: Any) -> None:
    async with KafkaProducer.open(NOWHERE, make=make) as producer:
        made[0].room = 2
        waiting = await started(producer, *ONE * 3)
        assert not waiting.done()
        made[0].deliver()
        with pytest.raises(TooManyWaiting):
            await waiting
        made[0].room = 0
        with pytest.raises(TooManyWaiting):
            await producer.send("t", ONE)
        assert producer._waiting_messages == producer._waiting_bytes == 0


async def test_one_failed_message_fails_its_call(made: Any, make: Any) -> None:
    async with KafkaProducer.open(NOWHERE, make=make) as producer:
        waiting = await started(producer, *ONE * 3)
        reports = made[0].reports[:]
        made[0].due += [
            (reports[0], None),
            (reports[1], KafkaError(KafkaError.NOT_ENOUGH_REPLICAS)),
            (reports[2], None),
        ]
        with pytest.raises(LogUnavailable):
            await waiting


async def test_a_cancelled_append_counts_until_its_reports_have_come(made: Any, make: Any) -> None:
    async with KafkaProducer.open(NOWHERE, make=make) as producer:
        waiting = await started(producer)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert producer._waiting_messages == 1
        later = await started(producer)
        made[0].deliver()
        await later
        assert producer._waiting_messages == 0


async def test_what_is_under_way_is_delivered_before_the_end(made: Any, make: Any) -> None:
    async with KafkaProducer.open(NOWHERE, make=make) as producer:
        waiting = await started(producer)
        made[0].deliver()
    assert waiting.done()
    await waiting
    with pytest.raises(LogUnavailable):
        await producer.send("t", ONE)


async def test_what_cannot_be_delivered_fails_at_the_end(make: Any) -> None:
    async with KafkaProducer.open(NOWHERE, make=make) as producer:
        waiting = await started(producer)
    with pytest.raises(LogUnavailable):
        await waiting


async def test_a_producer_that_failed_for_good_is_replaced(made: Any, make: Any) -> None:
    async with KafkaProducer.open(NOWHERE, make=make) as producer:
        waiting = await started(producer)
        made[0].fail_for_good()
        with pytest.raises(LogUnavailable):
            await waiting
        assert await asyncio.to_thread(made[0].replaced.wait, 5)
        again = await started(producer)
        made[1].deliver()
        await again


@pytest.mark.servers("ENERGY_TEST_KAFKA")
async def test_many_small_appends_all_arrive_in_order() -> None:
    async with kafka_log({"t": 1}) as log:
        await asyncio.gather(*(log.append("t", [Message("k", str(number).encode())]) for number in range(1_000)))
        records = await log.read("t", limit=2_000)
    assert [int(record.value) for record in records] == list(range(1_000))


@pytest.mark.servers("ENERGY_TEST_KAFKA")
async def test_a_message_over_the_limit_is_named_as_such() -> None:
    async with kafka_log({"t": 1}, options=kafka_options()) as log:
        with pytest.raises(MessageTooLarge):
            await log.append("t", [Message(None, b"x" * 5_000_000)])
        with pytest.raises(MessageTooLarge):  # that the broker refuses, not the client
            await log.append("t", [Message(None, random.Random(1).randbytes(3_000_000))])
        await log.append("t", [Message(None, b"fits")])


async def test_after_a_message_that_came_too_late_another_client_takes_the_next(made: Any, make: Any) -> None:
    async with asyncio.timeout(10), KafkaProducer.open(NOWHERE, delivery_timeout_s=0.0, make=make) as producer:
        late, slow = await started(producer), await started(producer)
        made[0].time_out(1)
        with pytest.raises(LogUnavailable):
            await late
        await asyncio.to_thread(made[0].replaced.wait)
        following = await started(producer)
        made[1].deliver()
        await following
        assert not slow.done(), "what the first client has stays with it"
        made[0].deliver()
        await slow


async def test_a_client_is_not_changed_again_and_again(made: Any, make: Any) -> None:
    async with asyncio.timeout(10), KafkaProducer.open(NOWHERE, delivery_timeout_s=3_600.0, make=make) as producer:
        late = await started(producer)
        made[0].time_out(1)
        with pytest.raises(LogUnavailable):
            await late
        following = await started(producer)
        made[0].deliver()
        await following
        assert len(made) == 1
