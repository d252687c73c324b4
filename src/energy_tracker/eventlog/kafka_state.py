"""State in a compacted topic: the newest value of every key of a partition, and the positions that belong to it."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_errors import END_OF_PARTITION
from energy_tracker.eventlog.kafka_records import CONSUMER_CONFIG
from energy_tracker.eventlog.port import BEFORE_ALL, LogUnavailable

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = 10.0
_AT_ONCE: Final = 10_000
_WINDOW_S: Final = 0.05
NOTE_KEY: Final = "@"


class _Note(msgspec.Struct):
    """What stands under `NOTE_KEY`: the last offset processed by topic, and the text that goes with it."""

    positions: dict[str, int] = {}
    text: str = ""


@dataclass(slots=True)
class PartitionState:
    """The state of one partition as it is committed; `ahead` are positions that are being committed."""

    entries: dict[str, bytes] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    note: str = ""
    ahead: dict[str, int] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    """Where each topic ended when the partition was taken."""


def encode_note(state: PartitionState, text: str | None) -> bytes:
    """Return the value under `NOTE_KEY`."""
    return msgspec.json.encode(_Note(state.ahead, state.note if text is None else text))


class StateLoader:
    """Reads partitions of the state topic to their end. Synchronous."""

    def __init__(self, options: KafkaOptions, topic: str) -> None:
        self._options = options
        self._topic = options.topic(topic)

    def load(self, owner: Consumer, partitions: Sequence[int], topics: Sequence[str]) -> dict[int, PartitionState]:
        """Return the states of partitions; `owner` is the group's consumer, whose stable offsets are waited for.

        Raises `LogUnavailable` and `KafkaException`.
        """
        named = self._options.topic
        places = [TopicPartition(named(topic), number) for topic in topics for number in partitions]
        found = owner.committed(places, _TIMEOUT_S) if places else []
        committed = {(place.topic, place.partition): place.offset for place in found}
        states = self._read(partitions) if partitions else {}
        for number, state in states.items():
            for topic in topics:
                low, high = owner.get_watermark_offsets(TopicPartition(named(topic), number), _TIMEOUT_S)
                offset = max(committed.get((named(topic), number), 0), 0) - 1
                position = state.positions.setdefault(topic, offset)
                state.ends[topic] = high
                if position != BEFORE_ALL and position + 1 < low:
                    log.critical(
                        "%s/%d: the log begins at %d, but %d was to be read next: what lay between has expired unread",
                        *(topic, number, low, position + 1),
                    )
                state.positions[topic] = max(position, low - 1)
                if offset > state.positions[topic]:
                    raise LogUnavailable(f"The state of partition {number} is older than what the group has committed.")
        return states

    def _read(self, partitions: Sequence[int]) -> dict[int, PartitionState]:
        consumer = Consumer(
            {
                **self._options.client_config(),
                **CONSUMER_CONFIG,
                "group.id": f"energy-tracker-state-{uuid4()}",  # it is never joined
                "fetch.wait.max.ms": 10,  # at the end of a partition nothing comes, and whoever starts waits for that
            }
        )
        try:
            return self._read_to_the_end(consumer, partitions)
        finally:
            consumer.close()

    def _read_to_the_end(self, consumer: Consumer, partitions: Sequence[int]) -> dict[int, PartitionState]:
        states = {number: PartitionState() for number in partitions}
        # The high watermark, not the last stable offset: what is in a transaction now is waited for.
        waiting = {}
        for number in partitions:
            low, high = consumer.get_watermark_offsets(TopicPartition(self._topic, number), _TIMEOUT_S)
            if high > low:
                waiting[number] = high
        consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in waiting])
        heard = time.monotonic()
        while waiting:
            messages = consumer.consume(_AT_ONCE, _WINDOW_S)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _TIMEOUT_S:
                raise LogUnavailable("The state could not be read: Kafka does not answer.")
            for message in messages:
                number, error = message.partition() or 0, message.error()
                if error is None:
                    _take(states[number], message.key(), message.value())
                elif error.code() != END_OF_PARTITION:
                    raise LogUnavailable(f"The state could not be read: {error.str()}")
                elif (message.offset() or 0) >= waiting.get(number, 0):
                    waiting.pop(number, None)
        return states


def _take(state: PartitionState, key: bytes | None, value: bytes | None) -> None:
    name = (key or b"").decode()
    if name == NOTE_KEY:
        note = msgspec.json.decode(value or b"{}", type=_Note)
        state.positions, state.note = note.positions, note.text
    elif value is None:
        state.entries.pop(name, None)
    else:
        state.entries[name] = value
