"""Records as Kafka's clients hand them out, and reading some of them without a consumer group."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from energy_tracker.eventlog.kafka_errors import END_OF_PARTITION, TIMED_OUT
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

_READING_S = 10.0
_WINDOW_S = 0.05
_FIRST = 0
_DIGITS = 9


def record_of(message: Message, topic: str) -> Record:
    """Return a message as a record of `topic`. What a foreign producer left out or wrote otherwise does no harm.

    No value (a tombstone) is an empty one; a key or a header that is no UTF-8 shows those bytes by their numbers.
    """
    headers = _headers(message)
    readings = headers.pop(READINGS_HEADER, "")
    key = message.key()
    return Record(
        topic=topic,
        partition=_number(message.partition()),
        offset=_number(message.offset()),
        key=None if key is None else _text(key),
        value=message.value() or b"",
        headers=headers,
        appended_ms=message.timestamp()[1],
        readings=int(readings) if readings.isascii() and readings.isdigit() and len(readings) <= _DIGITS else 0,
    )


def within_readings(records: Sequence[Record], limit: int) -> int:
    """Return how many of the records fit into one batch: at most `limit`, and `READINGS_PER_BATCH` unless it is one."""
    readings = 0
    for index, record in enumerate(records[:limit]):
        readings += record.readings
        if readings > READINGS_PER_BATCH:
            return max(index, 1)
    return min(limit, len(records))


class PartitionReader:
    """Reads the only partition of a topic, in no group. Blocks; every call raises `KafkaException`."""

    def __init__(self, config: Mapping[str, Any], broker_topic: str, topic: str) -> None:
        self._broker_topic = broker_topic
        self._topic = topic
        self._consumer = Consumer({**config, **CONSUMER_CONFIG, "group.id": "energy-tracker-reads"})

    def read(self, *, after: int, limit: int) -> Sequence[Record]:
        """Return the records that follow an offset, as many as there are and a batch may have."""
        place = TopicPartition(self._broker_topic, _FIRST)
        lowest, end = self._consumer.get_watermark_offsets(place, timeout=_READING_S)
        start = max(after + 1, lowest)
        if start >= end:
            return []
        self._consumer.assign([TopicPartition(self._broker_topic, _FIRST, start)])
        records: list[Record] = []
        deadline = time.monotonic() + _READING_S
        ended = False
        while not ended and len(records) < limit:
            for message in self._consumer.consume(limit - len(records), timeout=_WINDOW_S):
                error = message.error()
                if error is None:
                    records.append(record_of(message, self._topic))
                elif error.code() == END_OF_PARTITION:
                    ended = True
                elif not error.retriable():
                    raise KafkaException(error)
            if not ended and time.monotonic() > deadline:
                raise KafkaException(KafkaError(TIMED_OUT, f"{self._topic} could not be read in time"))
        return records[: within_readings(records, limit)]

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
