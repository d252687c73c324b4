"""What usage-service remembers of its homes in the compacted topic: the state of one process's partitions.

Nothing here changes before the transaction that makes the change durable has happened.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from energy_tracker.contracts.topics import ENERGY_USAGE_BY_OWNER
from energy_tracker.eventlog.kafka_flow import PartitionsMoved
from energy_tracker.eventlog.kafka_state import PartitionState
from energy_tracker.eventlog.port import BEFORE_ALL
from energy_tracker.services.usage.adapters.flow_notes import Note, read_note
from energy_tracker.services.usage.adapters.influx_rows import NOTHING, PARKED, QuarterRow, Sums
from energy_tracker.services.usage.model.derivation import Head
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.readings import DeviceRules, Direction, LogPosition, Place, Reading, Stream
from energy_tracker.services.usage.ports import Parked, Recorded, Span

KEPT_QUARTERS: Final = 8
"""The newest quarter-hours of a stream that are kept with its state, so that going on asks the store for nothing."""
_CACHED_QUARTERS: Final = 24
"""Above so many of a stream in memory, the older half is left to the store: 5 kB a stream at most."""
_PARTITIONS: Final = 65_536


class StreamEntry(msgspec.Struct, array_like=True, gc=False):
    """A stream: its head, and its newest quarter-hours as (start, mJ, mJ, ms); after the last there is none."""

    direction: Direction
    channel: str
    head: Head
    quarters: list[tuple[int, int, int, int]]


class DeviceEntry(msgspec.Struct, array_like=True, gc=False):
    """A device as it is derived so far."""

    rules: DeviceRules
    streams: list[StreamEntry]
    since_epoch: int = 0
    """When it was last derived anew: what was written before does not count."""
    elsewhere: list[tuple[str, int, int]] = []
    """How far (topic, partition) were taken then: later readings from other partitions than its own do not count."""


_device = msgspec.msgpack.Decoder(DeviceEntry)
_episode = msgspec.json.Decoder(Episode)
_span = msgspec.json.Decoder(Span)
_parked = msgspec.msgpack.Decoder(tuple[Reading, int, int])


@dataclass
class HomesState:
    """The state of the partitions that a process has; keys as in the topic."""

    notes: dict[int, Note] = field(default_factory=dict)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    partition_of_device: dict[int, int] = field(default_factory=dict)
    episodes: dict[str, tuple[int, Episode]] = field(default_factory=dict)
    to_judge: dict[int, tuple[int, Span]] = field(default_factory=dict)
    parked: dict[tuple[int, int], Parked] = field(default_factory=dict)
    detectors: dict[int, dict[int, tuple[int, bytes]]] = field(default_factory=dict)
    """By user and device: the partition, and the state."""
    _devices: dict[int, DeviceEntry] = field(default_factory=dict)
    _unread: dict[int, bytes] = field(default_factory=dict)
    _quarters: dict[Stream, dict[int, Sums]] = field(default_factory=dict)
    _streams: dict[int, set[Stream]] = field(default_factory=dict)
    _twice: dict[int, set[int]] = field(default_factory=dict)
    _origins: dict[tuple[int, int], tuple[int, LogPosition]] = field(default_factory=dict)
    _waiting_at: Counter[tuple[int, LogPosition]] = field(default_factory=Counter)
    """How many readings of a device are parked that lay at a place in the log."""
    _elsewhere: dict[int, dict[tuple[str, int], int]] = field(default_factory=dict)
    _arriving: dict[int, int] = field(default_factory=dict)

    @classmethod
    def read(cls, partitions: Iterable[tuple[int, PartitionState]]) -> "HomesState":
        """Return the state that is committed for partitions."""
        state = cls()
        for partition, stored in partitions:
            state.notes[partition] = read_note(stored.note)
            for topic, offset in stored.positions.items():
                state.positions[topic, partition] = offset
            for key, value in stored.entries.items():
                state.put(partition, key, value)
        return state

    def put(self, partition: int, key: str, value: bytes | None) -> None:
        """Take over what stands under a key."""
        kind, _, name = key.partition(":")
        match kind:
            case "device":
                self._put_device(partition, int(name), value)
            case "episode":
                self.episodes.pop(name, None)
                if value is not None:
                    self.episodes[name] = (partition, _episode.decode(value))
            case "judge":
                self.to_judge.pop(int(name), None)
                if value is not None:
                    self.to_judge[int(name)] = (partition, _span.decode(value))
            case "parked":
                self._put_parked(partition, int(name), value)
            case "detector":
                self._put_detector(partition, name, value)
            case _:
                pass  # of a newer release; it keeps it

    def _put_detector(self, partition: int, name: str, value: bytes | None) -> None:
        user_id, _, device_id = name.partition(":")
        of_home = self.detectors.setdefault(int(user_id), {})
        of_home.pop(int(device_id), None)
        if value is not None:
            of_home[int(device_id)] = (partition, value)

    def detectors_of(self, user_id: int) -> dict[int, bytes]:
        """Return the states of a home's detectors, by device."""
        return {device_id: state for device_id, (_, state) in self.detectors.get(user_id, {}).items()}

    def _put_parked(self, partition: int, number: int, value: bytes | None) -> None:
        self.parked.pop((partition, number), None)
        origin = self._origins.pop((partition, number), None)
        if origin is not None:
            self._waiting_at[origin] -= 1
        if value is not None:
            reading, offset, parked_ms = _parked.decode(value)
            if reading.source is not None:
                origin = self._origins[partition, number] = (reading.device_id, reading.source)
                self._waiting_at[origin] += 1
            waiting = msgspec.structs.replace(reading, source=LogPosition(PARKED, partition, number))
            self.parked[partition, number] = Parked(parked_id(partition, number), waiting, offset, parked_ms)

    def _put_device(self, partition: int, device_id: int, value: bytes | None) -> None:
        """Take over a device; one that two partitions have is derived anew before anything is added to it.

        That is one which another process has derived already, before this one could hand it over.
        """
        known = self.partition_of_device.get(device_id, partition)
        if value is not None and (known != partition or device_id in self._twice):
            self._twice.setdefault(device_id, {known}).add(partition)
            self.forget_device(device_id)
        elif value is None:
            self.forget_device(device_id)
        else:
            self._devices.pop(device_id, None)
            self._unread[device_id] = value
            self.partition_of_device[device_id] = partition

    def forget_device(self, device_id: int) -> None:
        """Drop all that is known of a device."""
        for known in (self._devices, self._unread, self.partition_of_device):
            known.pop(device_id, None)
        for stream in self._streams.pop(device_id, ()):
            self._quarters.pop(stream, None)

    def partitions_with(self, device_id: int) -> set[int]:
        """Return the partitions that have an entry of a device."""
        known = self.partition_of_device.get(device_id)
        return self._twice.get(device_id, set()) if known is None else {known}

    def device(self, device_id: int) -> DeviceEntry | None:
        """Return a device's entry, None where there is none."""
        entry = self._devices.get(device_id)
        if entry is None and device_id in self._unread:
            entry = self._devices[device_id] = _device.decode(self._unread.pop(device_id))
            for stream in entry.streams:
                known = {start: Sums(*sums) for start, *sums in stream.quarters}
                self._known_of(Stream(device_id, stream.direction, stream.channel)).update(known)
        return entry

    def partition_of(self, device_id: int, recorded: Recorded) -> int:
        """Return the partition of a device: where its state is, or where what is recorded of it has come from."""
        known = self._arriving.get(device_id, self.partition_of_device.get(device_id))
        if known is None:
            # What comes again from another partition comes this way.
            places = sorted(recorded.positions, key=lambda place: place.topic != ENERGY_USAGE_BY_OWNER)
            parked = [self.place_of_parked(number)[0] for number in recorded.released]
            known = next(iter([place.partition for place in places] + parked), None)
        if known is None:
            raise PartitionsMoved(f"Device {device_id} is looked after elsewhere by now.")
        return known

    def begin(self, recorded: Recorded) -> None:
        """Take note of where devices come from. Raises `PartitionsMoved` where one has come without being derived anew.

        It is then known as one whose state is not whole.
        """
        some = {reading.device_id: reading for reading in recorded.readings if reading.source is not None}
        self._arriving = {
            device_id: reading.source.partition for device_id, reading in some.items() if reading.source is not None
        }
        for device_id, partition in self._arriving.items():
            known = self.partition_of_device.get(device_id, partition)
            if known != partition and device_id not in recorded.derived_anew:
                self.forget_device(device_id)
                self._twice[device_id] = {known}
                raise PartitionsMoved(f"Device {device_id} has come from another partition.")

    def place_of_parked(self, parked_id: int) -> tuple[int, int]:
        """Return the partition and number of a parked reading."""
        return parked_id % _PARTITIONS, parked_id // _PARTITIONS

    def keep_device(self, partition: int, device_id: int, entry: DeviceEntry) -> None:
        """Take over what has become of a device."""
        self._unread.pop(device_id, None)
        self._twice.pop(device_id, None)
        self._elsewhere.pop(device_id, None)
        self._devices[device_id] = entry
        self.partition_of_device[device_id] = partition

    def quarters(self, stream: Stream) -> dict[int, Sums]:
        """Return the committed quarter-hours of a stream that are known here; see `frontier_ms`."""
        self.device(stream.device_id)
        return self._quarters.get(stream, {})

    def frontier_ms(self, stream: Stream) -> int:
        """Return the start of the last quarter-hour of a stream that was ever touched, -1 where none was."""
        return max(self.quarters(stream), default=-1)

    def keep_quarters(self, stream: Stream, changed: dict[int, Sums]) -> None:
        """Take over quarter-hours that are committed now."""
        known = self._known_of(stream)
        known.update(changed)
        if len(known) > _CACHED_QUARTERS:
            for start in sorted(known)[: -_CACHED_QUARTERS // 2]:
                del known[start]

    def _known_of(self, stream: Stream) -> dict[int, Sums]:
        self._streams.setdefault(stream.device_id, set()).add(stream)
        return self._quarters.setdefault(stream, {})

    def see_elsewhere(self, device_id: int, positions: Mapping[Place, int]) -> None:
        """Take note of how far all partitions have come before all readings of a device are read."""
        self._elsewhere[device_id] = {(*place,): offset for place, offset in positions.items()}

    def forget_elsewhere(self) -> None:
        """Forget what was taken note of for a turn that did not come to its end."""
        self._elsewhere.clear()

    def seen_elsewhere(self, device_id: int) -> list[tuple[str, int, int]]:
        """Return what was taken note of."""
        return [(*place, offset) for place, offset in self._elsewhere.get(device_id, {}).items()]

    def is_counted(self, reading: Reading) -> bool:
        """Whether a stored reading is part of what is committed, and not of a step that did not come to its end.

        Of a step in another partition, of a device that went on to this one before the step was done again, the
        readings come here again: they count only as far as they counted when the device came.
        """
        if reading.source is None:
            return True
        topic, partition, offset = reading.source.topic, reading.source.partition, reading.source.offset
        if topic == PARKED:
            return (partition, offset) not in self.parked
        seen = self._elsewhere.get(reading.device_id)
        entry = self.device(reading.device_id)
        if seen is None and entry is not None and partition != self.partition_of_device[reading.device_id]:
            seen = {(known, number): last for known, number, last in entry.elsewhere}
        if self._waiting_at and self._waiting_at[reading.device_id, reading.source] > 0:
            return False  # it was written by a step of whoever knew the device already; here it waits for that
        if seen is not None:
            return offset <= seen.get((topic, partition), BEFORE_ALL)
        return offset <= self.positions.get((topic, partition), offset)

    def is_committed(self, partition: int, epoch: int, write: int) -> bool:
        """Whether a version of a quarter-hour or a checkpoint is part of what is committed."""
        return self.notes[partition].has_committed(epoch, write)

    def committed_sums(self, device_id: int, partition: int, row: QuarterRow) -> Sums:
        """Return what a quarter-hour held with the last step that is committed, by its newest version."""
        entry = self.device(device_id)
        if entry is not None and row.epoch < entry.since_epoch:
            return NOTHING
        return row.sums if self.is_committed(partition, row.epoch, row.write) else row.before


def encode_entry(value: DeviceEntry | Episode | Span) -> bytes:
    """Return the value of a key."""
    return msgspec.msgpack.encode(value) if isinstance(value, DeviceEntry) else msgspec.json.encode(value)


def encode_parked(entry: Parked) -> bytes:
    """Return the value of a parked reading."""
    return msgspec.msgpack.encode((entry.reading, entry.offset, entry.parked_ms))


def parked_id(partition: int, number: int) -> int:
    """Return the id of a parked reading among all partitions."""
    return number * _PARTITIONS + partition
