"""The door in memory, and a reading store to go with it: for tests and for trying things out."""

from collections.abc import Mapping, Sequence

import msgspec

from energy_tracker.contracts.ingestion import IngestionLedger
from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.eventlog.port import EventLog, Message
from energy_tracker.services.ingestion.model.admission import Refusal, Verdict
from energy_tracker.services.ingestion.model.readings import Candidate


class MemoryDoor:
    """Knows every reading that it has admitted for as long as it lives; appends each call's readings to a log."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._digests: dict[tuple[int, bytes], bytes] = {}
        self._counts = {Verdict.ACCEPTED: 0, Verdict.DUPLICATE: 0, Verdict.CONFLICT: 0}

    async def admit(self, candidates: Sequence[Candidate], *, rejected: int = 0) -> Sequence[Verdict]:
        """Return one verdict per candidate; see `Door.admit`."""
        fresh: dict[tuple[int, bytes], Candidate] = {}
        verdicts = []
        for candidate in candidates:
            identity = (candidate.device_id, candidate.key)
            earlier = fresh.get(identity)
            digest = self._digests.get(identity, earlier.digest if earlier else None)
            if digest is None:
                fresh[identity] = candidate
                verdicts.append(Verdict.ACCEPTED)
            else:
                verdicts.append(Verdict.DUPLICATE if digest == candidate.digest else Verdict.CONFLICT)
        self._digests.update((identity, candidate.digest) for identity, candidate in fresh.items())
        if fresh:
            value = msgspec.json.encode([candidate.message for candidate in fresh.values()])
            await self._log.append(ENERGY_USAGE, [Message(None, value, readings=len(fresh))])
        for verdict in verdicts:
            self._counts[verdict] += 1
        self._counts[Verdict.CONFLICT] += rejected
        return verdicts

    async def ledger(self, *, after: int) -> IngestionLedger:
        """Return the ledger; see `Door.ledger`."""
        queued = 0
        while records := await self._log.read(ENERGY_USAGE, after=after):
            queued += sum(record.readings for record in records)
            after = records[-1].offset
        return IngestionLedger(
            received=sum(self._counts.values()),
            accepted=self._counts[Verdict.ACCEPTED],
            duplicate=self._counts[Verdict.DUPLICATE],
            rejected=self._counts[Verdict.CONFLICT],
            queued=queued,
        )


class MemoryKnownReadings:
    """A set of stored readings."""

    def __init__(self) -> None:
        self.stored: set[tuple[int, int, bytes]] = set()

    def latest_ms(self, device_ids: Sequence[int]) -> Mapping[int, int]:
        """Return the greatest stored time of each device that has readings."""
        latest: dict[int, int] = {}
        for device_id, time_ms, _ in self.stored:
            if device_id in device_ids:
                latest[device_id] = max(time_ms, latest.get(device_id, time_ms))
        return latest

    def known(self, keys: Sequence[tuple[int, int, bytes]]) -> set[tuple[int, int, bytes]]:
        """Return which of the keys are stored."""
        return self.stored.intersection(keys)


class FixedDirectory:
    """A directory whose refusals are given."""

    def __init__(self, refused: Mapping[int, Refusal] | None = None) -> None:
        self._refused = dict(refused or {})

    def refused(self) -> Mapping[int, Refusal]:
        """Return the devices that take no readings."""
        return self._refused
