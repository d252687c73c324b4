"""The reading store in `readings.db`: raw readings, what is derived from them, and the position, in one transaction."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

import apsw
import msgspec

from energy_tracker.services.usage.adapters.sqlite_rows import (
    DIRECTIONS,
    Row,
    as_text,
    insert_rows,
    read_checkpoint,
    read_head,
    read_reading,
    read_rules,
    reading_row,
    stream_columns,
)
from energy_tracker.services.usage.model.derivation import Checkpoint
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.ledger import Holdings
from energy_tracker.services.usage.model.readings import KINDS, DeviceRules, Direction, Kind, Reading, Stream
from energy_tracker.services.usage.model.rollups import BucketSum
from energy_tracker.services.usage.ports import DeviceState, Outgoing, Parked, ReadingCursor, Recorded, Span
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter

T = TypeVar("T")
Identity = tuple[int, int, bytes]

_READING = "device_id, time_ms, key, kind, direction, amount, since_ms, received_ms, channel"
_FIND_AT_ONCE = 500
_DEVICES_AT_ONCE = 400  # a compound SELECT has at most 500 terms


class SqliteReadingStore:
    """`ReadingStore` and `ReadingQueries` over one writer and a few readers of the same file."""

    def __init__(self, writer: SqliteWriter, readers: SqliteReaders) -> None:
        self._writer = writer
        self._readers = readers

    async def commit(self, recorded: Recorded) -> None:
        """Store it all in one transaction, after whose fsync this returns."""
        await self._writer.run(_commit, recorded)

    async def position(self) -> int:
        """Return the offset of the last record that is in the store."""
        return (await self.holdings()).position

    async def holdings(self) -> Holdings:
        """Return what has become of the readings, from one snapshot."""

        def query(connection: apsw.Connection) -> Holdings:
            row = connection.execute(
                "SELECT position, stored, dead_lettered, repeated, (SELECT count(*) FROM parked) FROM tally"
            ).fetchone()
            return Holdings(*row)  # type: ignore[misc]  # the table always has its one row

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
            f"SELECT {_READING} FROM reading WHERE device_id = ? AND (time_ms, key) > (?, ?)"
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
                f"SELECT * FROM (SELECT {_READING} FROM reading WHERE device_id = ? AND time_ms >= ? AND time_ms < ?"
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

    async def parked(self, device_ids: Collection[int] | None = None) -> Sequence[Parked]:
        """Return parked readings, of some devices or all, in the order they came."""
        if device_ids is None:
            rows = await self._rows("SELECT id, reading, offset, parked_ms FROM parked ORDER BY id")
        else:
            rows = await self._rows(
                "SELECT id, reading, offset, parked_ms FROM parked"
                " WHERE device_id IN (SELECT value FROM json_each(?)) ORDER BY id",
                (json.dumps(list(device_ids)),),
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
        await self._writer.run(_forget_outgoing, up_to)

    async def bucket_sums(self, *, device_ids: Sequence[int], boundaries_ms: Sequence[int]) -> Sequence[BucketSum]:
        """Return what lies in the buckets between successive boundaries."""
        return await self._readers.run(lambda connection: _bucket_sums(connection, device_ids, boundaries_ms))

    async def _rows(self, sql: str, bindings: Sequence[object] = ()) -> list[Row]:
        def query(connection: apsw.Connection) -> list[Row]:
            return connection.execute(sql, bindings).fetchall()

        return await self._readers.run(query)


def find_readings(connection: apsw.Connection, identities: Sequence[Identity]) -> dict[Identity, Reading]:
    """Return the stored readings among (device, time, key)."""
    found: dict[Identity, Reading] = {}
    for start in range(0, len(identities), _FIND_AT_ONCE):
        part = identities[start : start + _FIND_AT_ONCE]
        values = ",".join(["(?,?,?)"] * len(part))
        rows = connection.execute(
            f"WITH wanted(d, t, k) AS (VALUES {values}) SELECT {_READING} FROM wanted"
            " JOIN reading ON device_id = d AND time_ms = t AND key = k",
            tuple(value for identity in part for value in identity),
        )
        for row in rows:
            found[(row[0], row[1], row[2])] = read_reading(row)
    return found


def _episodes(rows: Sequence[Row]) -> list[Episode]:
    return [msgspec.json.decode(body, type=Episode) for (body,) in rows]


def _bucket_sums(
    connection: apsw.Connection, device_ids: Sequence[int], boundaries_ms: Sequence[int]
) -> list[BucketSum]:
    (packed,) = connection.execute(
        """
        SELECT json_group_array(json_array(device_id, bucket, direction, channel, energy, estimated, covered)) FROM (
            SELECT device_id, bound.key AS bucket, direction, channel,
                   sum(energy_mj) AS energy, sum(estimated_mj) AS estimated, sum(covered_ms) AS covered
            FROM json_each(?1) AS wanted
            CROSS JOIN json_each(?2) AS bound
            CROSS JOIN quarter_hour
            WHERE quarter_hour.device_id = wanted.value
              AND start_ms >= bound.value ->> 0 AND start_ms < bound.value ->> 1
            GROUP BY device_id, bound.key, direction, channel
        )
        """,
        (json.dumps(list(device_ids)), json.dumps(list(pairwise(boundaries_ms)))),
    ).fetchone()  # type: ignore[misc]  # an aggregate always has its one row
    return [
        BucketSum(device_id, bucket, DIRECTIONS[direction], channel, energy_mj, estimated_mj, covered_ms)
        for device_id, bucket, direction, channel, energy_mj, estimated_mj, covered_ms in msgspec.json.decode(packed)
    ]


def _commit(connection: apsw.Connection, payloads: Sequence[Recorded]) -> list[None]:
    for recorded in payloads:
        _clear(connection, recorded)
        _write_readings(connection, recorded)
        _write_derived(connection, recorded)
        _write_episodes(connection, recorded)
        _write_tally(connection, recorded)
    return [None] * len(payloads)


_DERIVED = ("quarter_hour", "stream", "checkpoint", "device")


def _clear(connection: apsw.Connection, recorded: Recorded) -> None:
    for device_id in recorded.derived_anew | recorded.erased:
        for table in _DERIVED:
            connection.execute(f"DELETE FROM {table} WHERE device_id = ?", (device_id,))
    for device_id in recorded.erased:
        for table in ("reading", "episode"):
            connection.execute(f"DELETE FROM {table} WHERE device_id = ?", (device_id,))
    for user_id in recorded.forgotten_users:
        connection.execute("DELETE FROM episode WHERE user_id = ?", (user_id,))
        connection.execute("DELETE FROM to_judge WHERE user_id = ?", (user_id,))


def _write_readings(connection: apsw.Connection, recorded: Recorded) -> None:
    insert_rows(
        connection, f"INSERT INTO reading ({_READING})", [reading_row(reading) for reading in recorded.readings]
    )
    insert_rows(
        connection,
        "INSERT INTO parked (device_id, offset, parked_ms, reading)",
        [(entry.reading.device_id, entry.offset, entry.parked_ms, as_text(entry.reading)) for entry in recorded.parked],
    )
    if recorded.released:
        connection.execute(
            "DELETE FROM parked WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(recorded.released),)
        )


def _write_derived(connection: apsw.Connection, recorded: Recorded) -> None:
    insert_rows(
        connection,
        "INSERT INTO device",
        [(device_id, as_text(rules)) for device_id, rules in recorded.rules.items()],
        then="ON CONFLICT DO UPDATE SET rules = excluded.rules WHERE rules <> excluded.rules",
    )
    insert_rows(
        connection,
        "INSERT INTO stream",
        [(*stream_columns(stream), as_text(change.head)) for stream, change in recorded.changes],
        then="ON CONFLICT DO UPDATE SET head = excluded.head",
    )
    insert_rows(
        connection,
        "INSERT INTO checkpoint",
        [
            (*stream_columns(stream), boundary_ms, as_text(state))
            for stream, change in recorded.changes
            for boundary_ms, state in change.checkpoints.items()
        ],
        then="ON CONFLICT DO UPDATE SET state = excluded.state",
    )
    insert_rows(
        connection,
        "INSERT INTO quarter_hour",
        list(_quarter_rows(recorded)),
        then="ON CONFLICT DO UPDATE SET energy_mj = energy_mj + excluded.energy_mj,"
        " estimated_mj = estimated_mj + excluded.estimated_mj, covered_ms = covered_ms + excluded.covered_ms",
    )


def _quarter_rows(recorded: Recorded) -> Iterator[Row]:
    for stream, change in recorded.changes:
        device_id, direction, channel = stream_columns(stream)
        for start_ms, energy_mj, estimated_mj, covered_ms in change.quarter_hours.changes():
            yield (device_id, start_ms, direction, channel, energy_mj, estimated_mj, covered_ms)


def _write_episodes(connection: apsw.Connection, recorded: Recorded) -> None:
    for episode in recorded.episodes:
        connection.execute(
            "INSERT INTO episode VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET ended_ms = excluded.ended_ms, body = excluded.body",
            (episode.id, episode.user_id, episode.device_id, episode.opened_ms, episode.ended_ms, as_text(episode)),
        )
    for span in recorded.judged:
        connection.execute("DELETE FROM to_judge WHERE (user_id, from_ms, to_ms) = (?, ?, ?)", span)
    for span in recorded.to_judge:
        connection.execute(
            "INSERT INTO to_judge VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
            " from_ms = min(from_ms, excluded.from_ms), to_ms = max(to_ms, excluded.to_ms)",
            span,
        )
    insert_rows(
        connection,
        "INSERT INTO outgoing (topic, key, value, headers, readings)",
        [
            (news.topic, news.key, news.value, json.dumps(dict(news.headers)), news.readings)
            for news in recorded.outgoing
        ],
    )


def _write_tally(connection: apsw.Connection, recorded: Recorded) -> None:
    dead = sum(letter.readings for letter in recorded.dead_letters)
    connection.execute(
        "UPDATE tally SET position = coalesce(?, position), stored = stored + ?,"
        " dead_lettered = dead_lettered + ?, repeated = repeated + ?",
        (recorded.position, len(recorded.readings), dead, recorded.repeated),
    )


def _forget_outgoing(connection: apsw.Connection, payloads: Sequence[int]) -> list[None]:
    connection.execute("DELETE FROM outgoing WHERE number <= ?", (max(payloads),))
    return [None] * len(payloads)


class SqliteKnownReadings:
    """What ingestion's door asks of the reading store, in the door's own thread, over a connection of its own."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._connection: apsw.Connection | None = None

    def latest_ms(self, device_ids: Collection[int]) -> Mapping[int, int]:
        """Return the time of the newest stored reading of each device that has one."""
        rows = self._reader().execute(
            "SELECT value, (SELECT max(time_ms) FROM reading WHERE device_id = value) FROM json_each(?)",
            (json.dumps(list(device_ids)),),
        )
        return {device_id: newest for device_id, newest in rows if newest is not None}

    def known(self, keys: Sequence[Identity]) -> set[Identity]:
        """Return which readings, by (device, time, key), are stored."""
        return set(find_readings(self._reader(), keys))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _reader(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection
