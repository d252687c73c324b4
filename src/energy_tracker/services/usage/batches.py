"""Records that were taken from the log together, decoded: what can be done with them before those in front are."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.usage.decoding import decode_record, decode_single
from energy_tracker.services.usage.deriving import READINGS_AT_ONCE
from energy_tracker.services.usage.model.readings import Place, Reading
from energy_tracker.services.usage.ports import DeadLetter, Recorded
from energy_tracker.services.usage.routing import RecordKind, kind_of

_topic_of = attrgetter("topic")

POISON_LIMIT = 10_000
"""Unreadable messages in a row, without a good one between, after which nothing more is set aside."""


class TooMuchPoison(TemporarilyUnavailable):
    """So much on the log cannot be read that setting it aside would drain it: somebody has to look."""

    title = "Too many messages cannot be read"


@dataclass(slots=True)
class DecodedRecords:
    """Records of one kind that follow each other, and what is in them.

    `consumed` is how many readings, and parts that are none, the log holds in them and no ledger has counted yet;
    `arrived` is how many were forwarded, and counted where they were before.
    Messages without any good reading are poison: `poison_last` follow the last good one, `longest_poison` is the
    longest run; both count the parts of messages.
    """

    kind: RecordKind
    records: Sequence[Record]
    readings: list[Reading] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    consumed: int = 0
    arrived: int = 0
    poison_last: int = 0
    longest_poison: int = 0
    has_good: bool = False

    def take(self, record: Record) -> int:
        """Add what the next record holds; return how many readings, and parts that are none."""
        reading = decode_single(record)
        if reading is not None:
            self.readings.append(reading)
            self.poison_last = 0
            self.has_good = True
            return 1
        good, dead = decode_record(record)
        self.readings += good
        self.dead_letters += dead
        if good:
            self.has_good = True
            self.poison_last = 0
        else:
            self.poison_last += len(dead)
            self.longest_poison = max(self.longest_poison, self.poison_last)
        return len(good) + len(dead)

    def count(self, topic: str, readings: int) -> None:
        """Count what records of a topic hold; those that were dead letters have been counted before."""
        if self.kind is not RecordKind.NEW:
            return
        if topic == ENERGY_USAGE:
            self.consumed += readings
        else:
            self.arrived += readings

    def turn(self, refused: Sequence[DeadLetter] = ()) -> Recorded:
        """Return the beginning of the turn that takes these records, of which some readings are refused."""
        dead_letters = [*self.dead_letters, *refused]
        return Recorded(
            positions=self.last_offsets, consumed=self.consumed, arrived=self.arrived, dead_letters=dead_letters
        )

    def poison_at_end(self, before: int, *, limit: int) -> int:
        """Return how long the run of poison is that ends here, `before` being the one that ends in front.

        Raises `TooMuchPoison` where it, or one within, is longer than the limit.
        """
        poison = self.poison_last if self.has_good else before + self.poison_last
        if max(poison, self.longest_poison) > limit:
            raise TooMuchPoison(f"{poison} messages in a row cannot be read, up to {self.records[-1].offset}.")
        return poison

    @property
    def last_offsets(self) -> dict[Place, int]:
        """The last offset of each partition."""
        last: dict[Place, int] = {}
        place = Place("", -1)
        for record in reversed(self.records):
            if (record.partition, record.topic) != (place.partition, place.topic):
                place = Place(record.topic, record.partition)
                last.setdefault(place, record.offset)
        return last


async def decode_together(records: Sequence[Record]) -> list[DecodedRecords]:
    """Return records as runs of one kind each, decoded; others of the event loop have their turns meanwhile."""
    decoded: list[DecodedRecords] = []
    since = 0
    for kind, together in groupby(records, key=kind_of):
        alike = DecodedRecords(kind, list(together))
        decoded.append(alike)
        if kind is RecordKind.HAND_OVER:
            continue
        for topic, of_topic in groupby(alike.records, key=_topic_of):
            found = 0
            for record in of_topic:
                taken = alike.take(record)
                found += taken
                since += taken
                if since > READINGS_AT_ONCE:
                    since = 0
                    await asyncio.sleep(0)
            alike.count(topic, found)
    return decoded


def behind(positions: Mapping[Place, int], records: Sequence[Record]) -> Sequence[Record]:
    """Return the records that lie behind the positions; a partition without one is not this process's."""
    waiting: list[Record] = []
    topic, partition, after = "", -1, None
    for record in records:
        if (record.partition, record.topic) != (partition, topic):
            topic, partition = record.topic, record.partition
            after = positions.get(Place(topic, partition))
        if after is not None and record.offset > after:
            waiting.append(record)
    return waiting
