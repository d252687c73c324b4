"""Recording: from records of the log to stored readings, derived energy and episodes, in one transaction a turn."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.contracts.usage import RebuildAnswer
from energy_tracker.eventlog.dead_letter import is_replayed
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.usage.decoding import decode_record
from energy_tracker.services.usage.deriving import READINGS_AT_ONCE, Deriver
from energy_tracker.services.usage.model.homes import owned_spans
from energy_tracker.services.usage.model.readings import DeviceRules, Reading
from energy_tracker.services.usage.news import bury, dead_letter_of
from energy_tracker.services.usage.ports import Directory, Parked, ReadingStore, Recorded, Span
from energy_tracker.services.usage.watch import HomeWatch

log = logging.getLogger(__name__)

JUDGED_AT_ONCE_MS = 7 * MS_PER_DAY
ASKED_ABOUT = 10_000
"""How many unknown devices are remembered as having been asked about."""
PARKED_AT_ONCE = 5_000
POISON_LIMIT = 10_000
"""Unreadable messages in a row, without a good one between, after which nothing more is set aside."""
_NOT_REGISTERED = "the device is not registered"
_OWNER_DELETED = "the device's owner was deleted"


class TooMuchPoison(TemporarilyUnavailable):
    """So much on the log cannot be read that setting it aside would drain it: somebody has to look."""

    title = "Too many messages cannot be read"


@dataclass
class UsageService:
    """Stores readings and derives from them. One turn at a time: everything here waits for the one before."""

    store: ReadingStore
    directory: Directory
    watch: HomeWatch
    clock: Clock
    patience_ms: int = 3_600_000
    """How long readings of a device that nobody has registered wait before they become dead letters."""
    poison_limit: int = POISON_LIMIT

    def __post_init__(self) -> None:
        self.news = asyncio.Event()
        """Set whenever messages wait to be appended to the log."""
        self._turn = asyncio.Lock()
        self._asked_about: set[int] = set()
        self._deriver = Deriver(self.store)
        self._stored_position: int | None = None
        self._poison_in_a_row = 0

    async def record_readings(self, *, records: Sequence[Record]) -> int:
        """Store the readings of records that follow each other, with all that they change and the position.

        Records up to the stored position are known already and are passed over.
        Returns how many readings were new. Raises `TemporarilyUnavailable` or `StorageFull`: nothing is stored then,
        and the same records may come again; `TooMuchPoison` where the log seems to hold something else altogether.
        """
        async with self._turn:
            position = await self._position()
            if records[-1].offset <= position:
                return 0
            waiting = [record for record in records if record.offset > position]
            stored = 0
            for replayed, together in groupby(waiting, key=is_replayed):
                stored += await self._record_alike(list(together), replayed=replayed)
            return stored

    async def _record_alike(self, records: Sequence[Record], *, replayed: bool) -> int:
        """Store the readings of records that all are, or all are not, replayed dead letters."""
        turn = Recorded(position=records[-1].offset)
        readings: list[Reading] = []
        poison, give_way_at = self._poison_in_a_row, READINGS_AT_ONCE
        for record in records:
            if len(readings) >= give_way_at:  # others of this event loop have requests to answer
                give_way_at += READINGS_AT_ONCE
                await asyncio.sleep(0)
            good, dead = decode_record(record)
            readings += good
            turn.dead_letters += dead
            poison = 0 if good else poison + len(dead)
            if poison > self.poison_limit:
                raise TooMuchPoison(f"{poison} messages in a row cannot be read, up to offset {record.offset}.")
        await self._take(readings, turn, offset=records[-1].offset, may_wait=not replayed)
        if replayed:
            # They were counted when they came first: only what is no dead letter any more changes the ledger.
            dead_again = sum(letter.readings for letter in turn.dead_letters)
            turn.revived, turn.repeated = len(turn.readings) + dead_again, 0
        await self._commit(turn)
        self._poison_in_a_row = poison
        return len(turn.readings)

    async def follow_registry(self, *, device_ids: Collection[int] | None = None) -> None:
        """Act on what the registry says now of some devices, or of all that there are.

        Parked readings of devices that are known now are taken, devices whose rules changed are derived anew, those of
        deleted users are erased.
        """
        async with self._turn:
            figures = await self.store.known_devices()
            waiting = await self.store.parked_devices()
            wanted = {*figures, *waiting} if device_ids is None else set(device_ids)
            for device_id in sorted(wanted):
                device = self.directory.device(device_id)
                if self.directory.device_is_erased(device_id):
                    await self._erase(device_id)
                elif device is not None and device_id in figures and figures[device_id] != rules_of(device):
                    await self._derive_anew(device_id)
            ready = [device_id for device_id in wanted.intersection(waiting) if self.directory.device(device_id)]
            while parked := await self.store.parked(device_ids=ready, limit=PARKED_AT_ONCE):
                turn = Recorded(released=[entry.id for entry in parked])
                await self._take([entry.reading for entry in parked], turn, offset=parked[-1].offset)
                await self._commit(turn)

    async def forget_users(self, *, user_ids: Collection[int]) -> None:
        """Erase what deleted users leave: their episodes, and readings of devices that went on to somebody else."""
        async with self._turn:
            gone = {user_id for user_id in user_ids if self.directory.user_is_deleted(user_id)}
            if gone:
                await self._commit(Recorded(forgotten_users=gone))
                self.watch.forget(gone)
            for user_id in gone:
                for device in self.directory.devices_of(user_id):
                    await self._erase_period(device, user_id)

    async def check(self, *, caught_up: bool) -> None:
        """Do what only the passing of time brings about; `caught_up`: nothing waits in the log.

        Devices that have fallen silent, episodes whose readings have grown old, parked readings whose patience is over,
        stretches of the past that changed.
        """
        async with self._turn:
            now_ms = self.clock.now_ms()
            while overdue := await self.store.parked(until_ms=now_ms - self.patience_ms, limit=PARKED_AT_ONCE):
                await self._commit(_bury_parked(overdue, _NOT_REGISTERED))
            turn = Recorded()
            await self.watch.pass_time(turn, now_ms=now_ms, caught_up=caught_up)
            if turn != Recorded():
                await self._commit(turn)
        more = caught_up
        while more:
            more = await self._judge_a_piece_of_the_past()

    async def rebuild(self) -> RebuildAnswer:
        """Derive every figure again from the raw readings."""
        began_ms, devices, readings = self.clock.now_ms(), 0, 0
        for device_id in sorted(await self.store.known_devices()):
            async with self._turn:
                readings += await self._derive_anew(device_id)
                devices += 1
        seconds = (self.clock.now_ms() - began_ms) / 1000
        return RebuildAnswer(devices=devices, readings=readings, seconds=seconds)

    async def _take(self, readings: Sequence[Reading], turn: Recorded, *, offset: int, may_wait: bool = True) -> None:
        """Add to a turn what readings change; those of unknown devices wait for them, or are dead letters."""
        by_device: defaultdict[int, list[Reading]] = defaultdict(list)
        for reading in readings:
            by_device[reading.device_id].append(reading)
        await self._ask_about(by_device.keys())
        now_ms = self.clock.now_ms()
        known: dict[int, DirectoryDevice] = {}
        for device_id, group in by_device.items():
            device = self.directory.device(device_id)
            if device is not None:
                known[device_id] = device
                continue
            if self.directory.device_is_erased(device_id):
                turn.dead_letters += [dead_letter_of(reading, _OWNER_DELETED, offset=offset) for reading in group]
            elif not may_wait:
                turn.dead_letters += [dead_letter_of(reading, _NOT_REGISTERED, offset=offset) for reading in group]
            else:
                turn.parked += [Parked(0, reading, offset, now_ms) for reading in group]
        await self._deriver.load(known)
        await self.watch.load(known.values())
        for device_id, device in known.items():
            await self._deriver.take(device_id, rules_of(device), by_device[device_id], turn)
        self.watch.observe(turn, now_ms=now_ms)

    async def _ask_about(self, device_ids: Collection[int]) -> None:
        """Ask the registry, once, about devices that it has not told of: one may have been registered just now.

        Whoever registers a device and sends at once (an import does) would else have the readings parked and taken up
        again.
        """
        unknown = {device_id for device_id in device_ids if self.directory.device(device_id) is None}
        unknown -= self._asked_about
        if unknown and not self.directory.stale:
            if len(self._asked_about) > ASKED_ABOUT:
                self._asked_about.clear()
            self._asked_about |= unknown
            await self.directory.refresh()

    async def _derive_anew(self, device_id: int) -> int:
        device = self.directory.device(device_id)
        if device is None:
            return 0
        turn = Recorded(rules={device_id: rules_of(device)})
        folded = await self._deriver.take_anew(device_id, rules_of(device), turn)
        await self._commit(turn)
        self.watch.forget({device.user_id})
        return folded

    async def _erase(self, device_id: int) -> None:
        while parked := await self.store.parked(device_ids=[device_id], limit=PARKED_AT_ONCE):
            await self._commit(_bury_parked(parked, _OWNER_DELETED))
        await self._commit(Recorded(erased={device_id}))
        self.watch.forget_device(device_id)

    async def _erase_period(self, device: DirectoryDevice, user_id: int) -> None:
        """Erase the readings of the time in which a device was a user's."""
        spans = [
            (begin, end)
            for begin, end in owned_spans(device, user_id)
            if await self.store.readings(device_ids=[device.id], from_ms=begin, to_ms=end, after=None, limit=1)
        ]
        if not spans:
            return
        rules = rules_of(device)
        turn = Recorded(rules={device.id: rules}, erased_spans=[(device.id, *span) for span in spans])
        await self._deriver.take_anew(
            device.id, rules, turn, stays=lambda reading: not any(a <= reading.time_ms < b for a, b in spans)
        )
        await self._commit(turn)
        self.watch.forget_device(device.id)

    async def _judge_a_piece_of_the_past(self) -> bool:
        """Judge the beginning of a stretch that waits for it; return whether there was one.

        Pieces are so long that no episode is cut at their end.
        """
        async with self._turn:
            span = next(iter(await self.store.to_judge()), None)
            if span is None:
                return False
            length_ms = JUDGED_AT_ONCE_MS
            while True:
                turn = Recorded(judged=[span])
                piece = Span(span.user_id, span.from_ms, min(span.to_ms, span.from_ms + length_ms))
                judged_ms = await self.watch.judge_again(piece, turn, now_ms=self.clock.now_ms())
                if judged_ms > span.from_ms or piece.to_ms == span.to_ms:
                    break
                length_ms *= 2
            if piece.to_ms < span.to_ms:
                turn.to_judge = [Span(span.user_id, judged_ms, span.to_ms)]
            await self._commit(turn)
            return True

    async def _position(self) -> int:
        if self._stored_position is None:
            self._stored_position = await self.store.position()
        return self._stored_position

    async def _commit(self, turn: Recorded) -> None:
        """Store a turn; only then the caches follow it. On failure they start again from the store."""
        turn.outgoing += [bury(dead, now_ms=self.clock.now_ms()) for dead in turn.dead_letters]
        try:
            await self.store.commit(turn)
        except BaseException:
            self._stored_position = None
            self._deriver.reset()
            self.watch.reset()
            raise
        self._deriver.follow(turn)
        self._stored_position = self._stored_position if turn.position is None else turn.position
        if turn.outgoing:
            self.news.set()


def rules_of(device: DirectoryDevice) -> DeviceRules:
    """Return how a device's readings are to be understood."""
    return DeviceRules(device.kind, device.direction, device.max_hold_ms, device.rated_power_w)


def _bury_parked(parked: Sequence[Parked], reason: str) -> Recorded:
    return Recorded(
        released=[entry.id for entry in parked],
        dead_letters=[dead_letter_of(entry.reading, reason, offset=entry.offset) for entry in parked],
    )
