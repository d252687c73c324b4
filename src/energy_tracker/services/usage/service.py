"""Recording: from records of the log to stored readings, derived energy and episodes, in one transaction a turn."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.contracts.usage import RebuildAnswer
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.clock import Clock
from energy_tracker.services.usage.batches import POISON_LIMIT, DecodedRecords, behind, decode_together
from energy_tracker.services.usage.deriving import Deriver
from energy_tracker.services.usage.history import spans_with_readings
from energy_tracker.services.usage.model.readings import Place, Reading
from energy_tracker.services.usage.news import bury, dead_letter_of
from energy_tracker.services.usage.past import judge_a_piece
from energy_tracker.services.usage.ports import (
    DeadLetter,
    Directory,
    EveryHome,
    Homes,
    ReadingsRefused,
    ReadingStore,
    Recorded,
)
from energy_tracker.services.usage.routing import (
    NOT_REGISTERED,
    OWNER_DELETED,
    RecordKind,
    Sorter,
    bury_parked,
    hand_over,
    handed_over_device,
    place_of,
    rules_of,
)
from energy_tracker.services.usage.watch import HomeWatch

PARKED_AT_ONCE = 5_000


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
    homes: Homes = field(default_factory=EveryHome)

    def __post_init__(self) -> None:
        self.news = asyncio.Event()
        """Set whenever messages wait to be appended to the log."""
        self.on_stored: Callable[[Recorded], None] = lambda _: None
        """Told of every turn that is stored."""
        self._turn = asyncio.Lock()
        self._sorter = Sorter(self.store, self.directory, self.homes)
        self._deriver = Deriver(self.store)
        self._positions: dict[Place, int] | None = None
        self._poison_in_a_row = 0

    async def take_up(self) -> Mapping[Place, int]:
        """Begin anew with the homes that are this process's now; return up to where their readings are stored."""
        async with self._turn:
            self._forget_all()
            return dict(await self._stored_positions())

    async def record_readings(self, *, records: Sequence[Record]) -> int:
        """Decode records that follow each other and store their readings; see `record_decoded`."""
        return await self.record_decoded(decoded=await decode_together(records))

    async def record_decoded(self, *, decoded: Sequence[DecodedRecords]) -> int:
        """Store the readings of records that follow each other, with all that they change and the position.

        Records up to the stored position are known already and are passed over.
        Returns how many readings were new. Raises `TemporarilyUnavailable` or `StorageFull`: nothing is stored then,
        and the same records may come again; `TooMuchPoison` where the log seems to hold something else altogether.
        """
        async with self._turn:
            stored = 0
            for alike in decoded:
                positions = await self._stored_positions()
                waiting = behind(positions, alike.records)
                if not waiting:
                    continue
                if alike.kind is RecordKind.HAND_OVER:
                    for record in waiting:
                        await self._take_handed_over(record)
                elif len(waiting) == len(alike.records):
                    stored += await self._record_alike(alike)
                else:
                    stored += await self._record_alike(*await decode_together(waiting))
            return stored

    async def _record_alike(self, decoded: DecodedRecords) -> int:
        """Store the readings of records that all are, or all are not, replayed dead letters."""
        poison = decoded.poison_at_end(self._poison_in_a_row, limit=self.poison_limit)
        stored = await self._store_what_is_taken(decoded)
        self._poison_in_a_row = poison
        return stored

    async def _store_what_is_taken(self, decoded: DecodedRecords) -> int:
        """Store what has been decoded; where the store refuses readings, store it without them."""
        readings, replayed = decoded.readings, decoded.kind is RecordKind.REPLAYED
        refused: list[DeadLetter] = []
        while True:
            turn = Recorded(
                positions=decoded.last_offsets,
                consumed=decoded.consumed,
                dead_letters=[*decoded.dead_letters, *refused],
            )
            await self._take(readings, turn, may_wait=not replayed)
            if replayed:
                # They were counted when they came first: only what is no dead letter any more changes the ledger.
                dead_again = sum(letter.readings for letter in turn.dead_letters)
                turn.revived, turn.repeated = len(turn.readings) + dead_again + turn.forwarded, 0
            try:
                await self._commit(turn)
            except ReadingsRefused as refusal:
                why = refusal.reasons
                refused += [dead_letter_of(each, why[each.identity]) for each in readings if each.identity in why]
                readings = [reading for reading in readings if reading.identity not in why]
                await self._stored_positions()
            else:
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
                elif device is not None and device_id in figures and not self._is_kept_at_home(device):
                    await self._hand_over(device)
                elif device is not None and device_id in figures and figures[device_id] != rules_of(device):
                    await self._derive_anew(device_id)
            ready = [device_id for device_id in wanted.intersection(waiting) if self.directory.device(device_id)]
            while parked := await self.store.parked(device_ids=ready, limit=PARKED_AT_ONCE):
                turn = Recorded(released=[entry.id for entry in parked])
                await self._take([entry.reading for entry in parked], turn)
                await self._commit(turn)

    async def forget_users(self, *, user_ids: Collection[int]) -> None:
        """Erase what deleted users leave: their episodes, and readings of devices that went on to somebody else."""
        async with self._turn:
            gone = {user_id for user_id in user_ids if self.directory.user_is_deleted(user_id)}
            if gone:
                await self._commit(Recorded(forgotten_users=gone))
                self.watch.forget(gone)
            for user_id in gone:
                for device in filter(self._is_here, self.directory.devices_of(user_id)):
                    await self._erase_period(device, user_id)

    async def judge_homes(self, *, user_ids: Collection[int]) -> None:
        """Judge homes by thresholds that may be new, without waiting for their next readings."""
        async with self._turn:
            turn = Recorded()
            await self.watch.judge_now(user_ids, turn, now_ms=self.clock.now_ms())
            if turn != Recorded():
                await self._commit(turn)

    async def check(self, *, caught_up: bool) -> None:
        """Do what only the passing of time brings about; `caught_up`: nothing waits in the log.

        Devices that have fallen silent, episodes whose readings have grown old, parked readings whose patience is over,
        stretches of the past that changed.
        """
        async with self._turn:
            now_ms = self.clock.now_ms()
            while not self.directory.stale and (
                overdue := await self.store.parked(until_ms=now_ms - self.patience_ms, limit=PARKED_AT_ONCE)
            ):
                await self._commit(bury_parked(overdue, NOT_REGISTERED))
            turn = Recorded()
            await self.watch.pass_time(turn, now_ms=now_ms, caught_up=caught_up)
            if turn != Recorded():
                await self._commit(turn)
        more = caught_up
        while more:
            more = await self._judge_a_piece_of_the_past()

    async def rebuild(self) -> RebuildAnswer:
        """Derive every figure again from the raw readings."""
        began_ms, readings = self.clock.now_ms(), 0
        devices = sorted(await self.store.known_devices())
        for device_id in devices:
            async with self._turn:
                readings += await self._derive_anew(device_id)
        seconds = (self.clock.now_ms() - began_ms) / 1000
        return RebuildAnswer(devices=len(devices), readings=readings, seconds=seconds)

    async def _take(self, readings: Sequence[Reading], turn: Recorded, *, may_wait: bool = True) -> None:
        """Add to a turn what readings change, and what becomes of those that are not stored here."""
        now_ms = self.clock.now_ms()
        known = await self._sorter.sort(readings, turn, may_wait=may_wait, now_ms=now_ms)
        await self._deriver.load([device.id for device, _ in known])
        await self.watch.load([device for device, _ in known])
        for device, group in known:
            await self._deriver.take(device.id, rules_of(device), group, turn)
        self.watch.observe(turn, now_ms=now_ms)

    def _is_here(self, device: DirectoryDevice) -> bool:
        return self._sorter.is_here(device.user_id)

    def _is_kept_at_home(self, device: DirectoryDevice) -> bool:
        return self.store.keeps_in(device.id) in {None, self.homes.partition_of(device.user_id)}

    async def _hand_over(self, device: DirectoryDevice) -> None:
        """Leave a device to the process that looks after its new home, which derives it anew."""
        await self._commit(Recorded(handed_over={device.id}, outgoing=[hand_over(device)]))
        self.watch.forget_device(device.id)

    async def _take_handed_over(self, record: Record) -> None:
        """Derive a device that belongs here now from all of its readings."""
        await self.directory.refresh()  # the copy of whoever handed it over may be newer
        turn = Recorded(positions={place_of(record): record.offset})
        device = self.directory.device(handed_over_device(record))
        if device is not None and not self._is_here(device):
            turn.outgoing.append(hand_over(device))
        elif device is not None:
            turn.rules[device.id] = rules_of(device)
            await self._deriver.take_anew(device.id, rules_of(device), turn)
        await self._commit(turn)
        if device is not None:
            self.watch.forget({device.user_id})

    async def _derive_anew(self, device_id: int) -> int:
        device = self.directory.device(device_id)
        if device is None or not self._is_here(device):
            return 0
        turn = Recorded(rules={device_id: rules_of(device)})
        folded = await self._deriver.take_anew(device_id, rules_of(device), turn)
        await self._commit(turn)
        self.watch.forget({device.user_id})
        return folded

    async def _erase(self, device_id: int) -> None:
        while parked := await self.store.parked(device_ids=[device_id], limit=PARKED_AT_ONCE):
            await self._commit(bury_parked(parked, OWNER_DELETED))
        await self._commit(Recorded(erased={device_id}))
        self.watch.forget_device(device_id)

    async def _erase_period(self, device: DirectoryDevice, user_id: int) -> None:
        """Erase the readings of the time in which a device was a user's."""
        spans = await spans_with_readings(self.store, device, user_id)
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
        """Judge the beginning of a stretch that waits for it; return whether there was one."""
        async with self._turn:
            span = next(iter(await self.store.to_judge()), None)
            if span is None:
                return False
            await self._commit(await judge_a_piece(self.watch, span, now_ms=self.clock.now_ms()))
            return True

    async def _stored_positions(self) -> Mapping[Place, int]:
        if self._positions is None:
            self._positions = dict(await self.store.take_up())
        return self._positions

    def _forget_all(self) -> None:
        self._positions = None
        self._deriver.reset()
        self.watch.reset()

    async def _commit(self, turn: Recorded) -> None:
        """Store a turn; only then the caches follow it. On failure they start again from the store."""
        turn.outgoing += [bury(dead, now_ms=self.clock.now_ms()) for dead in turn.dead_letters]
        try:
            await self.store.commit(turn)
        except BaseException:
            self._forget_all()
            raise
        self._deriver.follow(turn)
        if self._positions is not None:
            self._positions.update(turn.positions)
        self.on_stored(turn)
        if turn.outgoing:
            self.news.set()
