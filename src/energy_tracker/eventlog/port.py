"""The stream between the services, as they see it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.kit.problems import TemporarilyUnavailable

READINGS_PER_BATCH = 20_000
"""The most readings in one batch, unless a single record packs more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long records are kept in ms: those of a topic once all its groups have committed them, and dead letters."""

    log_ms: int = 7 * MS_PER_DAY
    dead_letters_ms: int = 30 * MS_PER_DAY


class LogUnavailable(TemporarilyUnavailable):
    """The log cannot take messages now; none of those given were taken."""

    title = "The log is not available"


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be appended; messages of one `key` keep their order. `readings`: how many readings the value packs."""

    key: str | None
    value: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    readings: int = 0


@dataclass(frozen=True, slots=True)
class Record:
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
    """Records that follow each other, handed to one consumer of a group."""

    @property
    def records(self) -> Sequence[Record]:
        """The records, in order."""

    async def commit(self) -> None:
        """Say that everything derived from these records is stored.

        The last step of the flow; a batch that is not committed comes again.
        """


class EventLog(Protocol):
    """Append-only topics with consumer groups. Delivery is at least once, in order per key."""

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Append messages, in order, and return once they are durable.

        Raises `LogUnavailable`, `StorageFull` or `Overloaded`: nothing of them counts then.
        """

    def consume(self, topic: str, *, group: str, after: int | None = None, limit: int = 1000) -> AsyncIterator[Batch]:
        """Yield batches of at most `limit` records, for ever, waiting for new ones without polling.

        A batch also ends before the record that would bring it over `READINGS_PER_BATCH` readings, but holds at least
        one record. Starts after the group's committed offset, or after `after` where the consumer keeps its own
        position with what it derived. Close the iterator to stop. Raises `TemporarilyUnavailable` where the log
        cannot be read.
        """

    async def lag(self, topic: str, *, group: str) -> int:
        """Return how many records of a topic the group has not committed."""

    async def read(self, topic: str, *, after: int = 0, limit: int = 1000) -> Sequence[Record]:
        """Return what `consume` would yield after an offset, perhaps nothing; without a group and without waiting."""

    async def committed(self, topic: str, *, group: str) -> int:
        """Return the greatest offset that the group has committed, 0 where there is none."""

    async def expire(self, *, now_ms: int) -> int:
        """Drop what is past its time; return how many records that were.

        Records go `Retention.log_ms` after they were appended once every group of their topic has committed them, dead
        letters `Retention.dead_letters_ms` after. Offsets are never used again.
        """
