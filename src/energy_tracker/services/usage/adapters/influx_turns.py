"""The points of one turn: readings, and what quarter-hours and checkpoints hold from now on."""

from collections.abc import Iterable
from typing import Final

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.usage.adapters.flow_state import HomesState
from energy_tracker.services.usage.adapters.influx_queries import InfluxReadings
from energy_tracker.services.usage.adapters.influx_rows import (
    DEVICES_MS,
    MEASUREMENTS,
    NOTHING,
    QuarterRow,
    Sums,
    anew_line,
    checkpoint_line,
    no_checkpoint_line,
    quarter_line,
    reading_lines,
    rules_line,
    stream_tags,
)
from energy_tracker.services.usage.model.derivation import Change
from energy_tracker.services.usage.model.readings import Stream
from energy_tracker.services.usage.ports import ReadingsRefused, Recorded
from energy_tracker.storage.influx import InfluxDatabase

Quarters = dict[int, Sums]

_END_MS: Final = DEVICES_MS + MS_PER_DAY


async def write_readings(database: InfluxDatabase, recorded: Recorded) -> None:
    """Write the readings of a turn. Raises `InfluxUnavailable` and `ReadingsRefused`."""
    lines, recorded.lines = recorded.lines, None
    refused = await database.write(reading_lines(recorded.readings) if lines is None else lines)
    if refused:
        readings = recorded.readings
        raise ReadingsRefused(
            {readings[line.index].identity: f"InfluxDB refuses it: {line.reason}" for line in refused}
        )


async def erase_devices(database: InfluxDatabase, recorded: Recorded) -> None:
    """Delete all of devices before their entries go: whoever finds an entry does this again."""
    for device_id in recorded.erased:
        await database.delete(f'deviceId="{device_id:d}"', from_ms=0, to_ms=_END_MS)


async def erase_spans(database: InfluxDatabase, recorded: Recorded) -> None:
    """Delete readings once nothing that is derived counts them: whoever still finds some does all of it again."""
    for device_id, from_ms, to_ms in recorded.erased_spans:
        for measurement in MEASUREMENTS:
            predicate = f'_measurement="{measurement}" AND deviceId="{device_id:d}"'
            await database.delete(predicate, from_ms=from_ms, to_ms=min(to_ms, _END_MS))


class TurnPoints:
    """Lays out the lines of what a turn derives; `sums` are the quarter-hours that it changes, as they will be.

    The readings are to be acknowledged before `derived` are written: what is derived of readings that InfluxDB refuses
    would stay.
    """

    def __init__(self, state: HomesState, recorded: Recorded, stored: InfluxReadings) -> None:
        self._state = state
        self._recorded = recorded
        self._stored = stored
        self.sums: dict[Stream, Quarters] = {}
        self.derived: list[str] = []

    async def lay_out(self) -> None:
        """Find what the quarter-hours held before, and make the lines. Raises `InfluxUnavailable`."""
        recorded = self._recorded
        looked_up = await self._look_up()
        for stream, change in recorded.changes:
            if stream.device_id not in recorded.derived_anew:
                self._lay_out_quarters(stream, change, looked_up.get(stream, {}))
            tags, _, epoch, write = self._place_of(stream)
            self.derived += [
                checkpoint_line(tags, boundary_ms, state, epoch=epoch, write=write)
                for boundary_ms, state in change.checkpoints.items()
            ]
        for device_id in recorded.derived_anew:
            await self._lay_out_anew(device_id)
        for device_id, rules in recorded.rules.items():
            entry = self._state.device(device_id)
            if entry is None or entry.rules != rules:
                epoch = self._state.notes[self._state.partition_of(device_id, recorded)].epoch
                self.derived.append(rules_line(device_id, rules, epoch=epoch))

    async def _look_up(self) -> dict[Stream, Quarters]:
        """Return the committed sums of the quarter-hours that are touched, are not known here, and may be there."""
        wanted: list[tuple[Stream, list[int]]] = []
        for stream, change in self._recorded.changes:
            known, frontier_ms = self._state.quarters(stream), self._state.frontier_ms(stream)
            missing = [start for start in change.quarter_hours if start <= frontier_ms and start not in known]
            if missing and stream.device_id not in self._recorded.derived_anew:
                wanted.append((stream, missing))
        if not wanted:
            return {}
        found = await self._stored.quarter_versions(wanted)
        return {stream: self._committed(stream, rows) for stream, rows in found.items()}

    def _committed(self, stream: Stream, rows: Iterable[QuarterRow]) -> Quarters:
        """Return what was committed of quarter-hours, by their newest versions; rows are in order of time."""
        partition = self._state.partition_of(stream.device_id, self._recorded)
        return {row.start_ms: self._state.committed_sums(stream.device_id, partition, row) for row in rows}

    def _lay_out_quarters(self, stream: Stream, change: Change, looked_up: Quarters) -> None:
        known, sums = self._state.quarters(stream), Quarters()
        tags, partition, epoch, write = self._place_of(stream)
        for start_ms, energy_mj, estimated_mj, covered_ms in change.quarter_hours.changes():
            before = known.get(start_ms) or looked_up.get(start_ms, NOTHING)
            after = Sums(before[0] + energy_mj, before[1] + estimated_mj, before[2] + covered_ms)
            sums[start_ms] = after
            self.derived.append(quarter_line(tags, QuarterRow(start_ms, epoch, partition, write, after, before)))
        self.sums[stream] = sums

    async def _lay_out_anew(self, device_id: int) -> None:
        """Replace all of a device's quarter-hours and checkpoints; those that are not any more become nothing."""
        quarters, checkpoints = await self._stored.derived_of(device_id)
        changes = {stream: change for stream, change in self._recorded.changes if stream.device_id == device_id}
        for stream in {*quarters, *checkpoints, *changes}:
            tags, partition, epoch, write = self._place_of(stream)
            before = self._committed(stream, quarters.get(stream, ()))
            change = changes.get(stream)
            fresh = {start: Sums(*sums) for start, *sums in change.quarter_hours.changes()} if change else {}
            for start_ms in sorted({*before, *fresh}):
                after, was = fresh.get(start_ms, NOTHING), before.get(start_ms, NOTHING)
                row = QuarterRow(start_ms, epoch, partition, write, after, was)
                self.derived.append(quarter_line(tags, row))
            gone = checkpoints.get(stream, set()) - (change.checkpoints.keys() if change else set())
            self.derived += [no_checkpoint_line(tags, boundary, epoch=epoch, write=write) for boundary in sorted(gone)]
            self.sums[stream] = fresh

    def anew(self) -> list[str]:
        """Return the lines that end what was derived before: to be written once the turn is committed."""
        state, recorded = self._state, self._recorded
        return [
            anew_line(device_id, epoch=state.notes[state.partition_of(device_id, recorded)].epoch)
            for device_id in recorded.derived_anew
        ]

    def _place_of(self, stream: Stream) -> tuple[str, int, int, int]:
        """Return a stream's tags and its partition, and the epoch and number of this write there."""
        partition = self._state.partition_of(stream.device_id, self._recorded)
        note = self._state.notes[partition]
        return stream_tags(stream), partition, note.epoch, note.write + 1
