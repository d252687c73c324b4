"""The event log on Kafka."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from confluent_kafka import KafkaException

from energy_tracker.eventlog.kafka_admin import KafkaAdmin
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_consumer import KafkaConsumer
from energy_tracker.eventlog.kafka_producer import KafkaProducer
from energy_tracker.eventlog.kafka_records import PartitionReader
from energy_tracker.eventlog.port import BEFORE_ALL, Batch, Message, Record
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import PartHealth
from energy_tracker.kit.instants import MS_PER_MINUTE, MS_PER_SECOND

STANDSTILL_MS = MS_PER_MINUTE
"""After so long without a commit, though there is something to consume, a consumer counts as stuck."""


@dataclass(slots=True)
class _Progress:
    """Since when a consumer that has something to do stands where it stands."""

    committed: Mapping[int, int] = field(default_factory=dict)
    since_ms: int | None = None

    def standstill_ms(self, committed: Mapping[int, int], *, lag: int, now_ms: int) -> int:
        if not lag:
            self.since_ms = None
        elif self.since_ms is None or committed != self.committed:
            self.committed, self.since_ms = committed, now_ms
        return 0 if self.since_ms is None else now_ms - self.since_ms


class KafkaEventLog:
    """An `EventLog` of Kafka's topics, made by `open`; see `kafka_client.ensure_topics` for how they are made.

    An offset is the broker's own: the first is 0. Where messages were appended in transactions, offsets have gaps:
    `lag` counts them too, until the consumer has passed them.
    """

    def __init__(self, options: KafkaOptions, admin: KafkaAdmin, stack: AsyncExitStack, *, clock: Clock) -> None:
        self._options = options
        self._admin = admin
        self._clock = clock
        self._stack = stack
        self._producer: KafkaProducer | None = None
        self._beginning = asyncio.Lock()
        self._partitions: dict[str, int] = {}
        self._consumers: dict[KafkaConsumer, _Progress] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, *, options: KafkaOptions, clock: Clock) -> AsyncIterator["KafkaEventLog"]:
        """Give the log; what is being appended when the block ends is delivered first.

        The broker need not be there yet. Raises `LogMisconfigured`.
        """
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(KafkaAdmin(options.client_config(), answer_s=options.answer_s))
            yield cls(options, admin, stack, clock=clock)

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Append messages and return once all in-sync replicas have them; see `EventLog.append`."""
        async with self._beginning:  # with the first messages: who only consumes is spared a client and its threads
            if self._producer is None:
                self._producer = await self._stack.enter_async_context(KafkaProducer.open(self._options))
        await self._producer.send(topic, messages)

    async def consume(
        self, topic: str, *, group: str, after: int | None = None, limit: int = 1000
    ) -> AsyncIterator[Batch]:
        """Yield batches for ever as a member of the group; see `EventLog.consume`."""
        if after is not None:
            await self._only_partition(topic)
        consumer = KafkaConsumer(self._options, topic, group=group, after=after, limit=limit)
        consumer.start()
        self._consumers[consumer] = _Progress()
        try:
            while True:
                yield await consumer.next_batch()
        finally:
            del self._consumers[consumer]
            await consumer.close()

    async def read(self, topic: str, *, after: int = BEFORE_ALL, limit: int = 1000) -> Sequence[Record]:
        """Return the records that follow an offset, of a topic with one partition."""
        await self._only_partition(topic)
        try:
            return await asyncio.to_thread(self._read, topic, after, limit)
        except KafkaException as error:
            raise self._admin.problem(error) from error

    async def lag(self, topic: str, *, group: str) -> int:
        """Return how many offsets of a topic the group has not committed."""
        places, name = range(await self.partitions(topic)), self._options.topic(topic)
        try:
            committed, begins, ends = await asyncio.gather(
                self._admin.committed(self._options.group(group), name, places),
                self._admin.begins(name, places),
                self._admin.ends(name, places),
            )
        except KafkaException as error:
            raise self._admin.problem(error) from error
        return sum(max(0, ends[place] - max(begins[place], committed.get(place, 0))) for place in places)

    async def committed(self, topic: str, *, group: str) -> int:
        """Return the greatest offset that the group has committed, in any partition."""
        count = await self.partitions(topic)
        try:
            found = await self._admin.committed(self._options.group(group), self._options.topic(topic), range(count))
        except KafkaException as error:
            raise self._admin.problem(error) from error
        return max(found.values(), default=0) - 1

    async def expire(self, *, now_ms: int) -> int:  # noqa: ARG002 - the port's
        """Return 0: the brokers drop what is past its time, as the topics' settings say."""
        return 0

    async def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has. Raises `LogUnavailable`, also where it does not exist."""
        count = self._partitions.get(topic)
        if count is None:
            name = self._options.topic(topic)
            try:
                count = self._partitions[topic] = (await self._admin.partitions([name]))[name]
            except KafkaException as error:
                raise self._admin.problem(error) from error
        return count

    async def health(self) -> PartHealth:
        """DOWN where no broker answers, or where a consumer has something to do and commits nothing for a minute.

        Standstill is measured from call to call: it takes two calls to find it.
        """
        try:
            await self._admin.reach()
            lags = {consumer: await self._lag_of(consumer) for consumer in list(self._consumers)}
        except KafkaException as error:
            return PartHealth("DOWN", {"error": str(self._admin.problem(error))})
        now_ms = self._clock.now_ms()
        details: dict[str, object] = {}
        for consumer, lag in lags.items():
            details[consumer.topic] = {"partitions": len(consumer.committed), "lag": lag}
            progress = self._consumers.get(consumer)
            if progress is None:
                continue  # it was closed meanwhile
            stood_ms = progress.standstill_ms(consumer.committed, lag=lag, now_ms=now_ms)
            if stood_ms > STANDSTILL_MS:
                reason = f"nothing of {consumer.topic} was committed for {stood_ms // MS_PER_SECOND} s"
                return PartHealth("DOWN", details | {"error": reason})
        return PartHealth("UP", details)

    async def _lag_of(self, consumer: KafkaConsumer) -> int:
        committed = consumer.committed
        ends = await self._admin.ends(self._options.topic(consumer.topic), committed)
        return sum(max(0, end - committed[partition]) for partition, end in ends.items())

    async def _only_partition(self, topic: str) -> None:
        count = await self.partitions(topic)
        if count != 1:
            message = f"{topic} has {count} partitions: a single offset is no position in it"
            raise ValueError(message)

    def _read(self, topic: str, after: int, limit: int) -> Sequence[Record]:
        reader = PartitionReader(self._options.client_config(), self._options.topic(topic), topic)
        try:
            return reader.read(after=after, limit=limit)
        finally:
            reader.close()
