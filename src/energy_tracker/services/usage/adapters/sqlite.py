"""The reading store in `readings.db`: raw readings, what is derived from them, and the position, in one transaction."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import apsw
import msgspec

from energy_tracker.services.usage.adapters.embedded import EMBEDDED_PLACE
from energy_tracker.services.usage.adapters.sqlite_lookups import Identity, find_readings, sum_buckets
from energy_tracker.services.usage.adapters.sqlite_rows import (
    DIRECTIONS,
    READING_COLUMNS,
    Row,
    read_checkpoint,
    read_head,
    read_reading,
    read_rules,
    stream_columns,
)
from energy_tracker.services.usage.adapters.sqlite_turns import commit_turns, forget_outgoing
from energy_tracker.services.usage.model.derivation import Checkpoint
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.ledger import Holdings
from energy_tracker.services.usage.model.readings import KINDS, DeviceRules, Direction, Kind, Place, Reading, Stream
from energy_tracker.services.usage.model.rollups import BucketSum
from energy_tracker.services.usage.ports import DeviceState, Outgoing, Parked, ReadingCursor, Recorded, Span
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter

T = TypeVar("T")
MOST_PARKED = 10_000_000
_DEVICES_AT_ONCE = 400  # a compound SELECT has at most 500 terms


class SqliteReadingStore:
    """`ReadingStore` and `ReadingQueries` over one writer and a few readers of the same file."""

    def __init__(self, writer: SqliteWriter, readers: SqliteReaders) -> None:
        self._writer = writer
        self._readers = readers

    def lay_out(self, recorded: Recorded) -> None:
        """Do nothing: rows are made by the writer's thread."""

    async def commit(self, recorded: Recorded) -> None:
        """Store it all in one transaction, after whose fsync this returns."""
        await self._writer.run(commit_turns, recorded)

    async def take_up(self) -> Mapping[Place, int]:
        """Return the offset of the last record that is in the store."""
        return (await self.holdings()).positions

    async def holdings(self) -> Holdings:
        """Return what has become of the readings, from one snapshot."""

        def query(connection: apsw.Connection) -> Holdings:
            row: tuple[Any, ...] = connection.execute(
                "SELECT position, stored, dead_lettered, repeated, (SELECT count(*) FROM parked) FROM tally"
            ).fetchall()[0]
            return Holdings({EMBEDDED_PLACE: row[0]}, *row[1:])

        return await self._readers.run(query)

    async def device_states(self, device_ids: Collection[int]) -> dict[int, DeviceState]:
        """Return the states of devices; one without any reading has no heads."""
        among = "WHERE device_id IN (SELECT value FROM json_each(?))"

        def query(connection: apsw.Connection) -> dict[int, DeviceState]:
            ids = json.dumps(list(device_ids))
            rules = dict(connection.execute(f"SELECT device_id, rules FROM device {among}", (ids,)))
            states = {
                device_id: DeviceState(read_rules(rules[device_id]) if device_id in rules else None, {})
                for device_id in device_ids
            }
            for device_id, direction, channel, head in connection.execute(
                f"SELECT device_id, direction, channel, head FROM stream {among}",
                (ids,),
            ):
                states[device_id].heads[Stream(device_id, DIRECTIONS[direction], channel)] = read_head(head)
            return states

        return await self._readers.run(query)

    async def known_devices(self) -> dict[int, DeviceRules]:
        """Return every device that has figures, with the rules they were derived under."""
        rows = await self._rows("SELECT device_id, rules FROM device")
        return {device_id: read_rules(rules) for device_id, rules in rows}

    def keeps_in(self, device_id: int) -> None:
        """Say nothing: there is one place for all."""

    async def find(self, identities: Sequence[Identity]) -> dict[Identity, Reading]:
        """Return the stored readings among (device, time, key)."""
        return await self._readers.run(lambda connection: find_readings(connection, identities))

    async def checkpoint(self, stream: Stream, at_ms: int) -> Checkpoint | None:
        """Return the stream's last checkpoint at or before an instant."""
        rows = await self._rows(
            "SELECT boundary_ms, state FROM checkpoint WHERE device_id = ? AND direction = ? AND channel = ?"
            " AND boundary_ms <= ? ORDER BY boundary_ms DESC LIMIT 1",
            (*stream_columns(stream), at_ms),
        )
        return read_checkpoint(*rows[0]) if rows else None

    async def device_readings(self, device_id: int, *, after: tuple[int, bytes], limit: int) -> Sequence[Reading]:
        """Return a page of a device's readings in order, behind (time, key)."""
        rows = await self._rows(
            f"SELECT {READING_COLUMNS} FROM reading WHERE device_id = ? AND (time_ms, key) > (?, ?)"
            " ORDER BY time_ms, key LIMIT ?",
            (device_id, *after, limit),
        )
        return [read_reading(row) for row in rows]

    async def readings(
        self, *, device_ids: Sequence[int], from_ms: int, to_ms: int, after: ReadingCursor | None, limit: int
    ) -> Sequence[Reading]:
        """Return raw readings of a stretch of time, in order of (time, device, key), behind the cursor."""
        start = (from_ms, -1, b"") if after is None or after.time_ms < from_ms else after
        found: list[Row] = []
        for first in range(0, len(device_ids), _DEVICES_AT_ONCE):
            part = device_ids[first : first + _DEVICES_AT_ONCE]
            per_device = " UNION ALL ".join(
                f"SELECT * FROM (SELECT {READING_COLUMNS} FROM reading"
                " WHERE device_id = ? AND time_ms >= ? AND time_ms < ?"
                " AND (time_ms, device_id, key) > (?, ?, ?) ORDER BY time_ms, key LIMIT ?)"
                for _ in part
            )
            bindings = [binding for device_id in part for binding in (device_id, start[0], to_ms, *start, limit)]
            found += await self._rows(f"{per_device} ORDER BY 2, 1, 3 LIMIT ?", (*bindings, limit))
        if len(device_ids) > _DEVICES_AT_ONCE:
            found.sort(key=lambda row: (row[1], row[0], row[2]))
        return [read_reading(row) for row in found[:limit]]

    async def kinds(self, device_id: int) -> dict[tuple[Direction | None, str], set[Kind]]:
        """Return which kinds of readings a device has, by the direction as it was sent and the channel."""
        rows = await self._rows(
            "SELECT DISTINCT direction, channel, kind FROM reading WHERE device_id = ?", (device_id,)
        )
        kinds: dict[tuple[Direction | None, str], set[Kind]] = {}
        for direction, channel, kind in rows:
            sent = None if direction is None else DIRECTIONS[direction]
            kinds.setdefault((sent, channel), set()).add(KINDS[kind])
        return kinds

    async def room_for_parked(self) -> int:
        """Return how many more readings may wait for their devices to be registered; the disk has room for many."""
        return MOST_PARKED - (await self.holdings()).parked

    async def parked_devices(self) -> Collection[int]:
        """Return the devices that have parked readings."""
        return {device_id for (device_id,) in await self._rows("SELECT DISTINCT device_id FROM parked")}

    async def parked(
        self, *, device_ids: Collection[int] | None = None, until_ms: int | None = None, limit: int
    ) -> Sequence[Parked]:
        """Return parked readings, of some devices or all, parked up to an instant or ever, in the order they came."""
        rows = await self._rows(
            "SELECT id, reading, offset, parked_ms FROM parked"
            " WHERE (?1 IS NULL OR device_id IN (SELECT value FROM json_each(?1)))"
            " AND (?2 IS NULL OR parked_ms <= ?2) ORDER BY id LIMIT ?3",
            (None if device_ids is None else json.dumps(list(device_ids)), until_ms, limit),
        )
        return [
            Parked(number, msgspec.json.decode(reading, type=Reading), offset, parked_ms)
            for number, reading, offset, parked_ms in rows
        ]

    async def open_episodes(self) -> Sequence[Episode]:
        """Return the episodes that have not ended."""
        return _episodes(await self._rows("SELECT body FROM episode WHERE ended_ms IS NULL ORDER BY opened_ms, id"))

    async def episodes(self, *, user_id: int, from_ms: int, to_ms: int) -> Sequence[Episode]:
        """Return the episodes of a user that overlap `[from_ms, to_ms)`."""
        return _episodes(
            await self._rows(
                "SELECT body FROM episode WHERE user_id = ? AND opened_ms < ? AND (ended_ms IS NULL OR ended_ms > ?)"
                " ORDER BY opened_ms, id",
                (user_id, to_ms, from_ms),
            )
        )

    async def detectors(self, user_id: int) -> dict[int, bytes]:
        """Return the states of a home's detectors, by device."""
        return dict(await self._rows("SELECT device_id, state FROM detector WHERE user_id = ?", (user_id,)))

    async def last_reading_ms(self, device_id: int) -> int | None:
        """Return the time of a device's newest reading."""
        rows = await self._rows("SELECT max(time_ms) FROM reading WHERE device_id = ?", (device_id,))
        newest: int | None = rows[0][0]
        return newest

    async def to_judge(self) -> Sequence[Span]:
        """Return the spans that wait to be judged again."""
        return [Span(*row) for row in await self._rows("SELECT user_id, from_ms, to_ms FROM to_judge ORDER BY user_id")]

    async def outgoing(self, *, limit: int) -> Sequence[tuple[int, Outgoing]]:
        """Return messages that are not in the log yet, in order, each with its number."""
        rows = await self._rows(
            "SELECT number, topic, key, value, headers, readings FROM outgoing ORDER BY number LIMIT ?", (limit,)
        )
        return [
            (number, Outgoing(topic, key, value, json.loads(headers), readings))
            for number, topic, key, value, headers, readings in rows
        ]

    async def forget_outgoing(self, up_to: int) -> None:
        """Drop the messages up to a number: they are in the log."""
        await self._writer.run(forget_outgoing, up_to)

    async def bucket_sums(self, *, device_ids: Sequence[int], boundaries_ms: Sequence[int]) -> Sequence[BucketSum]:
        """Return what lies in the buckets between successive boundaries."""
        return await self._readers.run(lambda connection: sum_buckets(connection, device_ids, boundaries_ms))

    async def _rows(self, sql: str, bindings: Sequence[object] = ()) -> list[Row]:
        def query(connection: apsw.Connection) -> list[Row]:
            return connection.execute(sql, bindings).fetchall()

        return await self._readers.run(query)


def _episodes(rows: Sequence[Row]) -> list[Episode]:
    return [msgspec.json.decode(body, type=Episode) for (body,) in rows]
