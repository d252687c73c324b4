"""What is asked of the readings in InfluxDB: sums of quarter-hours, raw readings, checkpoints."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.adapters.influx_buckets import LastCommitted, sums_by_bucket
from energy_tracker.services.usage.adapters.influx_rows import (
    CHECKPOINT,
    DEVICE,
    DEVICES_MS,
    QUARTER_HOUR,
    READING_FIELDS,
    READINGS,
    QuarterRow,
    kind_of_measurement,
    read_quarter,
    read_readings,
    read_rules,
    split_version,
    stream_condition,
    stream_of_tags,
)
from energy_tracker.services.usage.model.derivation import reading_order
from energy_tracker.services.usage.model.readings import DeviceRules, Direction, Kind, Reading, Stream
from energy_tracker.services.usage.model.rollups import BucketSum
from energy_tracker.services.usage.ports import ReadingCursor
from energy_tracker.storage.influx import InfluxDatabase, Series, bound_ns, split_ns, time_ns

Identity = tuple[int, int, bytes]

_NEAR_MS: Final = 6 * MS_PER_HOUR
"""Readings that are looked for and lie nearer to each other than this are found by one statement."""
_STATEMENTS_AT_ONCE: Final = 200
_DEVICES_AT_ONCE: Final = 8
_ROOM: Final = 64
"""More than asked for, so that readings of the last millisecond of a page are mostly all there."""
_PAGE: Final = 5_000
_QUARTER_FIELDS: Final = "energyMj, estimatedMj, coveredMs, source"

Counted = Callable[[Reading], bool]
"""Tells whether a stored reading counts; others are left out."""


def everything(reading: Reading) -> bool:
    """Count every reading that is stored."""
    del reading
    return True


class InfluxReadings:
    """The readings of one bucket. Every call raises `InfluxUnavailable`."""

    def __init__(self, database: InfluxDatabase) -> None:
        self._database = database

    async def bucket_sums(
        self, *, device_ids: Sequence[int], boundaries_ms: Sequence[int], last_committed: LastCommitted
    ) -> Sequence[BucketSum]:
        """Return what lies in the buckets between successive boundaries, as far as it is committed."""
        span = f"time >= {bound_ns(boundaries_ms[0])} AND time < {bound_ns(boundaries_ms[-1])}"
        parts = _portions(device_ids, _DEVICES_AT_ONCE)
        found = await asyncio.gather(*(self._quarters(f"{_among(part)} AND {span}", part) for part in parts))
        return [
            BucketSum(stream.device_id, bucket, stream.direction, stream.channel, *sums)
            for stream, rows, since_epoch in (item for part in found for item in part)
            for bucket, sums in sums_by_bucket(rows, since_epoch, boundaries_ms, last_committed)
        ]

    async def _quarters(self, condition: str, device_ids: Collection[int]) -> list[tuple[Stream, Series, int]]:
        """Return the versions of quarter-hours by stream, and the first epoch that counts."""
        quarters, anew = await self._database.query(
            f"SELECT {_QUARTER_FIELDS} FROM {QUARTER_HOUR} WHERE {condition}"
            " GROUP BY deviceId, direction, channel;"
            f"SELECT last(derivedAnew) AS derivedAnew FROM {DEVICE} WHERE {_among(device_ids)} GROUP BY deviceId"
        )
        since = {series.tags["deviceId"]: series.values[0][0] - time_ns(DEVICES_MS) for series in anew}
        return [(stream_of_tags(series.tags), series, since.get(series.tags["deviceId"], 0)) for series in quarters]

    async def readings(
        self, *, device_ids: Sequence[int], from_ms: int, to_ms: int, after: ReadingCursor | None, limit: int
    ) -> Sequence[Reading]:
        """Return raw readings of `[from_ms, to_ms)`, in order of (time, device, key), behind the cursor."""
        start_ms = from_ms if after is None else max(from_ms, after.time_ms)
        span = f"time >= {bound_ns(start_ms)} AND time < {bound_ns(to_ms)}"
        wanted = limit + _ROOM
        while True:
            statement = (
                f"SELECT {READING_FIELDS} FROM {READINGS} WHERE {{}} AND {span} GROUP BY deviceId LIMIT {wanted}"
            )
            parts = _portions(device_ids, _DEVICES_AT_ONCE)
            answers = await asyncio.gather(*(self._database.query(statement.format(_among(part))) for part in parts))
            found, until_ms = _merged((series for answer in answers for series in answer[0]), wanted)
            page = sorted(
                (reading for reading in found if reading.time_ms < until_ms),
                key=lambda reading: (reading.time_ms, reading.device_id, reading.key),
            )
            behind = [reading for reading in page if after is None or _cursor(reading) > after]
            if len(behind) >= limit or until_ms == _FOR_EVER_MS:
                return behind[:limit]
            wanted *= 4

    async def device_readings(
        self, device_id: int, *, after: tuple[int, bytes], limit: int, counted: Counted
    ) -> Sequence[Reading]:
        """Return a page of a device's readings that count, in order, behind (time, key)."""
        wanted = limit + _ROOM
        while True:
            answer = await self._database.query(
                f"SELECT {READING_FIELDS} FROM {READINGS} WHERE deviceId = '{device_id}'"
                f" AND time >= {bound_ns(max(after[0], 0))} GROUP BY deviceId LIMIT {wanted}"
            )
            found, until_ms = _merged(answer[0], wanted)
            page = sorted((reading for reading in found if reading.time_ms < until_ms), key=reading_order)
            behind = [reading for reading in page if reading_order(reading) > after and counted(reading)]
            if len(behind) >= limit or until_ms == _FOR_EVER_MS:
                return behind[:limit]
            wanted *= 4

    async def find(self, identities: Sequence[Identity], *, counted: Counted) -> dict[Identity, Reading]:
        """Return the stored readings that count among (device, time, key)."""
        statements = [
            f"SELECT {READING_FIELDS} FROM {READINGS} WHERE deviceId = '{device_id}'"
            f" AND time >= {time_ns(first_ms)} AND time < {time_ns(last_ms + 1)} GROUP BY deviceId"
            for device_id, first_ms, last_ms in _stretches(identities)
        ]
        wanted, found = set(identities), dict[Identity, Reading]()
        for start in range(0, len(statements), _STATEMENTS_AT_ONCE):
            for answer in await self._database.query(";".join(statements[start : start + _STATEMENTS_AT_ONCE])):
                for series in answer:
                    for reading in read_readings(series):
                        if reading.identity in wanted and counted(reading):
                            found[reading.identity] = reading
        return found

    async def newest(self, device_ids: Collection[int]) -> dict[int, Reading]:
        """Return the newest reading, whether it counts or not, of each of the devices that have any."""
        newest: dict[int, Reading] = {}
        for part in _portions(device_ids):
            answer = await self._database.query(
                f"SELECT {READING_FIELDS} FROM {READINGS} WHERE {_among(part)} GROUP BY deviceId"
                " ORDER BY time DESC LIMIT 1"
            )
            for series in answer[0]:
                for reading in read_readings(series):
                    known = newest.get(reading.device_id)
                    if known is None or reading.time_ms > known.time_ms:
                        newest[reading.device_id] = reading
        return newest

    async def checkpoints(self, stream: Stream, at_ms: int, *, limit: int) -> list[tuple[int, int, str, int]]:
        """Return (boundary, epoch, state as text, write) of the last versions at or before an instant, newest first."""
        answer = await self._database.query(
            f"SELECT state, writeNumber FROM {CHECKPOINT} WHERE {stream_condition(stream)}"
            f" AND time < {bound_ns(at_ms + 1)} ORDER BY time DESC LIMIT {limit}"
        )
        return [(*split_version(row[0]), row[1], row[2]) for series in answer[0] for row in series.values]

    async def quarter_versions(self, wanted: Iterable[tuple[Stream, Sequence[int]]]) -> dict[Stream, list[QuarterRow]]:
        """Return all versions of the quarter-hours between the first and last wanted ones of each stream, in order."""
        streams: list[Stream] = []
        statements: list[str] = []
        for stream, starts in wanted:
            streams.append(stream)
            statements.append(
                f"SELECT {_QUARTER_FIELDS} FROM {QUARTER_HOUR} WHERE {stream_condition(stream)}"
                f" AND time >= {time_ns(min(starts))} AND time < {time_ns(max(starts) + MS_PER_QUARTER_HOUR)}"
            )
        found: dict[Stream, list[QuarterRow]] = {}
        for start in range(0, len(statements), _STATEMENTS_AT_ONCE):
            answers = await self._database.query(";".join(statements[start : start + _STATEMENTS_AT_ONCE]))
            for stream, answer in zip(streams[start:], answers, strict=False):
                found[stream] = [read_quarter(row) for series in answer for row in series.values]
        return found

    async def derived_of(self, device_id: int) -> tuple[dict[Stream, list[QuarterRow]], dict[Stream, set[int]]]:
        """Return all versions of a device's quarter-hours, and the boundaries of its checkpoints, by stream."""
        condition = f"deviceId = '{device_id}' GROUP BY deviceId, direction, channel"
        quarters, checkpoints = await self._database.query(
            f"SELECT {_QUARTER_FIELDS} FROM {QUARTER_HOUR} WHERE {condition};"
            f"SELECT writeNumber FROM {CHECKPOINT} WHERE {condition}"
        )
        return (
            {stream_of_tags(series.tags): [read_quarter(row) for row in series.values] for series in quarters},
            {
                stream_of_tags(series.tags): {split_version(row[0])[0] for row in series.values}
                for series in checkpoints
            },
        )

    async def rules_of(self, device_ids: Collection[int]) -> dict[int, DeviceRules]:
        """Return the rules under which devices are derived, as far as they were ever told."""
        rules: dict[int, DeviceRules] = {}
        for part in _portions(device_ids):
            answer = await self._database.query(
                f"SELECT last(rules) AS rules FROM {DEVICE} WHERE {_among(part)} GROUP BY deviceId"
            )
            for series in answer[0]:
                rules[int(series.tags["deviceId"])] = read_rules(series.values[0][1])
        return rules

    async def kinds(self, device_id: int) -> dict[tuple[Direction | None, str], set[Kind]]:
        """Return which kinds of readings a device has, by the direction as it was sent and the channel."""
        found, named = await self._database.query(
            f"SELECT energyConsumed, registerKwh, powerW FROM {READINGS} WHERE deviceId = '{device_id}' LIMIT 1;"
            f"SELECT channel, direction FROM {READINGS} WHERE deviceId = '{device_id}' LIMIT 1"
        )
        kinds: defaultdict[tuple[Direction | None, str], set[Kind]] = defaultdict(set)
        if not any(series.values for series in named):
            for series in found:
                kinds[None, ""].add(kind_of_measurement(series.name))
            return dict(kinds)
        after = (-1, b"")
        while page := await self.device_readings(device_id, after=after, limit=_PAGE, counted=everything):
            for reading in page:
                kinds[reading.direction, reading.channel].add(reading.kind)
            after = reading_order(page[-1])
        return dict(kinds)


