"""Importing a file: devices first, then the readings in batches, then the wait until they are derived."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final, get_args

from energy_tracker.cli.access import Clients
from energy_tracker.cli.sending import InstantTexts, encode_batch, reason_of, send_batch, wait_until_derived
from energy_tracker.contracts.device import DeviceAnswer, DeviceBody, DeviceType
from energy_tracker.contracts.ingestion import BatchAnswer
from energy_tracker.kit.instants import InvalidDuration, parse_duration
from energy_tracker.kit.problems import Problem
from energy_tracker.services.ingestion.imports.model import (
    FileCannotBeImported,
    FoundDevice,
    ImportedReading,
    RejectedRow,
    RowBatch,
)

SHOWN_REJECTIONS: Final = 20
_TYPES: Final = frozenset(get_args(DeviceType))


class DeviceIsOfAnotherKind(Problem):
    """A device of this name exists and sends another kind of readings; taking both would spoil its figures."""

    status = 409
    title = "A device of this name is read in another way"


class DeviceNameIsNotUnique(Problem):
    """The user has several devices of one name, so the file does not say which one it means."""

    status = 409
    title = "Two devices have the same name"


@dataclass(frozen=True, slots=True)
class DeviceUsed:
    """A device that readings went to, made for them or found."""

    id: int
    name: str
    created: bool
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class ImportResult:
    """What became of a file. received = accepted + duplicate + the rejected that the service refused."""

    rows: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    empty: int = 0
    seconds: float = 0.0
    from_us: int | None = None
    to_us: int | None = None
    derived: bool = True
    stopped: str | None = None
    rejections: list[RejectedRow] = field(default_factory=list)
    devices: dict[str, DeviceUsed] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the result as a JSON document."""
        iso = InstantTexts()
        return {
            "rows": self.rows,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "rejected": self.rejected,
            "empty": self.empty,
            "devices": [
                {"id": device.id, "name": device.name, "created": device.created} for device in self.devices.values()
            ],
            "seconds": round(self.seconds, 3),
            "from": None if self.from_us is None else iso(self.from_us),
            "to": None if self.to_us is None else iso(self.to_us),
            "derived": self.derived,
            "stopped": self.stopped,
            "rejections": [rejection._asdict() for rejection in self.rejections],
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """Told how far an import is: rows read; readings derived of those to derive."""

    rows: Callable[[int], None]
    derived: Callable[[int, int], None]


class Importer:
    """One import into the devices of one user. `max_hold` is for devices that are made."""

    def __init__(self, clients: Clients, user_id: int, *, max_hold: str | None, progress: Progress) -> None:
        self._clients = clients
        self._user_id = user_id
        self._max_hold = max_hold
        self._progress = progress
        self._existing: dict[str, list[DeviceAnswer]] | None = None
        self._ids: dict[str, int] = {}
        self._iso = InstantTexts()
        self._result = ImportResult()

    async def run(self, batches: Iterator[RowBatch]) -> ImportResult:
        """Import all batches and wait until they are derived.

        A file that cannot be read to its end gives what came before, and the reason in `stopped`. Raises
        `DeviceIsOfAnotherKind`, `DeviceNameIsNotUnique` and what the services refuse; what was sent stays.
        """
        began = perf_counter()
        sending: asyncio.Task[BatchAnswer] | None = None
        sent: list[ImportedReading] = []
        try:
            while True:
                try:
                    batch = next(batches, None)
                except FileCannotBeImported as problem:
                    self._result.stopped = problem.detail
                    batch = None
                if sending is not None:
                    self._count(await sending, sent)
                    sending = None
                if batch is None:
                    break
                await self._note(batch)
                if batch.readings:
                    sent = batch.readings
                    body = encode_batch(sent, self._ids, self._iso)
                    sending = asyncio.create_task(send_batch(self._clients, body))
                    await asyncio.sleep(0)  # on its way, while the next rows are read
                self._progress.rows(self._result.rows)
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        if self._result.accepted:
            self._result.derived = await wait_until_derived(self._clients, progress=self._progress.derived)
        self._result.seconds = perf_counter() - began
        return self._result

    async def _note(self, batch: RowBatch) -> None:
        result = self._result
        result.rows += batch.rows
        result.empty += batch.empty
        for rejection in batch.rejected:
            self._reject(rejection)
        for device in batch.devices:
            await self._place(device)
        if batch.readings:
            first = min(reading.instant_us for reading in batch.readings)
            last = max(reading.instant_us for reading in batch.readings)
            result.from_us = first if result.from_us is None else min(first, result.from_us)
            result.to_us = last if result.to_us is None else max(last, result.to_us)

    def _reject(self, rejection: RejectedRow) -> None:
        self._result.rejected += 1
        if len(self._result.rejections) < SHOWN_REJECTIONS:
            self._result.rejections.append(rejection)

    def _count(self, answer: BatchAnswer, sent: list[ImportedReading]) -> None:
        self._result.accepted += answer.accepted
        self._result.duplicate += answer.duplicate
        for item in answer.items:
            if item.status == "rejected":
                self._reject(RejectedRow(sent[item.index].line, None, reason_of(item)))

    async def _place(self, found: FoundDevice) -> None:
        """Find the device by its name among the user's, or make it."""
        if found.name in self._ids:
            return
        existing = (await self._of_user()).get(found.name, [])
        if len(existing) > 1:
            message = f"{found.name!r}: devices {', '.join(str(device.id) for device in existing)}. Rename one."
            raise DeviceNameIsNotUnique(message)
        used = self._matching(found, existing[0]) if existing else await self._create(found)
        self._ids[found.name] = used.id
        self._result.devices[found.name] = used

    async def _of_user(self) -> dict[str, list[DeviceAnswer]]:
        if self._existing is None:
            self._existing = {}
            for device in await self._clients.devices.of_user(self._user_id):
                self._existing.setdefault(device.name, []).append(device)
        return self._existing

    def _matching(self, found: FoundDevice, existing: DeviceAnswer) -> DeviceUsed:
        if existing.kind != found.kind:
            message = (
                f"{existing.name!r} (device {existing.id}) sends kind {existing.kind}, the file holds {found.kind}. "
                f"Declare --kind {existing.kind} if the file holds that, or rename the device."
            )
            raise DeviceIsOfAnotherKind(message)
        notes = []
        wanted_hold = found.max_hold or self._max_hold
        if wanted_hold is not None and not _same_duration(wanted_hold, existing.max_hold):
            notes.append(f"{existing.name}: keeps its maxHold of {existing.max_hold}; {wanted_hold} is for new devices")
        if found.direction is not None and found.direction != existing.direction:
            notes.append(f"{existing.name}: is for {existing.direction}, these readings are for {found.direction}")
        return DeviceUsed(existing.id, existing.name, created=False, notes=tuple(notes))

    async def _create(self, found: FoundDevice) -> DeviceUsed:
        kind = (found.type or "MISC").strip().upper().replace(" ", "_")
        fields: dict[str, Any] = {
            "name": found.name,
            "type": kind if kind in _TYPES else "MISC",
            "location": found.location or "",
            "user_id": self._user_id,
            "kind": found.kind,
        }
        if found.direction is not None:
            fields["direction"] = found.direction
        max_hold = found.max_hold or self._max_hold
        if max_hold is not None:
            fields["max_hold"] = max_hold
        if found.parent is not None and found.parent in self._ids:
            fields["parent_id"] = self._ids[found.parent]
        if found.rated_power_w is not None:
            fields["rated_power"] = found.rated_power_w
        if found.silent_after is not None:
            fields["silent_after"] = found.silent_after
        device = await self._clients.devices.create(DeviceBody.of(**fields))
        notes = () if kind in _TYPES else (f"{found.name}: the type {found.type!r} is not known, so it is MISC",)
        return DeviceUsed(device.id, device.name, created=True, notes=notes)


def _same_duration(first: str, second: str) -> bool:
    try:
        return parse_duration(first) == parse_duration(second)
    except InvalidDuration:
        return False
