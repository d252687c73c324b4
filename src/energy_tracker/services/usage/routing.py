"""What a record of the stream is, and where its readings belong: here, to another partition, or nowhere yet."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.contracts.topics import ENERGY_USAGE_BY_OWNER
from energy_tracker.eventlog.dead_letter import is_replayed
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.asked import AskedAbout
from energy_tracker.services.usage.decoding import to_message
from energy_tracker.services.usage.model.readings import DeviceRules, Place, Reading
from energy_tracker.services.usage.news import dead_letter_of
from energy_tracker.services.usage.ports import Directory, Homes, Outgoing, Parked, ReadingStore, Recorded
from energy_tracker.services.usage.settled import Settled, at_once

NOT_REGISTERED = "the device is not registered"
OWNER_DELETED = "the device's owner was deleted"
_TOO_MANY_WAIT = "the device is not registered, and too many readings wait for theirs already"
_HAND_OVER = "hand-over-device"
_FORWARDED_AT_ONCE = 2_000


class RecordKind(Enum):
    """What a record of the stream is."""

    NEW = "readings"
    REPLAYED = "readings that were dead letters"
    HAND_OVER = "a device that belongs here from now on"


def kind_of(record: Record) -> RecordKind:
    """Return what a record is."""
    if record.headers:
        if is_replayed(record):
            return RecordKind.REPLAYED
        if handed_over_device(record):
            return RecordKind.HAND_OVER
    return RecordKind.NEW


def place_of(record: Record) -> Place:
    """Return the partition that a record lies in."""
    return Place(record.topic, record.partition)


def forward(readings: Sequence[Reading], user_id: int) -> list[Outgoing]:
    """Return messages that bring readings to the partition of their home."""
    messages: list[Outgoing] = []
    for start in range(0, len(readings), _FORWARDED_AT_ONCE):
        part = readings[start : start + _FORWARDED_AT_ONCE]
        value = msgspec.json.encode([to_message(reading) for reading in part])
        messages.append(Outgoing(ENERGY_USAGE_BY_OWNER, str(user_id), value, {}, len(part)))
    return messages


def hand_over(device: DirectoryDevice) -> Outgoing:
    """Return the message that leaves a device to whoever looks after its home now."""
    return Outgoing(ENERGY_USAGE_BY_OWNER, str(device.user_id), b"[]", {_HAND_OVER: str(device.id)})


def handed_over_device(record: Record) -> int:
    """Return the device that a record leaves to this process, 0 where it is no such record."""
    device_id = record.headers.get(_HAND_OVER, "")
    return int(device_id) if record.topic == ENERGY_USAGE_BY_OWNER and device_id.isdigit() else 0


def rules_of(device: DirectoryDevice) -> DeviceRules:
    """Return how a device's readings are to be understood."""
    return DeviceRules(device.kind, device.direction, device.max_hold_ms, device.rated_power_w)


def bury_parked(parked: Sequence[Parked], reason: str) -> Recorded:
    """Return the turn that ends the waiting of parked readings: they become dead letters."""
    return Recorded(
        released=[entry.id for entry in parked],
        dead_letters=[dead_letter_of(entry.reading, reason) for entry in parked],
    )


@dataclass
class Sorter:
    """Tells readings that are to be stored here from those that are not."""

    store: ReadingStore
    directory: Directory
    homes: Homes
    settled: Settled = at_once
    _asked: AskedAbout = field(default_factory=AskedAbout)

    def is_here(self, user_id: int) -> bool:
        """Whether this process looks after a home."""
        return self.homes.partition_of(user_id) in self.homes.partitions

    async def sort(
        self, readings: Sequence[Reading], turn: Recorded, *, may_wait: bool, now_ms: int
    ) -> list[tuple[DirectoryDevice, list[Reading]]]:
        """Return what is to be stored, by device.

        The rest is added to the turn: readings that lie in another partition than their home's are appended again, to
        that one; those of unknown devices wait for them, or are dead letters.
        """
        by_device: defaultdict[int, list[Reading]] = defaultdict(list)
        for reading in readings:
            by_device[reading.device_id].append(reading)
        known: list[tuple[DirectoryDevice, list[Reading]]] = []
        waiting: list[Reading] = []
        for device_id, group in by_device.items():
            device = self.directory.device(device_id)
            if device is not None:
                if here := self._forward_strays(device, group, turn):
                    known.append((device, here))
            elif self.directory.device_is_erased(device_id):
                turn.dead_letters += [dead_letter_of(reading, OWNER_DELETED) for reading in group]
            elif not may_wait:
                turn.dead_letters += [dead_letter_of(reading, NOT_REGISTERED) for reading in group]
            else:
                waiting += group
        if waiting:
            await self._park(waiting, turn, now_ms=now_ms)
        return known

    async def _park(self, readings: Sequence[Reading], turn: Recorded, *, now_ms: int) -> None:
        """Let readings wait for their devices to be registered, as many as there is room for."""
        await self.settled()
        room = await self.store.room_for_parked()
        turn.parked += [Parked(0, each, each.source.offset if each.source else 0, now_ms) for each in readings[:room]]
        turn.dead_letters += [dead_letter_of(reading, _TOO_MANY_WAIT) for reading in readings[room:]]

    def _forward_strays(self, device: DirectoryDevice, readings: list[Reading], turn: Recorded) -> list[Reading]:
        """Return the readings that lie in their home's partition; the others are sent there."""
        partition = self.homes.partition_of(device.user_id)
        strays = [
            reading for reading in readings if reading.source is not None and reading.source.partition != partition
        ]
        if not strays:
            return readings
        turn.outgoing += forward(strays, device.user_id)
        turn.forwarded += len(strays)
        return [reading for reading in readings if reading.source is None or reading.source.partition == partition]

    async def ask_about(self, device_ids: Collection[int]) -> None:
        """Ask the registry, once, about devices that it has not told of: one may have been registered just now.

        Whoever registers a device and sends at once (an import does) would else have the readings parked and taken up
        again.
        """
        unknown = {device_id for device_id in device_ids if self.directory.device(device_id) is None}
        if unknown and not self.directory.stale and self._asked.add(unknown):
            await self.directory.refresh()
