"""The event log in an SQLite file: an append table, offsets of groups, group commit."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import apsw

from energy_tracker.contracts.topics import DEAD_LETTER_SUFFIX
from energy_tracker.eventlog import sqlite_schema as sql
from energy_tracker.eventlog.arrivals import Arrivals
from energy_tracker.eventlog.port import (
    BEFORE_ALL,
    READINGS_PER_BATCH,
    Batch,
    LogUnavailable,
    Message,
    Record,
    Retention,
)
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter

log = logging.getLogger(__name__)

_EXPIRED_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class _SqliteBatch:
    log: "SqliteEventLog"
    topic: str
    group: str
    records: Sequence[Record]

    async def commit(self) -> None:
        self.log.set_committed(self.topic, self.group, self.records[-1].offset)


class SqliteEventLog:
    """An `EventLog` with one partition per topic, in a file whose writer it shares with the door of ingestion-service.

    A committed offset counts at once in this process and reaches the disk with the next transaction, or after half a
    second: a crash may hand a group its last batches again, as the port says. `groups` names the consumer groups
    that a topic waits for, before any of them has committed.
    """

    def __init__(
        self,
        writer: SqliteWriter,
        readers: SqliteReaders,
        *,
        clock: Clock,
        committed: Mapping[tuple[str, str], int],
        groups: Mapping[str, Collection[str]],
        retention: Retention,
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock
        self._committed = dict(committed)
        self._groups = dict(groups)
        self._retention = retention
        self._arrivals = Arrivals()
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(
        cls,
        writer: SqliteWriter,
        readers: SqliteReaders,
        *,
        clock: Clock,
        groups: Mapping[str, Collection[str]] | None = None,
        retention: Retention | None = None,
    ) -> "SqliteEventLog":
        """Read the groups' offsets from a file that was made with `prepare_log`. Raises `TemporarilyUnavailable`."""
        committed = await readers.run(_load_committed)
        retention = retention or Retention()
        return cls(writer, readers, clock=clock, committed=committed, groups=groups or {}, retention=retention)

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Append messages, in order, and return once they are on the disk."""
        if not messages:
            return
        try:
            await self._writer.run(self._append_group, (topic, messages), weight=len(messages))
        except TemporarilyUnavailable as error:
            raise LogUnavailable(error.detail) from error

    def append_within(self, connection: apsw.Connection, topic: str, messages: Sequence[Message]) -> int:
        """Append messages inside a transaction of the shared writer, from one of its handlers; return the last offset.

        Consumers wake after the COMMIT.
        """
        meta = json.dumps([[message.readings, message.key, dict(message.headers) or None] for message in messages])
        values = apsw.carray(tuple(message.value for message in messages))
        connection.execute(sql.APPEND, (topic, self._clock.now_ms(), meta, values))
        self._writer.after_commit(partial(self._announce, topic))
        return connection.last_insert_rowid()

    async def consume(
        self, topic: str, *, group: str, after: int | None = None, limit: int = 1000
    ) -> AsyncIterator[Batch]:
        """Yield batches for ever; see `EventLog.consume`."""
        position = self._committed.get((topic, group), BEFORE_ALL) if after is None else after
        while True:
            announced = self._arrivals.announced(topic)
            records = await self.read(topic, after=position, limit=limit)
            if not records:
                await self._arrivals.beyond(topic, announced)
                continue
            position = records[-1].offset
            yield _SqliteBatch(self, topic, group, records)

    async def read(self, topic: str, *, after: int = BEFORE_ALL, limit: int = 1000) -> Sequence[Record]:
        """Return the records that follow an offset."""
        return await self._readers.run(partial(fetch_records, topic=topic, after=after, limit=limit))

    async def lag(self, topic: str, *, group: str) -> int:
        """Return how many records of a topic the group has not committed."""
        committed = self._committed.get((topic, group), BEFORE_ALL)
        return await self._readers.run(lambda connection: _number(connection, sql.LAG, (topic, committed)))

    async def committed(self, topic: str, *, group: str) -> int:
        """Return the greatest offset that the group has committed."""
        return self.committed_offset(topic, group)

    async def partitions(self, topic: str) -> int:  # noqa: ARG002 - the port's
        """Return 1, of any topic."""
        return 1

    def committed_offset(self, topic: str, group: str) -> int:
        """Return the greatest offset that the group has committed, from memory."""
        return self._committed.get((topic, group), BEFORE_ALL)

    def set_committed(self, topic: str, group: str, offset: int) -> None:
        """Move the group forward, never back; the disk follows lazily. Raises `LogUnavailable`."""
        if offset <= self._committed.get((topic, group), BEFORE_ALL):
            return
        try:
            saving = self._writer.submit_lazily(_save_offsets, (topic, group, offset))
        except TemporarilyUnavailable as error:
            raise LogUnavailable(error.detail) from error
        saving.add_done_callback(_note_failure)
        self._committed[topic, group] = offset

    async def expire(self, *, now_ms: int) -> int:
        """Drop what is past its time, in portions, so that appending goes on meanwhile."""
        dropped = 0
        try:
            while portion := await self._writer.run(self._expire, now_ms):
                dropped += portion
        except TemporarilyUnavailable as error:
            raise LogUnavailable(error.detail) from error
        return dropped

    def _announce(self, topic: str) -> None:
        self._loop.call_soon_threadsafe(self._arrivals.announce, topic)

    def _append_group(
        self, connection: apsw.Connection, jobs: Sequence[tuple[str, Sequence[Message]]]
    ) -> Sequence[None]:
        by_topic: dict[str, list[Message]] = {}
        for topic, messages in jobs:
            by_topic.setdefault(topic, []).extend(messages)
        for topic, messages in by_topic.items():
            self.append_within(connection, topic, messages)
        return [None] * len(jobs)

    def _expire(self, connection: apsw.Connection, instants_ms: Sequence[int]) -> Sequence[int]:
        now_ms = max(instants_ms)
        names = connection.execute("SELECT json_group_array(topic) FROM (SELECT DISTINCT topic FROM record)").get
        dropped = 0
        for topic in json.loads(str(names)):
            if topic.endswith(DEAD_LETTER_SUFFIX):
                horizon_ms, floor = now_ms - self._retention.dead_letters_ms, None
            else:
                horizon_ms, floor = now_ms - self._retention.log_ms, self._floor(topic)
            connection.execute(sql.EXPIRE, (topic, horizon_ms, floor, _EXPIRED_AT_ONCE))
            dropped += connection.changes()
        return [dropped] + [0] * (len(instants_ms) - 1)

    def _floor(self, topic: str) -> int | None:
        groups = {*self._groups.get(topic, ()), *(group for name, group in list(self._committed) if name == topic)}
        return min((self._committed.get((topic, group), BEFORE_ALL) for group in groups), default=None)


def fetch_records(connection: apsw.Connection, *, topic: str, after: int, limit: int) -> Sequence[Record]:
    """Return the records of a topic that follow an offset, by one statement that answers one row."""
    meta, packed = connection.execute(sql.FETCH, (topic, after, limit, READINGS_PER_BATCH)).get
    records: list[Record] = []
    start = 0
    for offset, key, headers, appended_ms, readings, length in json.loads(meta):
        value = packed[start : start + length]
        start += length
        records.append(
            Record(topic, 0, offset, key, value, json.loads(headers) if headers else {}, appended_ms, readings)
        )
    return records


def _number(connection: apsw.Connection, statement: str, bindings: tuple[object, ...]) -> int:
    return int(connection.execute(statement, bindings).get)


def _load_committed(connection: apsw.Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute('SELECT topic, group_name, "offset" FROM group_offset').fetchall()
    return {(str(topic), str(group)): int(offset) for topic, group, offset in rows if offset is not None}


def _save_offsets(connection: apsw.Connection, commits: Sequence[tuple[str, str, int]]) -> Sequence[None]:
    newest = {(topic, group): offset for topic, group, offset in sorted(commits, key=lambda commit: commit[2])}
    for (topic, group), offset in newest.items():
        connection.execute(sql.COMMIT_OFFSET, (topic, group, offset))
    return [None] * len(commits)


def _note_failure(saving: asyncio.Future[None]) -> None:
    if not saving.cancelled() and (error := saving.exception()) is not None:
        log.warning("the offset of a group was not saved; its last batches may come again: %s", error)
