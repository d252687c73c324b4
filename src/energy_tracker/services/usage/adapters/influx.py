"""The reading store on InfluxDB and Kafka: readings and figures as points, what is open in the compacted topic.

InfluxDB has no transactions, so what a turn changes is written there first, and counts once the Kafka transaction with
the state, the messages that follow and the positions in the log has been committed. A turn that ends in between is done
again by whoever has the partition then: readings land on themselves, and quarter-hours are computed from what was
committed before, which every version of them says. See the decision record on figures in InfluxDB.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from energy_tracker.eventlog.kafka_flow import FlowCommit, KafkaFlow, PartitionsMoved
from energy_tracker.services.usage.adapters.flow_notes import Note, judge, newest, next_epoch
from energy_tracker.services.usage.adapters.flow_state import HomesState
from energy_tracker.services.usage.adapters.flow_turns import FlowTurn
from energy_tracker.services.usage.adapters.influx_devices import states_by_readings
from energy_tracker.services.usage.adapters.influx_queries import Identity, InfluxReadings
from energy_tracker.services.usage.adapters.influx_rows import read_state, reading_lines
from energy_tracker.services.usage.adapters.influx_turns import (
    TurnPoints,
    erase_devices,
    erase_spans,
    write_readings,
)
from energy_tracker.services.usage.adapters.kafka_ledger import RECENTLY_S, KafkaLedger
from energy_tracker.services.usage.model.derivation import Checkpoint
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.ledger import Holdings
from energy_tracker.services.usage.model.readings import DeviceRules, Direction, Kind, Place, Reading, Stream
from energy_tracker.services.usage.model.rollups import BucketSum
from energy_tracker.services.usage.ports import DeviceState, Outgoing, Parked, ReadingCursor, Recorded, Span
from energy_tracker.storage.influx import InfluxDatabase, InfluxUnavailable

MOST_PARKED: Final = 100_000
_FIRST_CHECKPOINTS: Final = 4
_BEYOND_RETENTION: Final = "retention policy"
"""How InfluxDB 2.7 says that a point is older than what it keeps."""


class InfluxReadingStore:
    """`ReadingStore` for the partitions that the flow gives to this process, and `ReadingQueries` for all homes.

    `partition_of` tells a home's partition by its user's id, `reached_at` is where other processes reach this one.
    """

    def __init__(
        self,
        database: InfluxDatabase,
        flow: KafkaFlow,
        ledger: KafkaLedger,
        partition_of: Callable[[int], int],
        reached_at: str = "",
    ) -> None:
        self._database = database
        self._readings = InfluxReadings(database)
        self._flow = flow
        self._ledger = ledger
        self._partition_of = partition_of
        self._reached_at = reached_at
        self._number = -1
        self._state = HomesState()

    @property
    def number(self) -> int:
        """The assignment whose state this is."""
        return self._number

    @property
    def partitions(self) -> Collection[int]:
        """The partitions that this process has now."""
        return self._state.notes.keys()

    async def take_up(self) -> Mapping[Place, int]:
        """Begin a new epoch in the partitions that this process has now; return up to where they are stored."""
        assignment = await self._flow.assigned()
        if assignment.number == self._number:
            await self._flow.rewind(assignment.number)
            self._state.forget_elsewhere()
        else:
            self._state = HomesState.read(assignment.partitions.items())
            self._number = assignment.number
        state = self._state
        by = self._reached_at
        await self._begin_epochs({partition: next_epoch(note, by=by) for partition, note in state.notes.items()})
        return {Place(topic, partition): offset for (topic, partition), offset in state.positions.items()}

    def lay_out(self, recorded: Recorded) -> None:
        """Make the lines of a turn's readings, mostly while the turn before is being written."""
        recorded.lines = reading_lines(recorded.readings)

    async def commit(self, recorded: Recorded) -> None:
        """Write the points, then commit the rest in one transaction. Raises `ReadingsRefused` and `LogUnavailable`."""
        state = self._state
        if any(place.partition not in state.notes for place in recorded.positions):
            raise PartitionsMoved("The partitions of these records belong to somebody else by now.")
        if not state.notes:
            return  # no home is looked after here, and nothing can have changed
        state.begin(recorded)
        await self._rise_above_others(recorded)
        points = TurnPoints(state, recorded, self._readings)
        await points.lay_out()
        await erase_devices(self._database, recorded)
        await write_readings(self._database, recorded)
        await self._write_derived(points.derived)
        turn = FlowTurn(state, recorded, points.sums, self._partition_of)
        await self._follow_once_committed(turn)
        await self._database.write(points.anew())
        await erase_spans(self._database, recorded)

    async def _begin_epochs(self, notes: dict[int, Note]) -> None:
        await self._flow.commit(self._number, FlowCommit(notes={number: note.text() for number, note in notes.items()}))
        self._state.notes = {**self._state.notes, **notes}

    async def _rise_above_others(self, recorded: Recorded) -> None:
        """Begin an epoch above those of all partitions where a device arrives: others may have written its figures.

        The last version of a quarter-hour counts, and that is to be the one of this partition from now on. That also
        goes for a device without a past: who had its home before may be writing its first figures only now.
        """
        state = self._state
        changed = {stream.device_id for stream, _ in recorded.changes} | recorded.derived_anew
        arriving = {
            state.partition_of(device_id, recorded)
            for device_id in changed
            if state.device(device_id) is None or (recorded.positions and device_id in recorded.derived_anew)
        }
        if arriving:
            epochs: Mapping[int, int] = {number: note.epoch for number, note in state.notes.items()}
            if len(epochs) < self._ledger.partitions:
                epochs = (await self._ledger.holdings()).epochs
            highest = max(epochs.values(), default=0)
            notes = {number: next_epoch(state.notes[number], above=highest) for number in arriving}
            await self._begin_epochs(notes)

    async def _write_derived(self, lines: Sequence[str]) -> None:
        for refused in await self._database.write(lines):
            if _BEYOND_RETENTION not in refused.reason:  # older than a reading that was just taken: it is kept no more
                raise InfluxUnavailable(f"InfluxDB refuses what was derived: {refused.reason}")

    async def _follow_once_committed(self, turn: FlowTurn) -> None:
        """Commit a turn and take it over, also where the caller is cancelled meanwhile: what is committed counts."""
        commit = asyncio.ensure_future(self._flow.commit(self._number, turn.lay_out()))
        try:
            await asyncio.shield(commit)
        except asyncio.CancelledError:
            await asyncio.wait([commit])
            if not commit.cancelled() and commit.exception() is None:
                turn.follow()
            raise
        turn.follow()

    async def holdings(self) -> Holdings:
        """Return what has become of the readings, as all processes together have committed it."""
        return await self._ledger.holdings()

    async def bucket_sums(self, *, device_ids: Sequence[int], boundaries_ms: Sequence[int]) -> Sequence[BucketSum]:
        """Return what lies in the buckets between successive boundaries, as far as it is committed."""
        others: Mapping[int, Note] = {}
        if len(self._state.notes) < self._ledger.partitions:
            is_at_home = any(device_id in self._state.partition_of_device for device_id in device_ids)
            others = await self._ledger.notes(within_s=RECENTLY_S if is_at_home else 0.0)
        notes = newest(self._state.notes, others)
        return await self._readings.bucket_sums(
            device_ids=device_ids, boundaries_ms=boundaries_ms, last_committed=judge(notes)
        )

    async def readings(
        self, *, device_ids: Sequence[int], from_ms: int, to_ms: int, after: ReadingCursor | None, limit: int
    ) -> Sequence[Reading]:
        """Return raw readings of a stretch of time, in order of (time, device, key), behind the cursor."""
        return await self._readings.readings(
            device_ids=device_ids, from_ms=from_ms, to_ms=to_ms, after=after, limit=limit
        )

    async def device_states(self, device_ids: Collection[int]) -> dict[int, DeviceState]:
        """Return the states of devices; of one that has only readings here, what those say that count."""
        states: dict[int, DeviceState] = {}
        for device_id in device_ids:
            entry = self._state.device(device_id)
            if entry is not None:
                heads = {Stream(device_id, each.direction, each.channel): each.head for each in entry.streams}
                states[device_id] = DeviceState(entry.rules, heads)
        without = [device_id for device_id in device_ids if device_id not in states]
        return states | (await states_by_readings(self._readings, self._state, without) if without else {})

    async def known_devices(self) -> dict[int, DeviceRules]:
        """Return every device of this process's homes that has figures, with the rules they were derived under."""
        entries = {device_id: self._state.device(device_id) for device_id in list(self._state.partition_of_device)}
        return {device_id: entry.rules for device_id, entry in entries.items() if entry is not None}

    def keeps_in(self, device_id: int) -> int | None:
        """Return the partition that keeps what is derived of a device, as far as that is known."""
        return self._state.partition_of_device.get(device_id)

    async def find(self, identities: Sequence[Identity]) -> dict[Identity, Reading]:
        """Return the stored readings among (device, time, key)."""
        return await self._readings.find(identities, counted=self._state.is_counted)

    async def checkpoint(self, stream: Stream, at_ms: int) -> Checkpoint | None:
        """Return the stream's last checkpoint at or before an instant."""
        partition = self._state.partition_of_device.get(stream.device_id)
        limit = _FIRST_CHECKPOINTS
        while True:
            versions = await self._readings.checkpoints(stream, at_ms, limit=limit)
            seen: set[int] = set()
            for boundary_ms, epoch, text, write in versions:  # newest first: of a boundary, the newest version counts
                if boundary_ms in seen:
                    continue
                seen.add(boundary_ms)
                if text and (partition is None or self._state.is_committed(partition, epoch, write)):
                    return Checkpoint(boundary_ms, read_state(text))
            if len(versions) < limit:
                return None
            limit *= 8

    async def device_readings(self, device_id: int, *, after: tuple[int, bytes], limit: int) -> Sequence[Reading]:
        """Return a page of a device's readings in order, behind (time, key)."""
        counted = self._state.is_counted
        return await self._readings.device_readings(device_id, after=after, limit=limit, counted=counted)

    async def kinds(self, device_id: int) -> dict[tuple[Direction | None, str], set[Kind]]:
        """Return which kinds of readings a device has, by the direction as it was sent and the channel.

        This is what deriving a device anew begins with: from here on it is settled which readings count for that.
        """
        self._state.see_elsewhere(device_id, (await self._ledger.holdings()).positions)
        return await self._readings.kinds(device_id)

    async def room_for_parked(self) -> int:
        """Return how many more readings may wait for their devices to be registered."""
        return max(0, MOST_PARKED - len(self._state.parked))

    async def parked_devices(self) -> Collection[int]:
        """Return the devices that have parked readings."""
        return {entry.reading.device_id for entry in self._state.parked.values()}

    async def parked(
        self, *, device_ids: Collection[int] | None = None, until_ms: int | None = None, limit: int
    ) -> Sequence[Parked]:
        """Return parked readings, of some devices or all, parked up to an instant or ever, in the order they came."""
        wanted = (
            entry
            for entry in self._state.parked.values()
            if (device_ids is None or entry.reading.device_id in device_ids)
            and (until_ms is None or entry.parked_ms <= until_ms)
        )
        return list(islice(wanted, limit))

    async def open_episodes(self) -> Sequence[Episode]:
        """Return the episodes of this process's homes that have not ended."""
        return _in_order(episode for _, episode in self._state.episodes.values() if episode.ended_ms is None)

    async def episodes(self, *, user_id: int, from_ms: int, to_ms: int) -> Sequence[Episode]:
        """Return the episodes of a user that overlap `[from_ms, to_ms)`."""
        return _in_order(
            episode
            for _, episode in self._state.episodes.values()
            if episode.user_id == user_id
            and episode.opened_ms < to_ms
            and (episode.ended_ms is None or episode.ended_ms > from_ms)
        )

    async def detectors(self, user_id: int) -> dict[int, bytes]:
        """Return the states of a home's detectors, by device."""
        return self._state.detectors_of(user_id)

    async def last_reading_ms(self, device_id: int) -> int | None:
        """Return the time of a device's newest reading."""
        entry = self._state.device(device_id)
        if entry is None or not entry.streams:
            return None
        return max(stream.head.last_ms for stream in entry.streams)

    async def to_judge(self) -> Sequence[Span]:
        """Return the spans that wait to be judged again."""
        return sorted(span for _, span in self._state.to_judge.values())

    async def outgoing(self, *, limit: int) -> Sequence[tuple[int, Outgoing]]:
        """Return nothing: messages were appended in the transaction of their turn."""
        del limit
        return ()

    async def forget_outgoing(self, up_to: int) -> None:
        """Refuse: there are no messages to forget."""
        message = f"no message up to {up_to} waits here"
        raise RuntimeError(message)


def _in_order(episodes: Iterable[Episode]) -> list[Episode]:
    return sorted(episodes, key=lambda episode: (episode.opened_ms, episode.id))
