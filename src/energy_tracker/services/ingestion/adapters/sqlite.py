"""The embedded door: what is new is decided inside the log writer's transaction, exactly."""

import json
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import apsw
import msgspec

from energy_tracker.contracts.ingestion import IngestionLedger
from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.contracts.topics import ENERGY_USAGE, USAGE_GROUP
from energy_tracker.eventlog import sqlite_schema as log_sql
from energy_tracker.eventlog.port import Message, Record
from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.ids import is_derived_form
from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.ingestion.adapters import sqlite_schema as sql
from energy_tracker.services.ingestion.model.admission import TooMuchQueued, Verdict
from energy_tracker.services.ingestion.model.readings import Candidate, key_of_message
from energy_tracker.services.ingestion.ports import KnownReadings
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter

EXPLICIT_IDS_MS = 30 * MS_PER_DAY
DEFAULT_QUEUE_LIMIT = 1_000_000
_READINGS_PER_RECORD = 2_000
_FORGET_AT_ONCE = 10_000
_TAIL_PAGE = 200
_NEVER_MS = -1
_RETRY_AFTER = {"Retry-After": "5"}

Known = tuple[int, int, bytes]
_Call = tuple[Sequence[Candidate], int]
_ACCEPTED, _DUPLICATE, _CONFLICT = Verdict.ACCEPTED, Verdict.DUPLICATE, Verdict.CONFLICT


@dataclass(slots=True)
class _Group:
    """What the calls of one transaction come to."""

    accepted: list[Candidate] = field(default_factory=list)
    derived: set[bytes] = field(default_factory=set)
    explicit: dict[bytes, bytes] = field(default_factory=dict)
    duplicate: int = 0
    rejected: int = 0


