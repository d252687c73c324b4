"""Looking things up in `readings.db`: readings by identity, sums of quarter-hours, what the door asks."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise

import apsw
import msgspec

from energy_tracker.services.usage.adapters.sqlite_rows import READING_COLUMNS, read_reading
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.model.rollups import BucketSum

Identity = tuple[int, int, bytes]
"""Device, time in ms since 1970, event key."""

_FIND_AT_ONCE = 500

_bucket_sums = msgspec.json.Decoder(list[BucketSum])


def find_readings(connection: apsw.Connection, identities: Sequence[Identity]) -> dict[Identity, Reading]:
    """Return the stored readings among (device, time, key)."""
    found: dict[Identity, Reading] = {}
    for start in range(0, len(identities), _FIND_AT_ONCE):
        part = identities[start : start + _FIND_AT_ONCE]
        values = ",".join(["(?,?,?)"] * len(part))
        rows = connection.execute(
            f"WITH wanted(d, t, k) AS (VALUES {values}) SELECT {READING_COLUMNS} FROM wanted"
            " CROSS JOIN reading ON device_id = d AND time_ms = t AND key = k",  # CROSS: never to scan the readings
            tuple(value for identity in part for value in identity),
        )
        for row in rows:
            found[(row[0], row[1], row[2])] = read_reading(row)
    return found


def sum_buckets(
    connection: apsw.Connection, device_ids: Sequence[int], boundaries_ms: Sequence[int]
) -> list[BucketSum]:
    """Return what lies in the buckets between successive boundaries (ms since 1970)."""
    packed = connection.execute(
        """
        SELECT json_group_array(
            json_array(device_id, bucket, iif(direction, 'export', 'import'), channel, energy, estimated, covered)
        ) FROM (
            WITH bound AS MATERIALIZED (
                SELECT key AS bucket, value ->> 0 AS begin_ms, value ->> 1 AS end_ms FROM json_each(?2)
            )
            SELECT device_id, bucket, direction, channel,
                   sum(energy_mj) AS energy, sum(estimated_mj) AS estimated, sum(covered_ms) AS covered
            FROM json_each(?1) AS wanted
            CROSS JOIN bound
            CROSS JOIN quarter_hour
            WHERE quarter_hour.device_id = wanted.value AND start_ms >= begin_ms AND start_ms < end_ms
            GROUP BY device_id, bucket, direction, channel
        )
        """,
        (json.dumps(list(device_ids)), json.dumps(list(pairwise(boundaries_ms)))),
    ).get
    return _bucket_sums.decode(packed)


def _find_stored(connection: apsw.Connection, identities: Sequence[Identity]) -> set[Identity]:
    """Return which of (device, time, key) are stored, by one statement that answers one row."""
    places = json.dumps([(device_id, time_ms, key.hex()) for device_id, time_ms, key in identities])
    found = connection.execute(
        "SELECT json_group_array(wanted.key) FROM json_each(?) AS wanted WHERE EXISTS (SELECT 1 FROM reading"
        " WHERE device_id = wanted.value ->> 0 AND time_ms = wanted.value ->> 1 AND key = unhex(wanted.value ->> 2))",
        (places,),
    ).get
    return {identities[index] for index in json.loads(found)}


def _find_parked(connection: apsw.Connection, identities: Sequence[Identity]) -> set[Identity]:
    """Return which of (device, time, key) wait for their device to be registered."""
    if connection.execute("SELECT 1 FROM parked LIMIT 1").get is None:
        return set()
    places = json.dumps([(device_id, time_ms) for device_id, time_ms, _ in identities])
    rows = connection.execute(
        "SELECT DISTINCT parked.reading FROM json_each(?) AS wanted CROSS JOIN parked"
        " ON device_id = wanted.value ->> 0 AND reading ->> 'time_ms' = wanted.value ->> 1",
        (places,),
    )
    parked = [msgspec.json.decode(reading, type=Reading) for (reading,) in rows]
    return {(reading.device_id, reading.time_ms, reading.key) for reading in parked}.intersection(identities)


class SqliteKnownReadings:
    """What ingestion's door asks of the reading store, in the door's own thread, over a connection of its own."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._connection: apsw.Connection | None = None

    def latest_ms(self, device_ids: Collection[int]) -> Mapping[int, int]:
        """Return the time of the newest reading, stored or parked, of each device that has one."""
        rows = self._reader().execute(
            """
            SELECT value, (SELECT max(newest) FROM (
                SELECT max(time_ms) AS newest FROM reading WHERE device_id = value
                UNION ALL SELECT max(reading ->> 'time_ms') FROM parked WHERE device_id = value
            )) FROM json_each(?)
            """,
            (json.dumps(list(device_ids)),),
        )
        return {device_id: newest for device_id, newest in rows if newest is not None}

    def known(self, keys: Sequence[Identity]) -> set[Identity]:
        """Return which readings, by (device, time, key), are stored or parked."""
        connection = self._reader()
        parked = _find_parked(connection, keys)  # first: readings move from there to the stored ones, never back
        return parked | _find_stored(connection, keys)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _reader(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection
