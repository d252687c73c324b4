"""Recording: from records of the log to stored readings, derived energy and episodes, in one transaction a turn."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.contracts.usage import RebuildAnswer
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.clock import Clock
from energy_tracker.services.usage.batches import POISON_LIMIT, decode_together
from energy_tracker.services.usage.history import spans_with_readings
from energy_tracker.services.usage.past import judge_a_piece
from energy_tracker.services.usage.ports import (
    Directory,
    EveryHome,
    Homes,
    ReadingStore,
    Recorded,
)
from energy_tracker.services.usage.recording import Recorder
from energy_tracker.services.usage.routing import (
    NOT_REGISTERED,
    OWNER_DELETED,
    bury_parked,
    hand_over,
    rules_of,
)
from energy_tracker.services.usage.waiting import PARKED_AT_ONCE
from energy_tracker.services.usage.watch import HomeWatch


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
        self.recorder = Recorder(
            self.store, self.directory, self.watch, self.clock, self.homes, poison_limit=self.poison_limit
        )

    async def record_readings(self, *, records: Sequence[Record]) -> int:
        """Decode records that follow each other and store their readings; return how many were new."""
        return await self.recorder.record(decoded=await decode_together(records))

    async def follow_registry(self, *, device_ids: Collection[int] | None = None) -> None:
        """Act on what the registry says now of some devices, or of all that there are.

        Parked readings of devices that are known now are taken, devices whose rules changed are derived anew, those of
        deleted users are erased.
        """
        async with self.recorder.alone():
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
            await self.recorder.waiting.release(ready)

    async def forget_users(self, *, user_ids: Collection[int]) -> None:
        """Erase what deleted users leave: their episodes, and readings of devices that went on to somebody else."""
        async with self.recorder.alone():
            gone = {user_id for user_id in user_ids if self.directory.user_is_deleted(user_id)}
            if gone:
                await self.recorder.commit(Recorded(forgotten_users=gone))
                self.watch.forget(gone)
            for user_id in gone:
                for device in filter(self._is_here, self.directory.devices_of(user_id)):
                    await self._erase_period(device, user_id)

    async def judge_homes(self, *, user_ids: Collection[int]) -> None:
        """Judge homes by thresholds that may be new, without waiting for their next readings."""
        async with self.recorder.alone():
            turn = Recorded()
            await self.watch.judge_now(user_ids, turn, now_ms=self.clock.now_ms())
            if turn != Recorded():
                await self.recorder.commit(turn)

    async def check(self, *, caught_up: bool) -> None:
        """Do what only the passing of time brings about; `caught_up`: nothing waits in the log.

        Devices that have fallen silent, episodes whose readings have grown old, parked readings whose patience is over,
        stretches of the past that changed.
        """
        async with self.recorder.alone():
            now_ms = self.clock.now_ms()
            while not self.directory.stale and (
                overdue := await self.store.parked(until_ms=now_ms - self.patience_ms, limit=PARKED_AT_ONCE)
            ):
                await self.recorder.commit(bury_parked(overdue, NOT_REGISTERED))
            turn = Recorded()
            await self.watch.pass_time(turn, now_ms=now_ms, caught_up=caught_up)
            if turn != Recorded():
                await self.recorder.commit(turn)
        more = caught_up
        while more:
            more = await self._judge_a_piece_of_the_past()

    async def rebuild(self) -> RebuildAnswer:
        """Derive every figure again from the raw readings."""
        began_ms, readings = self.clock.now_ms(), 0
        devices = sorted(await self.store.known_devices())
        for device_id in devices:
            async with self.recorder.alone():
                readings += await self._derive_anew(device_id)
        seconds = (self.clock.now_ms() - began_ms) / 1000
        return RebuildAnswer(devices=len(devices), readings=readings, seconds=seconds)

    def _is_here(self, device: DirectoryDevice) -> bool:
        return self.recorder.sorter.is_here(device.user_id)

    def _is_kept_at_home(self, device: DirectoryDevice) -> bool:
        return self.store.keeps_in(device.id) in {None, self.homes.partition_of(device.user_id)}

    async def _hand_over(self, device: DirectoryDevice) -> None:
        """Leave a device to the process that looks after its new home, which derives it anew."""
        await self.recorder.commit(Recorded(handed_over={device.id}, outgoing=[hand_over(device)]))
        self.watch.forget_device(device.id)

    async def _derive_anew(self, device_id: int) -> int:
        device = self.directory.device(device_id)
        if device is None or not self._is_here(device):
            return 0
        turn = Recorded(rules={device_id: rules_of(device)})
        folded = await self.recorder.deriver.take_anew(device_id, rules_of(device), turn)
        await self.recorder.commit(turn)
        self.watch.forget({device.user_id})
        return folded

    async def _erase(self, device_id: int) -> None:
        while parked := await self.store.parked(device_ids=[device_id], limit=PARKED_AT_ONCE):
            await self.recorder.commit(bury_parked(parked, OWNER_DELETED))
        await self.recorder.commit(Recorded(erased={device_id}))
        self.watch.forget_device(device_id)

    async def _erase_period(self, device: DirectoryDevice, user_id: int) -> None:
        """Erase the readings of the time in which a device was a user's."""
        spans = await spans_with_readings(self.store, device, user_id)
        if not spans:
            return
        rules = rules_of(device)
        turn = Recorded(rules={device.id: rules}, erased_spans=[(device.id, *span) for span in spans])
        await self.recorder.deriver.take_anew(
            device.id, rules, turn, stays=lambda reading: not any(a <= reading.time_ms < b for a, b in spans)
        )
        await self.recorder.commit(turn)
        self.watch.forget_device(device.id)

    async def _judge_a_piece_of_the_past(self) -> bool:
        """Judge the beginning of a stretch that waits for it; return whether there was one."""
        async with self.recorder.alone():
            span = next(iter(await self.store.to_judge()), None)
            if span is None:
                return False
            await self.recorder.commit(await judge_a_piece(self.watch, span, now_ms=self.clock.now_ms()))
            return True