class EmbeddedDoor:
    """Admits readings to the log that it shares a writer with. Make it with `open`.

    A derived id is known from the readings that were accepted but are not stored yet (in memory, read from the log's
    tail at start) and from the reading store. A reading later than all that the store can have of its device is new
    without a lookup. An explicit id is kept for 30 days with the digest of its content.

    All but the public methods runs in the writer's thread, which alone touches what they share.
    """

    def __init__(
        self,
        writer: SqliteWriter,
        readers: SqliteReaders,
        log: SqliteEventLog,
        known_readings: KnownReadings,
        *,
        clock: Clock,
        queue_limit: int = DEFAULT_QUEUE_LIMIT,
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._log = log
        self._store = known_readings
        self._clock = clock
        self._queue_limit = queue_limit
        self._latest: dict[int, int] = {}
        self._pending: set[bytes] = set()
        self._unstored: deque[tuple[int, int, tuple[bytes, ...]]] = deque()
        self._queued = 0
        self._totals = IngestionLedger(received=0, accepted=0, duplicate=0, rejected=0, queued=0)
        self._encode = msgspec.json.Encoder().encode

    @classmethod
    async def open(
        cls,
        writer: SqliteWriter,
        readers: SqliteReaders,
        log: SqliteEventLog,
        known_readings: KnownReadings,
        *,
        clock: Clock,
        queue_limit: int = DEFAULT_QUEUE_LIMIT,
    ) -> "EmbeddedDoor":
        """Read the tail of the log: what was accepted and may not be stored yet. Raises `TemporarilyUnavailable`.

        `queue_limit` is how many readings may wait for usage-service.
        """
        door = cls(writer, readers, log, known_readings, clock=clock, queue_limit=queue_limit)
        after = log.committed_offset(ENERGY_USAGE, USAGE_GROUP)
        while records := await log.read(ENERGY_USAGE, after=after, limit=_TAIL_PAGE):
            await writer.run(door._take_up_group, records)
            after = records[-1].offset
        door._totals = await door.ledger(after=after)
        return door

    @property
    def totals(self) -> IngestionLedger:
        """The ledger from memory, as of the last commit, for metrics; `queued` may have shrunk since."""
        return self._totals

    async def admit(self, candidates: Sequence[Candidate], *, rejected: int = 0) -> Sequence[Verdict]:
        """Return one verdict per candidate once those accepted are on the disk; see `Door.admit`."""
        if self._queued + len(candidates) > self._queue_limit:
            await self._writer.run(self._admit_group, ((), 0))
            if self._queued + len(candidates) > self._queue_limit:
                raise TooMuchQueued("usage-service is too far behind; send this again later.", headers=_RETRY_AFTER)
        return await self._writer.run(self._admit_group, (candidates, rejected), weight=len(candidates) or 1)

    async def ledger(self, *, after: int) -> IngestionLedger:
        """Return the ledger in one snapshot; see `Door.ledger`."""
        statement = f"SELECT received, accepted, duplicate, rejected, ({log_sql.QUEUED_READINGS}) FROM ledger"
        row = await self._readers.run(lambda connection: connection.execute(statement, (ENERGY_USAGE, after)).get)
        received, accepted, duplicate, rejected, queued = row
        return IngestionLedger(
            received=received, accepted=accepted, duplicate=duplicate, rejected=rejected, queued=queued
        )

    async def forget_old_ids(self, *, now_ms: int) -> int:
        """Forget explicit ids that are older than 30 days; return how many. Raises `TemporarilyUnavailable`."""
        forgotten = 0
        while batch := await self._writer.run(_forget_group, now_ms - EXPLICIT_IDS_MS):
            forgotten += batch
        return forgotten

    def _take_up_group(self, _: apsw.Connection, tails: Sequence[Sequence[Record]]) -> Sequence[None]:
        for records in tails:
            for record in records:
                messages = _readings_of(record)
                keys = [key for key in map(key_of_message, messages) if key is not None and is_derived_form(key)]
                self._look_up_latest({message.device_id for message in messages})
                for message in messages:
                    if isinstance(message.timestamp, int):
                        known_ms = self._latest[message.device_id]
                        self._latest[message.device_id] = max(message.timestamp, known_ms)
                self._await_storing(record.offset, record.readings, keys)
        return [None] * len(tails)

    def _admit_group(self, connection: apsw.Connection, calls: Sequence[_Call]) -> Sequence[Sequence[Verdict]]:
        self._prune()
        everything = [candidate for candidates, _ in calls for candidate in candidates]
        group = _Group(rejected=sum(rejected for _, rejected in calls))
        self._look_up_latest({candidate.device_id for candidate in everything})
        recalled = self._recall(connection, everything)
        stored = self._look_up_stored(everything)
        verdicts = [self._judge(candidates, group, recalled, stored) for candidates, _ in calls]
        self._write(connection, group)
        return verdicts

    def _judge(
        self, candidates: Sequence[Candidate], group: _Group, recalled: dict[bytes, bytes], stored: set[Known]
    ) -> Sequence[Verdict]:
        pending, derived, accepted = self._pending, group.derived, group.accepted
        verdicts = [_ACCEPTED] * len(candidates)
        for index, candidate in enumerate(candidates):
            key = candidate.key
            if key is candidate.digest:
                known = key in pending or key in derived
                if not known and stored:
                    known = (candidate.device_id, candidate.time_ms, key) in stored
                if known:
                    verdicts[index] = _DUPLICATE
                    group.duplicate += 1
                else:
                    derived.add(key)
                    accepted.append(candidate)
            else:
                verdicts[index] = self._judge_explicit(candidate, group, recalled, stored)
        return verdicts

    def _judge_explicit(
        self, candidate: Candidate, group: _Group, recalled: dict[bytes, bytes], stored: set[Known]
    ) -> Verdict:
        identity = _identity(candidate)
        digest = recalled.get(identity) or group.explicit.get(identity)
        if digest is not None:
            same = digest == candidate.digest
        elif candidate.key in self._pending or candidate.key in group.derived:
            same = False
        elif (candidate.device_id, candidate.time_ms, candidate.key) in stored:
            same = True
        else:
            group.explicit[identity] = candidate.digest
            group.accepted.append(candidate)
            return _ACCEPTED
        if same:
            group.duplicate += 1
            return _DUPLICATE
        group.rejected += 1
        return _CONFLICT

    def _write(self, connection: apsw.Connection, group: _Group) -> None:
        accepted = len(group.accepted)
        received = accepted + group.duplicate + group.rejected
        if not received:
            return
        connection.execute(sql.COUNT, (received, accepted, group.duplicate, group.rejected))
        if group.explicit:
            blobs = tuple(digest + identity for identity, digest in group.explicit.items())
            connection.execute(sql.REMEMBER, (self._clock.now_ms(), apsw.carray(blobs)))
        if accepted:
            messages = [candidate.message for candidate in group.accepted]
            chunks = [messages[at : at + _READINGS_PER_RECORD] for at in range(0, accepted, _READINGS_PER_RECORD)]
            packed = [Message(None, self._encode(chunk), readings=len(chunk)) for chunk in chunks]
            offset = self._log.append_within(connection, ENERGY_USAGE, packed)
            self._writer.after_commit(lambda: self._remember(offset, group))
        self._writer.after_commit(lambda: self._count(group))

    def _count(self, group: _Group) -> None:
        accepted, totals = len(group.accepted), self._totals
        self._totals = IngestionLedger(
            received=totals.received + accepted + group.duplicate + group.rejected,
            accepted=totals.accepted + accepted,
            duplicate=totals.duplicate + group.duplicate,
            rejected=totals.rejected + group.rejected,
            queued=self._queued,
        )

    def _remember(self, offset: int, group: _Group) -> None:
        latest = self._latest
        for candidate in group.accepted:
            latest[candidate.device_id] = max(latest[candidate.device_id], candidate.time_ms)
        self._await_storing(offset, len(group.accepted), group.derived)

    def _await_storing(self, offset: int, readings: int, keys: Collection[bytes]) -> None:
        self._pending.update(keys)
        self._unstored.append((offset, readings, tuple(keys)))
        self._queued += readings

    def _prune(self) -> None:
        committed = self._log.committed_offset(ENERGY_USAGE, USAGE_GROUP)
        while self._unstored and self._unstored[0][0] <= committed:
            _, readings, keys = self._unstored.popleft()
            self._pending.difference_update(keys)
            self._queued -= readings

    def _look_up_latest(self, device_ids: set[int]) -> None:
        unknown = device_ids - self._latest.keys()
        if unknown:
            found = self._store.latest_ms(sorted(unknown))
            self._latest.update((device_id, found.get(device_id, _NEVER_MS)) for device_id in unknown)

    def _look_up_stored(self, candidates: Iterable[Candidate]) -> set[Known]:
        latest, pending = self._latest, self._pending
        unsure = [
            (candidate.device_id, candidate.time_ms, candidate.key)
            for candidate in candidates
            if candidate.time_ms <= latest[candidate.device_id] and candidate.key not in pending
        ]
        return self._store.known(unsure) if unsure else set()

    def _recall(self, connection: apsw.Connection, candidates: Iterable[Candidate]) -> dict[bytes, bytes]:
        identities = tuple({_identity(candidate) for candidate in candidates if candidate.key is not candidate.digest})
        if not identities:
            return {}
        found = json.loads(str(connection.execute(sql.RECALL, (apsw.carray(identities),)).get))
        return {bytes.fromhex(identity): bytes.fromhex(digest) for identity, digest in found}


def _readings_of(record: Record) -> Sequence[ReadingMessage]:
    """Return the readings of a record; none where it is a dead letter sent again that still cannot be read."""
    try:
        content = msgspec.json.decode(record.value, type=list[ReadingMessage] | ReadingMessage)
    except msgspec.MsgspecError:
        return ()
    return content if isinstance(content, list) else (content,)


def _identity(candidate: Candidate) -> bytes:
    return candidate.device_id.to_bytes(8, "big") + candidate.key


def _forget_group(connection: apsw.Connection, horizons_ms: Sequence[int]) -> Sequence[int]:
    connection.execute(sql.FORGET, (max(horizons_ms), _FORGET_AT_ONCE))
    return [connection.changes()] + [0] * (len(horizons_ms) - 1)
