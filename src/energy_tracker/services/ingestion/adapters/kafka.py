"""The door to the log in Kafka: it appends what is new as far as it knows, and tells what it has turned away."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

import msgspec

from energy_tracker.contracts.ingestion import IngestionLedger
from energy_tracker.contracts.intake import IntakeCounts
from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.contracts.topics import ENERGY_INTAKE, ENERGY_USAGE
from energy_tracker.eventlog.port import EventLog, LogUnavailable, Message
from energy_tracker.kit.asked import AskedAbout
from energy_tracker.kit.instants import to_iso
from energy_tracker.kit.problems import Problem
from energy_tracker.services.ingestion.model.admission import Verdict
from energy_tracker.services.ingestion.model.readings import Candidate

REMEMBERED = 200_000
"""How many readings the door remembers at least half of, once they are acknowledged: about 40 MB."""

_READINGS_PER_MESSAGE = 2_000
_LEARNING_S = 1.0

OwnerOf = Callable[[int], int | None]
"""Tells who owns a device now, from a local copy; None where the device is not known."""

Learn = Callable[[], Awaitable[object]]


class LedgerIsElsewhere(Problem):
    """A door cannot count what all doors have appended."""

    status = 501
    title = "The ledger is kept by usage-service"


class KafkaDoor:
    """Admits readings to a log that several doors append to.

    Within a call its verdicts are exact. Beyond that it knows what it has lately appended itself: a repeat of anything
    else is `ACCEPTED` here, and found by usage-service. What it turns away it counts under a key of its own.
    """

    def __init__(
        self, log: EventLog, *, owner_of: OwnerOf, learn: Learn | None = None, remembered: int = REMEMBERED
    ) -> None:
        """Begin with nothing remembered; `learn` brings what `owner_of` knows up to date, where that is to be had."""
        self._log = log
        self._owner_of = owner_of
        self._learn = learn
        self._asked = AskedAbout()
        self._memory = _Memory(remembered)
        self._turned_away = _TurnedAway(log)
        self._accepted = 0
        self._encode = msgspec.json.Encoder().encode

    @property
    def totals(self) -> IngestionLedger:
        """What became of the readings that this process has taken, for metrics; `queued` is not known here."""
        counts = self._turned_away.counts
        received = self._accepted + counts.duplicate + counts.rejected
        return IngestionLedger(
            received=received,
            accepted=self._accepted,
            duplicate=counts.duplicate,
            rejected=counts.rejected,
            queued=0,
        )

    async def admit(self, candidates: Sequence[Candidate], *, rejected: int = 0) -> Sequence[Verdict]:
        """Return one verdict per candidate once those accepted are in all in-sync replicas; see `Door.admit`."""
        verdicts, fresh = self._judge(candidates)
        if fresh:
            await self._ask_about({candidate.device_id for candidate in fresh.values()})
            await self._log.append(ENERGY_USAGE, self._messages(fresh.values(), alone=len(candidates) == 1))
            self._memory.learn(fresh)
            self._accepted += len(fresh)
        duplicate = verdicts.count(Verdict.DUPLICATE)
        rejected += len(verdicts) - len(fresh) - duplicate
        if duplicate or rejected:
            await self._turned_away.add(duplicate, rejected)
        return verdicts

    async def ledger(self, *, after: int) -> IngestionLedger:
        """Raise `LedgerIsElsewhere`: what all doors have appended is counted where it is consumed."""
        del after
        raise LedgerIsElsewhere("Ask usage-service for it: GET /api/v1/ledger.")

    async def _ask_about(self, device_ids: Collection[int]) -> None:
        """Ask whose a device is that is not known yet, once and not for long: it may have been registered just now.

        Its readings are taken in any case, in a partition of its own; usage-service would have to bring them to their
        home's.
        """
        unknown = {device_id for device_id in device_ids if self._owner_of(device_id) is None}
        if self._learn is None or not self._asked.add(unknown):
            return
        with suppress(TimeoutError, Problem):
            async with asyncio.timeout(_LEARNING_S):
                await self._learn()

    def _judge(self, candidates: Sequence[Candidate]) -> tuple[Sequence[Verdict], Mapping[bytes, Candidate]]:
        recall = self._memory.recall
        fresh: dict[bytes, Candidate] = {}
        verdicts: list[Verdict] = []
        for candidate in candidates:
            identity = candidate.device_id.to_bytes(8, "big") + candidate.key
            earlier = fresh.get(identity)
            digest = recall(identity) if earlier is None else earlier.digest
            if digest is None:
                fresh[identity] = candidate
                verdicts.append(Verdict.ACCEPTED)
            else:
                verdicts.append(Verdict.DUPLICATE if digest == candidate.digest else Verdict.CONFLICT)
        return verdicts, fresh

    def _messages(self, candidates: Iterable[Candidate], *, alone: bool) -> Sequence[Message]:
        """Return what to append. A reading alone has no header: it would cost more than it tells."""
        keys: dict[int, str] = {}
        by_key: dict[str, list[ReadingMessage]] = {}
        for candidate in candidates:
            device_id = candidate.device_id
            key = keys.get(device_id)
            if key is None:
                owner = self._owner_of(device_id)
                key = keys[device_id] = f"device-{device_id}" if owner is None else str(owner)
            if alone:
                return [Message(key, self._encode(_as_foreign_ones(candidate)))]
            by_key.setdefault(key, []).append(candidate.message)
        return [
            Message(key, self._encode(part), readings=len(part))
            for key, readings in by_key.items()
            for part in _parts(readings)
        ]


class _Memory:
    """The digests of readings by identity, in two generations: when the younger one is full, the older one goes."""

    def __init__(self, size: int) -> None:
        self._generation_size = max(1, size // 2)
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def recall(self, identity: bytes) -> bytes | None:
        return self._young.get(identity) or self._old.get(identity)

    def learn(self, candidates: Mapping[bytes, Candidate]) -> None:
        if len(self._young) + len(candidates) > self._generation_size:
            self._old, self._young = self._young, {}
        self._young.update((identity, candidate.digest) for identity, candidate in candidates.items())


@dataclass(slots=True)
class _Round:
    """What calls that wait for the same message add to the counts."""

    duplicate: int = 0
    rejected: int = 0
    written: bool = False
    problem: Problem | None = None


class _TurnedAway:
    """The counts of this process, written as totals: calls that come while one is written share the next message."""

    def __init__(self, log: EventLog) -> None:
        self.counts = IntakeCounts()
        self._log = log
        self._key = str(uuid4())
        self._next = _Round()
        self._writing = asyncio.Lock()

    async def add(self, duplicate: int, rejected: int) -> None:
        """Return once these are counted in the log; raises what `EventLog.append` raises: they do not count then."""
        mine = self._next
        mine.duplicate += duplicate
        mine.rejected += rejected
        async with self._writing:
            if not mine.written and mine.problem is None:
                await self._write(mine)
        if mine.problem is not None:
            raise LogUnavailable(mine.problem.detail) from mine.problem

    async def _write(self, mine: _Round) -> None:
        if mine is self._next:
            self._next = _Round()
        before = self.counts
        counts = IntakeCounts(duplicate=before.duplicate + mine.duplicate, rejected=before.rejected + mine.rejected)
        try:
            await self._log.append(ENERGY_INTAKE, [Message(self._key, msgspec.json.encode(counts))])
        except Problem as problem:
            mine.problem = problem
        else:
            mine.written = True
            self.counts = counts


def _as_foreign_ones(candidate: Candidate) -> ReadingMessage:
    """Return a reading with instants in ISO-8601, as the original's consumers read them, and its event id."""
    reading = candidate.message
    since = reading.since
    return msgspec.structs.replace(
        reading,
        event_id=candidate.event_id,
        event_id_follows=reading.event_id is None,
        timestamp=to_iso(reading.timestamp) if isinstance(reading.timestamp, int) else reading.timestamp,
        since=to_iso(since) if isinstance(since, int) else since,
    )


def _parts(readings: Sequence[ReadingMessage]) -> Iterable[Sequence[ReadingMessage]]:
    return (readings[at : at + _READINGS_PER_MESSAGE] for at in range(0, len(readings), _READINGS_PER_MESSAGE))
