"""Carrying what usage-service keeps from one store into another, by the port that both have.

Every step may be repeated: readings land on themselves, figures are derived anew from what has arrived, and the totals
of the ledger, which come last, replace those that were counted on the way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.eventlog.port import BEFORE_ALL
from energy_tracker.kit.problems import Problem
from energy_tracker.services.usage.deriving import Deriver
from energy_tracker.services.usage.history import device_pages, episodes_of
from energy_tracker.services.usage.model.ledger import Holdings
from energy_tracker.services.usage.model.readings import DeviceRules, LogPosition, Place, Reading
from energy_tracker.services.usage.ports import Homes, Parked, ReadingsRefused, ReadingStore, Recorded

READINGS_AT_ONCE: Final = 10_000
EPISODES_AT_ONCE: Final = 1_000
PARKED_AT_ONCE: Final = 5_000
_MOST_PARKED_OF_A_DEVICE: Final = 10_000_000


class ReadingsCannotBeMoved(Problem):
    """The other store will never take some of the readings."""

    status = 409
    title = "Some readings cannot be moved"


@dataclass(frozen=True, slots=True)
class Removal:
    """A move from `source` to `target`, which looks after all homes; `positions` are those that it has taken up."""

    source: ReadingStore
    target: ReadingStore
    homes: Homes
    positions: Mapping[Place, int]

    async def carry_device(self, device_id: int, rules: DeviceRules, *, user_id: int) -> int:
        """Carry all readings of a device, and derive its figures from those that have arrived; return how many.

        Raises `ReadingsCannotBeMoved`.
        """
        place = Place(ENERGY_USAGE, self.homes.partition_of(user_id))
        before_the_log = LogPosition(*place, BEFORE_ALL)
        carried = 0
        async for page in device_pages(self.source, device_id, limit=READINGS_AT_ONCE):
            carried += len(page)
            await self._write([msgspec.structs.replace(reading, source=before_the_log) for reading in page])
        turn = Recorded(positions={place: self.positions[place]}, rules={device_id: rules})
        await Deriver(self.target).take_anew(device_id, rules, turn)
        await self.target.commit(turn)
        return carried

    async def _write(self, readings: list[Reading]) -> None:
        try:
            await self.target.commit(Recorded(readings=readings))
        except ReadingsRefused as refusal:
            (device_id, time_ms, _), reason = next(iter(refusal.reasons.items()))
            message = (
                f"{len(refusal.reasons)} readings of device {device_id} are refused, such as the one at {time_ms} ms "
                f"since 1970: {reason}"
            )
            raise ReadingsCannotBeMoved(message) from refusal

    async def carry_homes(self, user_ids: Iterable[int]) -> int:
        """Carry the episodes of users, ended ones too, what of their past is to be judged, and how they are watched.

        Returns how many episodes.
        """
        carried = 0
        for user_id in user_ids:
            episodes = await episodes_of(self.source, user_id)
            for start in range(0, len(episodes), EPISODES_AT_ONCE):
                await self.target.commit(Recorded(episodes=episodes[start : start + EPISODES_AT_ONCE]))
            carried += len(episodes)
            watched = await self.source.detectors(user_id)
            there = await self.target.detectors(user_id)
            entries = {(user_id, key): watched.get(key) for key in watched.keys() | there.keys()}
            if entries:
                await self.target.commit(Recorded(detectors=entries))
        spans = await self.source.to_judge()
        if spans:
            await self.target.commit(Recorded(to_judge=list(spans)))
        return carried

    async def carry_parked(self) -> int:
        """Carry the readings that wait for their device in place of those that wait there; return how many."""
        while there := await self.target.parked(limit=PARKED_AT_ONCE):
            await self.target.commit(Recorded(released=[entry.id for entry in there]))
        waiting = await parked_in(self.source)
        room = await self.target.room_for_parked()
        if len(waiting) > room:
            message = (
                f"{len(waiting)} readings wait for devices that are not registered, and there is room for {room}. "
                "Register the devices first, or wait until the readings are dead letters."
            )
            raise ReadingsCannotBeMoved(message)
        for start in range(0, len(waiting), PARKED_AT_ONCE):
            part = [
                entry._replace(reading=msgspec.structs.replace(entry.reading, source=None))
                for entry in waiting[start : start + PARKED_AT_ONCE]
            ]
            await self.target.commit(Recorded(parked=part))
        return len(waiting)

    async def open_ledger(self, totals: Holdings) -> None:
        """Go on from these totals, whatever was counted before: the last step."""
        await self.target.commit(Recorded(opening=totals))


async def parked_in(store: ReadingStore) -> list[Parked]:
    """Return all readings that wait for their device, by device, in the order they came."""
    return [
        entry
        for device_id in sorted(await store.parked_devices())
        for entry in await store.parked(device_ids=[device_id], limit=_MOST_PARKED_OF_A_DEVICE)
    ]
