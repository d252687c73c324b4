"""What usage-service remembers of its homes in the compacted topic: the state of one process's partitions.

Nothing here changes before the transaction that makes the change durable has happened.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from energy_tracker.eventlog.kafka_state import PartitionState
from energy_tracker.services.usage.adapters.influx_rows import PARKED, QuarterRow, Sums
from energy_tracker.services.usage.model.derivation import Head
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.ledger import Holdings
from energy_tracker.services.usage.model.readings import DeviceRules, Direction, LogPosition, Reading, Stream
from energy_tracker.services.usage.ports import Parked, Recorded, Span

KEPT_QUARTERS: Final = 8
"""The newest quarter-hours of a stream that are kept with its state, so that going on asks the store for nothing."""
_CACHED_QUARTERS: Final = 400
_MOST_FINALS: Final = 30
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


class Ranges(msgspec.Struct, array_like=True):
    """Epochs that ended: those from `first` to `last` have committed up to the write `final`.

    What they wrote beyond that is written again once the positions have passed `ends`.
    """

    first: int
    last: int
    final: int
    ends: dict[str, int]


class Tally(msgspec.Struct):
    """Numbers of readings, for the ledger, as far as this partition has counted them."""

    consumed: int = 0
    stored: int = 0
    dead: int = 0
    repeated: int = 0
    forwarded: int = 0
    parked: int = 0


def opening_tally(opening: Holdings) -> Tally:
    """Return the tally that goes on from totals of another store."""
    return Tally(
        consumed=opening.consumed,
        stored=opening.stored,
        dead=opening.dead_lettered,
        repeated=opening.repeated,
        parked=opening.parked,
    )


class Note(msgspec.Struct):
    """What goes with the positions of a partition."""

    epoch: int = 0
    write: int = 0
    parked_number: int = 0
    tally: Tally = msgspec.field(default_factory=Tally)
    ended: list[Ranges] = []

    def text(self) -> str:
        """Return the note as it is kept."""
        return msgspec.json.encode(self).decode()


_note = msgspec.json.Decoder(Note)
_device = msgspec.msgpack.Decoder(DeviceEntry)
_episode = msgspec.json.Decoder(Episode)
_span = msgspec.json.Decoder(Span)
_parked = msgspec.msgpack.Decoder(tuple[Reading, int, int])


def read_note(text: str) -> Note:
    """Return the note of a partition; an empty one where it has none yet."""
    return _note.decode(text) if text else Note()


@dataclass
class HomesState:
    """The state of the partitions that a process has; keys as in the topic."""

    notes: dict[int, Note] = field(default_factory=dict)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    partition_of_device: dict[int, int] = field(default_factory=dict)
    episodes: dict[str, tuple[int, Episode]] = field(default_factory=dict)
    to_judge: dict[int, tuple[int, Span]] = field(default_factory=dict)
    parked: dict[tuple[int, int], Parked] = field(default_factory=dict)
    _devices: dict[int, DeviceEntry] = field(default_factory=dict)
    _unread: dict[int, bytes] = field(default_factory=dict)
    _quarters: dict[Stream, dict[int, Sums]] = field(default_factory=dict)
    _streams: dict[int, set[Stream]] = field(default_factory=dict)
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
                self.parked.pop((partition, int(name)), None)
                if value is not None:
                    self.parked[partition, int(name)] = _read_parked(partition, int(name), value)
            case _:
                pass  # of a newer release; it keeps it

    def _put_device(self, partition: int, device_id: int, value: bytes | None) -> None:
        self._devices.pop(device_id, None)
        if value is None:
            self.forget_device(device_id)
        else:
            self._unread[device_id] = value
            self.partition_of_device[device_id] = partition

    def forget_device(self, device_id: int) -> None:
        """Drop all that is known of a device."""
        for known in (self._devices, self._unread, self.partition_of_device):
            known.pop(device_id, None)
        for stream in self._streams.pop(device_id, ()):
            self._quarters.pop(stream, None)

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
        known = self.partition_of_device.get(device_id, self._arriving.get(device_id))
        if known is not None:
            return known
        return next((place.partition for place in recorded.positions), min(self.notes))

    def begin(self, recorded: Recorded) -> None:
        """Take note of where devices that have no state yet come from."""
        known = self.partition_of_device
        self._arriving = {
            reading.device_id: reading.source.partition
            for reading in recorded.readings
            if reading.device_id not in known and reading.source is not None
        }

    def positions_in(self, partition: int) -> dict[str, int]:
        """Return the committed positions of a partition, by topic."""
        return {topic: offset for (topic, number), offset in self.positions.items() if number == partition}

    def place_of_parked(self, parked_id: int) -> tuple[int, int]:
        """Return the partition and number of a parked reading."""
        return parked_id % _PARTITIONS, parked_id // _PARTITIONS

    def keep_device(self, partition: int, device_id: int, entry: DeviceEntry) -> None:
        """Take over what has become of a device."""
        self._unread.pop(device_id, None)
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

    def is_counted(self, source: LogPosition | None) -> bool:
        """Whether a stored reading is part of what is committed, and not of a step that did not come to its end."""
        if source is None:
            return True
        topic, partition, offset = source
        if topic == PARKED:
            return (partition, offset) not in self.parked
        return offset <= self.positions.get((topic, partition), offset)

    def is_committed(self, partition: int, epoch: int, write: int) -> bool:
        """Whether a version of a quarter-hour or a checkpoint is part of what is committed."""
        note = self.notes[partition]
        if epoch >= note.epoch:
            return epoch == note.epoch and write <= note.write
        return all(write <= ended.final for ended in note.ended if ended.first <= epoch <= ended.last)

    def committed_sums(self, partition: int, row: QuarterRow) -> Sums:
        """Return what a quarter-hour held with the last step that is committed, by its newest version."""
        return row.sums if self.is_committed(partition, row.epoch, row.write) else row.before


def next_epoch(note: Note, positions: dict[str, int], ends: dict[str, int]) -> Note:
    """Return the note of whoever takes a partition over: a new epoch, and what is known of those before."""
    ended = still_needed(note.ended, positions)
    if ended and ended[-1].last == note.epoch - 1 and ended[-1].final == note.write:
        ended[-1] = Ranges(ended[-1].first, note.epoch, note.write, ends)
    else:
        ended.append(Ranges(note.epoch, note.epoch, note.write, ends))
    return msgspec.structs.replace(note, epoch=note.epoch + 1, ended=ended[-_MOST_FINALS:])


def still_needed(ended: list[Ranges], positions: dict[str, int]) -> list[Ranges]:
    """Return the ends of epochs whose unfinished step may not have been done again yet."""
    return [each for each in ended if any(positions.get(topic, -1) + 1 < end for topic, end in each.ends.items())]


def encode_entry(value: DeviceEntry | Episode | Span) -> bytes:
    """Return the value of a key."""
    return msgspec.msgpack.encode(value) if isinstance(value, DeviceEntry) else msgspec.json.encode(value)


def encode_parked(entry: Parked) -> bytes:
    """Return the value of a parked reading."""
    return msgspec.msgpack.encode((entry.reading, entry.offset, entry.parked_ms))


def _read_parked(partition: int, number: int, value: bytes) -> Parked:
    reading, offset, parked_ms = _parked.decode(value)
    waiting = msgspec.structs.replace(reading, source=LogPosition(PARKED, partition, number))
    return Parked(parked_id(partition, number), waiting, offset, parked_ms)


def parked_id(partition: int, number: int) -> int:
    """Return the id of a parked reading among all partitions."""
    return number * _PARTITIONS + partition
