"""Recording: from records of the log to stored readings, derived energy and episodes, in one transaction a turn."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.contracts.usage import RebuildAnswer
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.clock import Clock
from energy_tracker.services.usage.decoding import decode_record, to_message
from energy_tracker.services.usage.history import device_pages, stream_readings
from energy_tracker.services.usage.model.derivation import (
    Change,
    Head,
    KindHasChanged,
    extend,
    in_order,
    reading_order,
    refold,
)
from energy_tracker.services.usage.model.readings import KINDS, DeviceRules, Direction, Kind, Reading, Stream, stream_of
from energy_tracker.services.usage.news import bury
from energy_tracker.services.usage.ports import (
    DeadLetter,
    DeviceState,
    Directory,
    Parked,
    ReadingStore,
    Recorded,
    StreamChange,
)
from energy_tracker.services.usage.watch import HomeWatch

log = logging.getLogger(__name__)

CACHED_DEVICES = 50_000


@dataclass
class UsageService:
    """Stores readings and derives from them. One turn at a time: everything here waits for the one before."""

    store: ReadingStore
    directory: Directory
    watch: HomeWatch
    clock: Clock
    patience_ms: int = 3_600_000
    """How long readings of a device that nobody has registered wait before they become dead letters."""

    def __post_init__(self) -> None:
        self.news = asyncio.Event()
        """Set whenever messages wait to be appended to the log."""
        self._turn = asyncio.Lock()
        self._states: dict[int, DeviceState] = {}

    async def record_readings(self, *, records: Sequence[Record]) -> int:
        """Store the readings of records that follow each other, with all that they change and the position.

        Returns how many readings were new. Raises `TemporarilyUnavailable` or `StorageFull`: nothing is stored then,
        and the same records may come again.
        """
        async with self._turn:
            turn = Recorded(position=records[-1].offset)
            readings: list[Reading] = []
            for record in records:
                good, dead = decode_record(record)
                readings += good
                turn.dead_letters += dead
            await self._take(readings, turn, offset=records[-1].offset)
            await self._commit(turn)
            return len(turn.readings)

    async def follow_registry(self, *, device_ids: Collection[int] | None = None) -> None:
        """Act on what the registry says now of some devices, or of all that there are.

        Parked readings of devices that are known now are taken, devices whose rules changed are derived anew, those of
        deleted users are erased.
        """
        async with self._turn:
            figures = await self.store.known_devices()
            parked = await self.store.parked(device_ids)
            waiting = {entry.reading.device_id for entry in parked}
            wanted = figures.keys() | waiting if device_ids is None else set(device_ids)
            for device_id in sorted(wanted):
                device = self.directory.device(device_id)
                if self.directory.device_is_erased(device_id):
                    await self._erase(device_id, [entry for entry in parked if entry.reading.device_id == device_id])
                elif device is not None and device_id in figures and figures[device_id] != rules_of(device):
                    await self._derive_anew(device_id)
            ready = [entry for entry in parked if self.directory.device(entry.reading.device_id) is not None]
            if ready:
                turn = Recorded(released=[entry.id for entry in ready])
                await self._take([entry.reading for entry in ready], turn, offset=ready[-1].offset)
                await self._commit(turn)

    async def forget_users(self, *, user_ids: Collection[int]) -> None:
        """Erase the episodes of users that are deleted."""
        async with self._turn:
            gone = {user_id for user_id in user_ids if self.directory.user_is_deleted(user_id)}
            if gone:
                await self._commit(Recorded(forgotten_users=gone))
                self.watch.forget(gone)

    async def check(self, *, caught_up: bool) -> None:
        """Do what only the passing of time brings about; `caught_up`: nothing waits in the log.

        Devices that have fallen silent, episodes whose readings have grown old, parked readings whose patience is over,
        stretches of the past that changed.
        """
        async with self._turn:
            now_ms = self.clock.now_ms()
            turn = Recorded()
            for entry in await self.store.parked():
                if now_ms - entry.parked_ms > self.patience_ms:
                    turn.released.append(entry.id)
                    turn.dead_letters.append(_dead_parked(entry, "the device is not registered"))
            await self.watch.pass_time(turn, now_ms=now_ms, caught_up=caught_up)
            if turn != Recorded():
                await self._commit(turn)
            if caught_up:
                await self._judge_the_past()

    async def rebuild(self) -> RebuildAnswer:
        """Derive every figure again from the raw readings."""
        began_ms, devices, readings = self.clock.now_ms(), 0, 0
        for device_id in sorted(await self.store.known_devices()):
            async with self._turn:
                readings += await self._derive_anew(device_id)
                devices += 1
        seconds = (self.clock.now_ms() - began_ms) / 1000
        return RebuildAnswer(devices=devices, readings=readings, seconds=seconds)

    async def _take(self, readings: Sequence[Reading], turn: Recorded, *, offset: int) -> None:
        """Add to a turn what readings change."""
        by_device: defaultdict[int, list[Reading]] = defaultdict(list)
        for reading in readings:
            by_device[reading.device_id].append(reading)
        now_ms = self.clock.now_ms()
        known: dict[int, DirectoryDevice] = {}
        for device_id, group in by_device.items():
            device = self.directory.device(device_id)
            if device is not None:
                known[device_id] = device
                continue
            waiting = [Parked(0, reading, offset, now_ms) for reading in group]
            if self.directory.device_is_erased(device_id):
                turn.dead_letters += [_dead_parked(entry, "the device's owner was deleted") for entry in waiting]
            else:
                turn.parked += waiting
        await self._load_states(known)
        await self.watch.load(known.values())
        for device_id, device in known.items():
            await self._take_device(device_id, rules_of(device), by_device[device_id], turn)
        self.watch.observe(turn, now_ms=now_ms)

    async def _take_device(self, device_id: int, rules: DeviceRules, readings: list[Reading], turn: Recorded) -> None:
        state = self._states[device_id]
        fresh = await self._fresh(readings, state, rules, turn)
        if not fresh:
            return
        turn.readings += fresh
        turn.rules[device_id] = rules
        if state.rules is not None and state.rules != rules:
            await self._fold_all(device_id, rules, turn, fresh)
            return
        by_stream: defaultdict[Stream, list[Reading]] = defaultdict(list)
        for reading in fresh:
            by_stream[stream_of(reading, rules)].append(reading)
        try:
            turn.changes += [
                StreamChange(stream, await self._change(stream, state.heads.get(stream), group, rules))
                for stream, group in by_stream.items()
            ]
        except KindHasChanged:
            await self._fold_all(device_id, rules, turn, fresh)

    async def _fresh(
        self, readings: list[Reading], state: DeviceState, rules: DeviceRules, turn: Recorded
    ) -> list[Reading]:
        """Return what is not stored yet, in order; count repeats, and bury other content under a known identity."""
        unique: dict[tuple[int, int, bytes], Reading] = {}
        late: list[tuple[int, int, bytes]] = []
        for reading in readings:
            identity = (reading.device_id, reading.time_ms, reading.key)
            other = unique.get(identity)
            if other is not None:
                _settle_repeat(reading, other, turn)
                continue
            unique[identity] = reading
            head = state.heads.get(stream_of(reading, rules))
            if state.heads and (head is None or reading_order(reading) <= head.order):
                late.append(identity)
        if late:
            for identity, stored in (await self.store.find(late)).items():
                _settle_repeat(unique.pop(identity), stored, turn)
        return in_order(unique.values())

    async def _change(self, stream: Stream, head: Head | None, readings: list[Reading], rules: DeviceRules) -> Change:
        if head is None or reading_order(readings[0]) > head.order:
            return extend(head, readings, rules)
        checkpoint = await self.store.checkpoint(stream, readings[0].time_ms)
        start = checkpoint.boundary_ms if checkpoint else None
        stored = stream_readings(self.store, stream, rules, from_ms=start)
        return await refold(head, checkpoint, stored, readings, rules)

    async def _derive_anew(self, device_id: int) -> int:
        device = self.directory.device(device_id)
        if device is None:
            return 0
        turn = Recorded(rules={device_id: rules_of(device)})
        folded = await self._fold_all(device_id, rules_of(device), turn, [])
        await self._commit(turn)
        self.watch.forget({device.user_id})
        return folded

    async def _fold_all(self, device_id: int, rules: DeviceRules, turn: Recorded, new: Sequence[Reading]) -> int:
        """Fold all readings of a device, stored and new; return how many were stored."""
        kinds = await self._kinds(device_id, rules, new)
        whole = {stream: Change(Head(-1, b"", tuple(sorted(present)), None)) for stream, present in kinds.items()}
        waiting, folded = in_order(new), 0
        async for page in device_pages(self.store, device_id):
            folded += len(page)
            last = reading_order(page[-1])
            due = [reading for reading in waiting if reading_order(reading) < last]
            waiting = waiting[len(due) :]
            _fold_page(whole, in_order([*page, *due]), rules)
            await asyncio.sleep(0)
        _fold_page(whole, waiting, rules)
        turn.derived_anew.add(device_id)
        turn.changes += [StreamChange(stream, change) for stream, change in whole.items()]
        return folded

    async def _kinds(self, device_id: int, rules: DeviceRules, new: Sequence[Reading]) -> dict[Stream, set[Kind]]:
        kinds: defaultdict[Stream, set[Kind]] = defaultdict(set)
        for (sent, channel), present in (await self.store.kinds(device_id)).items():
            direction: Direction = sent or rules.direction
            kinds[Stream(device_id, direction, channel)] |= present
        for reading in new:
            kinds[stream_of(reading, rules)].add(reading.kind)
        return kinds

    async def _erase(self, device_id: int, parked: Sequence[Parked]) -> None:
        turn = Recorded(erased={device_id}, released=[entry.id for entry in parked])
        turn.dead_letters = [_dead_parked(entry, "the device's owner was deleted") for entry in parked]
        await self._commit(turn)
        self.watch.forget_device(device_id)

    async def _judge_the_past(self) -> None:
        for span in await self.store.to_judge():
            turn = Recorded(judged=[span])
            await self.watch.judge_again(span, turn, now_ms=self.clock.now_ms())
            await self._commit(turn)

    async def _load_states(self, device_ids: Collection[int]) -> None:
        missing = [device_id for device_id in device_ids if device_id not in self._states]
        if missing:
            if len(self._states) + len(missing) > CACHED_DEVICES:
                self._states = {key: self._states[key] for key in device_ids if key in self._states}
            self._states |= await self.store.device_states(missing)

    async def _commit(self, turn: Recorded) -> None:
        """Store a turn; only then the caches follow it. On failure they start again from the store."""
        turn.outgoing += [bury(dead, now_ms=self.clock.now_ms()) for dead in turn.dead_letters]
        try:
            await self.store.commit(turn)
        except BaseException:
            self._states.clear()
            self.watch.reset()
            raise
        if turn.outgoing:
            self.news.set()
        for device_id in turn.erased:
            self._states.pop(device_id, None)
        for device_id in turn.derived_anew:
            self._states[device_id] = DeviceState(turn.rules[device_id], {})
        for device_id, rules in turn.rules.items():
            state = self._states.get(device_id)
            if state is not None and state.rules != rules:
                self._states[device_id] = DeviceState(rules, state.heads)
        for stream, change in turn.changes:
            state = self._states.get(stream.device_id)
            if state is not None:
                state.heads[stream] = change.head


def rules_of(device: DirectoryDevice) -> DeviceRules:
    """Return how a device's readings are to be understood."""
    kind = next(known for known in KINDS if known == device.kind)
    direction: Direction = "export" if device.direction == "export" else "import"
    return DeviceRules(kind, direction, device.max_hold_ms, device.rated_power_w)


def _fold_page(whole: dict[Stream, Change], page: Sequence[Reading], rules: DeviceRules) -> None:
    by_stream: defaultdict[Stream, list[Reading]] = defaultdict(list)
    for reading in page:
        by_stream[stream_of(reading, rules)].append(reading)
    for stream, readings in by_stream.items():
        before = whole[stream]
        after = extend(before.head, readings, rules)
        before.head = after.head
        before.checkpoints |= after.checkpoints
        before.quarter_hours.merge(after.quarter_hours)


def _settle_repeat(reading: Reading, stored: Reading, turn: Recorded) -> None:
    if (reading.kind, reading.amount, reading.since_ms) == (stored.kind, stored.amount, stored.since_ms):
        turn.repeated += 1
    else:
        turn.dead_letters.append(_dead_parked(Parked(0, reading, 0, 0), "other content under a known event id"))


def _dead_parked(entry: Parked, reason: str) -> DeadLetter:
    return DeadLetter(reason, msgspec.json.encode(to_message(entry.reading)), 0, entry.offset, 1)
