"""Readings that waited for their device to be registered: they are stored before those that come after them."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field

from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.news import dead_letter_of
from energy_tracker.services.usage.ports import Directory, Parked, ReadingsRefused, ReadingStore, Recorded

PARKED_AT_ONCE = 5_000


@dataclass
class Waiting:
    """Takes what waits of devices that are known now, by turns that `take` fills and `commit` stores.

    Copies of a reading are one point in InfluxDB, which says where the one that counts has come from, and a write that
    was given up may arrive at any time. So the same copy has to be the first at every attempt: the one that waited.
    """

    store: ReadingStore
    directory: Directory
    all_is_stored: Callable[[], Awaitable[None]]
    """Returns when nothing is under way, and the next turn may begin; raises where something could not be stored."""
    take: Callable[[Sequence[Reading], Recorded], Awaitable[None]]
    commit: Callable[[Recorded], Awaitable[None]]
    _devices: set[int] = field(default_factory=set)

    async def look(self) -> None:
        """See of which devices readings wait; nothing may be under way."""
        self._devices = set(await self.store.parked_devices())

    def follow(self, turn: Recorded) -> None:
        """Take note of what a turn lets wait, if it is stored."""
        self._devices.update(entry.reading.device_id for entry in turn.parked)

    async def release_known(self, device_ids: Collection[int]) -> None:
        """Store what waits of those of the devices that are known; where nothing waits, this goes on at once."""
        while self._devices and (waiting := self._devices.intersection(device_ids)):
            known = [device_id for device_id in waiting if self.directory.device(device_id) is not None]
            if not known:
                return
            await self.release(known)

    async def release(self, device_ids: Collection[int]) -> None:
        """Store what waits of devices that are known, in the order it came."""
        await self.all_is_stored()
        while parked := await self.store.parked(device_ids=device_ids, limit=PARKED_AT_ONCE):
            await self._release(parked)
        self._devices.difference_update(device_ids)

    async def _release(self, parked: Sequence[Parked]) -> None:
        """End the waiting of readings; those that the store refuses are dead letters."""
        why: dict[tuple[int, int, bytes], str] = {}
        readings = [entry.reading for entry in parked]
        while True:
            refused = [dead_letter_of(each, why[each.identity]) for each in readings if each.identity in why]
            turn = Recorded(released=[entry.id for entry in parked], dead_letters=refused)
            await self.take([each for each in readings if each.identity not in why], turn)
            try:
                await self.commit(turn)
            except ReadingsRefused as refusal:
                why.update(refusal.reasons)
                await self.all_is_stored()
            else:
                return
