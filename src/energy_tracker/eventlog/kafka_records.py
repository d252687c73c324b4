"""Records as Kafka's clients hand them out, and reading some of them without a consumer group."""

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from energy_tracker.eventlog.kafka_errors import END_OF_PARTITION, LED_OTHERWISE, PASSING, TIMED_OUT
from energy_tracker.eventlog.kafka_producer import READINGS_HEADER
from energy_tracker.eventlog.port import READINGS_PER_BATCH, Record

CONSUMER_CONFIG: Mapping[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "check.crcs": True,
    "queued.max.messages.kbytes": 16_384,
    "fetch.queue.backoff.ms": 20,
    "fetch.error.backoff.ms": 200,
}
"""What consumers are made with, beside `KafkaOptions.client_config`: nothing is skipped or committed by itself."""

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_READING_S = 10.0
_WINDOW_S = 0.05
_FIRST = 0
_DIGITS = 9
_PORTION = 100


def record_of(message: Message, topic: str) -> Record:
    """Return a message as a record of `topic`. What a foreign producer left out or wrote otherwise does no harm.

    No value (a tombstone) is an empty one; a key or a header that is no UTF-8 shows those bytes by their numbers.
    """
    headers, readings = _NO_HEADERS, 0
    if message.headers():  # most have none, and cost a third as much to read
        named = _headers(message)
        text = named.pop(READINGS_HEADER, "")
        readings = int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0
        headers = named
    key = message.key()
    return Record(
        topic,
        _number(message.partition()),
        _number(message.offset()),
        None if key is None else _text(key),
        message.value() or b"",
        headers,
        message.timestamp()[1],
        readings,
    )


class _Item(NamedTuple):
    """What was fetched: a record, or the end of a partition (None); `next` is where the partition goes on behind it."""

    partition: int
    next: int
    record: Record | None


class Fetched:
    """What a consumer has fetched and not handed out yet, in order."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._items: deque[_Item] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def ended(self) -> bool:
        """Whether what was fetched last is the end of a partition."""
        return bool(self._items) and self._items[-1].record is None

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()

    def add(self, messages: Iterable[Message]) -> None:
        """Take what a client handed out. Raises `KafkaException` where it is an error that waiting does not mend."""
        for message in messages:
            error, partition, offset = message.error(), _number(message.partition()), _number(message.offset())
            if error is None:
                self._items.append(_Item(partition, offset + 1, record_of(message, self._topic)))
            elif error.code() == END_OF_PARTITION:
                self._items.append(_Item(partition, offset, None))
            elif error.fatal() or not (error.code() in PASSING or error.retriable()):
                raise KafkaException(error)

    def take(self, limit: int) -> tuple[Sequence[Record], Mapping[int, int]]:
        """Return the records of the next batch, and where their partitions go on behind them.

        Without a record these are ends of partitions.
        """
        records: list[Record] = []
        next_offsets: dict[int, int] = {}
        readings = 0
        while self._items and len(records) < limit:
            item = self._items[0]
            if item.record is not None:
                readings += item.record.readings
                if records and readings > READINGS_PER_BATCH:
                    break
                records.append(item.record)
            next_offsets[item.partition] = item.next
            self._items.popleft()
        return records, next_offsets


class PartitionReader:
    """Reads the only partition of a topic, in no group. Blocks; every call raises `KafkaException`."""

    def __init__(self, config: Mapping[str, Any], broker_topic: str, topic: str) -> None:
        self._broker_topic = broker_topic
        self._topic = topic
        # The end is told after the broker has waited for more, which nobody does here.
        own = {"group.id": "energy-tracker-reads", "fetch.wait.max.ms": 10}
        self._consumer = Consumer({**config, **CONSUMER_CONFIG, **own})

    def read(self, *, after: int, limit: int) -> Sequence[Record]:
        """Return the records that follow an offset, as many as there are and a batch may have."""
        place = TopicPartition(self._broker_topic, _FIRST)
        lowest, end = self._ends(place)
        start = max(after + 1, lowest)
        if start >= end:
            return []
        self._consumer.assign([TopicPartition(self._broker_topic, _FIRST, start)])
        fetched = Fetched(self._topic)
        deadline = time.monotonic() + _READING_S
        while len(fetched) < limit and not fetched.ended:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(TIMED_OUT, f"{self._topic} could not be read in time"))
            fetched.add(self._consumer.consume(min(limit, _PORTION), timeout=_WINDOW_S))
        return fetched.take(limit)[0]

    def _ends(self, place: TopicPartition) -> tuple[int, int]:
        """Return the first offset and the one behind the last; waits for a partition that has no leader just now."""
        deadline = time.monotonic() + _READING_S
        while True:
            try:
                lowest, end = self._consumer.get_watermark_offsets(place, timeout=_READING_S)
            except KafkaException as error:
                if error.args[0].code() not in LED_OTHERWISE or time.monotonic() > deadline:
                    raise
                time.sleep(_WINDOW_S)
            else:
                return lowest, end

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()


def _headers(message: Message) -> dict[str, str]:
    try:
        return {name: _text(content) for name, content in _pairs(message)}
    except UnicodeDecodeError:  # of a name
        return {}


def _pairs(message: Message) -> Iterable[tuple[str, str | bytes | None]]:
    headers = message.headers() or ()
    return headers.items() if isinstance(headers, dict) else headers


def _text(content: str | bytes | None) -> str:
    return content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content or ""


def _number(number: int | None) -> int:
    return -1 if number is None else number
