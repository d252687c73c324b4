"""The ledger on Kafka, counted from what the log holds.

What was consumed, and what has become of it, stands in the notes that are committed with the group's positions: one
request reads all of them as they were at one moment. What lies behind those positions is counted by reading it, but
for what was forwarded: that stands in the notes, too, which tell of it before its topic does.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from energy_tracker.contracts.topics import ENERGY_USAGE, ENERGY_USAGE_BY_OWNER, USAGE_GROUP
from energy_tracker.eventlog.dead_letter import is_replayed
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_errors import END_OF_PARTITION
from energy_tracker.eventlog.kafka_leaving import leave_behind
from energy_tracker.eventlog.kafka_progress import BrokerPlace, place_of
from energy_tracker.eventlog.kafka_records import CONSUMER_CONFIG, record_of
from energy_tracker.eventlog.port import LogUnavailable, Record
from energy_tracker.services.usage.adapters.flow_notes import Note, read_note
from energy_tracker.services.usage.model.ledger import Holdings, Intake
from energy_tracker.services.usage.model.readings import Place

log = logging.getLogger(__name__)

T = TypeVar("T")
_TOPICS: Final = (ENERGY_USAGE, ENERGY_USAGE_BY_OWNER)
_ANSWER_S: Final = 10.0
_LONGEST_COUNT_S: Final = 60.0
_AT_ONCE: Final = 5_000
RECENTLY_S: Final = 1.0
"""So old may be what is known of others where they have only written what is long past."""
_REST_S: Final = 2.0
"""After a question that got no answer, what was known before serves for so long."""

_parts = msgspec.json.Decoder(list[msgspec.Raw])


class TurnedAway(Protocol):
    """What all ingestion-services together have not appended."""

    async def totals(self) -> tuple[int, int]:
        """Return how many readings were duplicates at the door, and how many were rejected."""


@dataclass(frozen=True, slots=True)
class KafkaHoldings(Holdings):
    """Holdings with the epoch of each partition."""

    epochs: Mapping[int, int] = field(default_factory=dict)


@dataclass
class _Questions:
    """A client that reads, asked one question at a time."""

    options: KafkaOptions
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _next: asyncio.Lock = field(default_factory=asyncio.Lock)
    _consumer: Consumer | None = None

    async def ask(self, question: Callable[[Consumer], T]) -> T:
        """Return the answer. Raises `LogUnavailable`."""

        def ask() -> T:
            with self._lock:
                if self._consumer is None:
                    group = self.options.group(USAGE_GROUP)  # it never joins the group, and only reads its positions
                    self._consumer = Consumer({**self.options.client_config(), **CONSUMER_CONFIG, "group.id": group})
                try:
                    return question(self._consumer)
                except (KafkaException, LogUnavailable):  # it may not find its way again where a broker went away
                    leave_behind(self._consumer)
                    self._consumer = None
                    raise

        try:
            async with asyncio.timeout(_ANSWER_S):  # while Kafka is away, questions must not pile up
                await self._next.acquire()
        except TimeoutError:
            raise LogUnavailable("Kafka does not answer what was asked about the ledger before.") from None
        try:
            return await asyncio.to_thread(ask)
        except KafkaException as error:
            raise LogUnavailable(f"Kafka could not be asked about the ledger: {error.args[0].str()}") from error
        finally:
            self._next.release()

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None


@dataclass
class KafkaLedger:
    """`IntakeLedger`, and the holdings of all usage-services. Every call raises `LogUnavailable`."""

    options: KafkaOptions
    partitions: int
    turned_away: TurnedAway
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _notes: Mapping[int, Note] | None = None
    _notes_at: float = float("-inf")
    _rests_until: float = float("-inf")

    def __post_init__(self) -> None:
        self._committed_now = _Questions(self.options)
        self._waiting = _Questions(self.options)  # counting may take a minute

    async def holdings(self) -> KafkaHoldings:
        """Return what has become of the readings up to the positions that are committed."""
        positions, notes = await self._committed_now.ask(self._committed)
        tallies = [note.tally for note in notes.values()]
        return KafkaHoldings(
            positions,
            stored=sum(tally.stored for tally in tallies),
            dead_lettered=sum(tally.dead for tally in tallies),
            repeated=sum(tally.repeated for tally in tallies),
            parked=sum(tally.parked for tally in tallies),
            consumed=sum(tally.consumed for tally in tallies),
            on_the_way=sum(tally.on_the_way for tally in tallies),
            epochs={partition: note.epoch for partition, note in notes.items()},
        )

    async def notes(self, *, within_s: float = 0.0) -> Mapping[int, Note]:
        """Return the notes of all partitions as of now, or up to some seconds ago, or as they were last known.

        A process that cannot reach Kafka goes on answering what it is asked. Raises `LogUnavailable` where none were
        ever known.
        """
        wanted = time.monotonic() - within_s
        async with self._looking:  # of those who wait here, the first one asks for all
            if self._notes_at < wanted and (self._notes is None or time.monotonic() >= self._rests_until):
                asked = time.monotonic()
                try:
                    _, self._notes = await self._committed_now.ask(self._committed)
                    self._notes_at = asked
                except LogUnavailable as error:
                    if self._notes is None:
                        raise
                    log.warning("what other processes have committed lately is not known: %s", error)
                    self._rests_until = time.monotonic() + _REST_S
            return self._notes or {}

    async def intake(self, *, beyond: Holdings) -> Intake:
        """Return what the log holds: what was consumed, and what waits behind the positions of these holdings."""
        positions = {place: position for place, position in beyond.positions.items() if place.topic == ENERGY_USAGE}
        waiting = await self._waiting.ask(lambda consumer: self._count_waiting(consumer, positions))
        duplicate, rejected = await self.turned_away.totals()
        accepted = beyond.consumed + waiting
        return Intake(accepted + duplicate + rejected, accepted, duplicate, rejected, queued=waiting)

    def close(self) -> None:
        """Let go of the connections."""
        self._committed_now.close()
        self._waiting.close()

    def _committed(self, consumer: Consumer) -> tuple[dict[Place, int], dict[int, Note]]:
        places = [
            TopicPartition(self.options.topic(topic), partition)
            for topic in _TOPICS
            for partition in range(self.partitions)
        ]
        prefix = len(self.options.topic_prefix)
        positions: dict[Place, int] = {}
        notes: dict[int, Note] = {}
        for place in consumer.committed(places, _ANSWER_S):
            topic = place.topic[prefix:]
            positions[Place(topic, place.partition)] = max(place.offset, 0) - 1
            if topic == ENERGY_USAGE and place.metadata:
                notes[place.partition] = read_note(place.metadata)
        return positions, notes

    def _count_waiting(self, consumer: Consumer, positions: Mapping[Place, int]) -> int:
        """Return how many readings lie behind the positions."""
        waiting = 0
        ends: dict[BrokerPlace, int] = {}
        for place, position in positions.items():
            low, high = consumer.get_watermark_offsets(self._broker_place(place), _ANSWER_S)
            if high > max(position + 1, low):
                ends[self.options.topic(place.topic), place.partition] = high
        consumer.assign([self._broker_place(place, at) for place, at in positions.items() if self._key(place) in ends])
        deadline = time.monotonic() + _LONGEST_COUNT_S
        while ends:
            if time.monotonic() > deadline:
                raise LogUnavailable("More waits in the log than can be counted in a minute.")
            for message in consumer.consume(_AT_ONCE, 0.2):
                key = place_of(message)
                offset, error = message.offset() or 0, message.error()
                if error is not None and error.code() != END_OF_PARTITION:
                    raise KafkaException(error)
                if error is None and offset < ends.get(key, 0):
                    waiting += _waiting_in(record_of(message, ENERGY_USAGE))
                if offset + (error is None) >= ends.get(key, offset):
                    ends.pop(key, None)
        consumer.unassign()
        return waiting

    def _key(self, place: Place) -> BrokerPlace:
        return self.options.topic(place.topic), place.partition

    def _broker_place(self, place: Place, position: int | None = None) -> TopicPartition:
        if position is None:
            return TopicPartition(self.options.topic(place.topic), place.partition)
        return TopicPartition(self.options.topic(place.topic), place.partition, position + 1)


def _waiting_in(record: Record) -> int:
    """Return how many readings, or parts that are none, a record adds to what waits."""
    if is_replayed(record):
        return 0  # it is counted as a dead letter until its consumer has taken it
    value = record.value
    if not value.lstrip().startswith(b"["):
        return 1
    try:
        return len(_parts.decode(value))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 1
