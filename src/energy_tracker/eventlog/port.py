"""The stream between the services, as they see it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.kit.problems import TemporarilyUnavailable

READINGS_PER_BATCH = 20_000
"""The most readings in one batch, unless a single record packs more."""

BEFORE_ALL = -1
"""The position before every record: an offset that no record has. On Kafka the first record has the offset 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long records are kept in ms: those of a topic once all its groups have committed them, and dead letters."""

    log_ms: int = 7 * MS_PER_DAY
    dead_letters_ms: int = 30 * MS_PER_DAY


class LogUnavailable(TemporarilyUnavailable):
    """The log cannot take messages now, or be read; see `EventLog.append` for what became of those given."""

    title = "The log is not available"


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be appended; messages of one `key` keep their order. `readings`: how many readings the value packs."""

    key: str | None
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    readings: int = 0


class Record(msgspec.Struct, frozen=True, gc=False):
    """A message that is in the log. `offset` grows within (topic, partition); `appended_ms` is ms since 1970."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: bytes
    headers: Mapping[str, str]
    appended_ms: int
    readings: int = 0


class Batch(Protocol):
    """Records handed to one consumer of a group; those of one partition follow each other."""

    @property
    def records(self) -> Sequence[Record]:
        """The records, of one or several partitions, those of each in order."""

    async def commit(self) -> None:
        """Say that everything derived from these records is stored.

        The last step of the flow; a batch that is not committed comes again. A partition that went to another
        consumer of the group meanwhile is left out: its records come again there. Raises `LogUnavailable`.
        """


class EventLog(Protocol):
    """Append-only topics with consumer groups. Delivery is at least once, in order per key."""

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Append messages, in order, and return once they are durable: on the disk, or in all in-sync replicas.

        Raises `LogUnavailable`, `StorageFull` or `Overloaded`: nothing of them counts then. On Kafka each message is
        delivered by itself, so that where it raises some may have arrived all the same, or still do. The caller
        sends all of them again; what is derived from them must not mind a message that comes twice.
        """

    def consume(self, topic: str, *, group: str, after: int | None = None, limit: int = 1000) -> AsyncIterator[Batch]:
        """Yield batches of at most `limit` records, for ever, waiting for new ones without polling.

        A batch also ends before the record that would bring it over `READINGS_PER_BATCH` readings, but holds at least
        one record. Starts after the group's committed offset, or after `after` where the consumer keeps its own
        position with what it derived (of a topic with one partition only). Close the iterator to stop. Raises
        `TemporarilyUnavailable` where the log cannot be read; while a broker is down it may also just wait.
        """

    async def lag(self, topic: str, *, group: str) -> int:
        """Return how many records of a topic the group has not committed; 0: it has caught up.

        Raises `TemporarilyUnavailable`, as do the calls below.
        """

    async def read(self, topic: str, *, after: int = BEFORE_ALL, limit: int = 1000) -> Sequence[Record]:
        """Return what `consume` would yield after an offset, perhaps nothing; without a group and without waiting.

        Only of a topic with one partition, such as the dead letters.
        """

    async def committed(self, topic: str, *, group: str) -> int:
        """Return the greatest offset that the group has committed, in any partition; `BEFORE_ALL`: there is none."""

    async def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has; with one only, a single offset is a position in it."""

    async def expire(self, *, now_ms: int) -> int:
        """Drop what is past its time; return how many records that were.

        Records go `Retention.log_ms` after they were appended once every group of their topic has committed them, dead
        letters `Retention.dead_letters_ms` after. Offsets are never used again. Kafka does this by itself, by age alone
        (it knows no groups): there this does nothing and returns 0.
        """