_FOR_EVER_MS: Final = 2**62


def _merged(series: Iterable[Series], limit: int) -> tuple[list[Reading], int]:
    """Return all readings of series, and the instant up to which they are all there.

    A series that has as many as the limit may go on: its last millisecond is not known to be whole.
    """
    found: list[Reading] = []
    until_ms = _FOR_EVER_MS
    for each in series:
        found += read_readings(each)
        if len(each.values) >= limit:
            until_ms = min(until_ms, split_ns(each.values[-1][0])[0])
    return found, until_ms


def _cursor(reading: Reading) -> ReadingCursor:
    return ReadingCursor(reading.time_ms, reading.device_id, reading.key)


def _among(device_ids: Collection[int]) -> str:
    """Return the condition for some devices; their ids are whole numbers."""
    if len(device_ids) == 1:
        return f"deviceId = '{next(iter(device_ids)):d}'"
    return f"deviceId =~ /^({'|'.join(f'{device_id:d}' for device_id in device_ids)})$/"


def _portions(device_ids: Collection[int], size: int = 500) -> Iterator[list[int]]:
    ids = list(device_ids)
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _stretches(identities: Sequence[Identity]) -> Iterator[tuple[int, int, int]]:
    """Yield (device, first ms, last ms) of stretches that hold all identities."""
    by_device: defaultdict[int, list[int]] = defaultdict(list)
    for device_id, time_ms, _ in identities:
        by_device[device_id].append(time_ms)
    for device_id, times in by_device.items():
        times.sort()
        first = last = times[0]
        for time_ms in times:
            if time_ms - last > _NEAR_MS:
                yield device_id, first, last
                first = time_ms
            last = time_ms
        yield device_id, first, last
