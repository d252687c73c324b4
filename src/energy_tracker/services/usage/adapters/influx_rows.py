"""Readings, quarter-hours and checkpoints as points of InfluxDB.

`energy_usage` is the contract's measurement: tag `deviceId`, field `energyConsumed`. The other kinds lie beside it, in
the same shape. The time of a reading's point is its instant and, below the millisecond, a part that follows from its
event id or, where it came without one, from its content: two readings of one millisecond both stay, and one that comes
again lands on itself. (Two of one device and one millisecond meet once in a million.)

Quarter-hours and checkpoints are written again and again, and never by two processes at one place: below the
millisecond, their time has the epoch of who wrote them. The last point of a quarter-hour counts. So a process that was
stopped, and writes what it had at hand after another took over, changes nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from energy_tracker.contracts.topics import ENERGY_USAGE, ENERGY_USAGE_BY_OWNER
from energy_tracker.kit.ids import event_id_text, event_key
from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.fold import State
from energy_tracker.services.usage.model.readings import DeviceRules, Direction, Kind, LogPosition, Reading, Stream
from energy_tracker.storage.influx import Series, field_text, split_ns, tag_text, tag_value, time_ns

QUARTER_HOUR: Final = "energy_quarter_hour"
CHECKPOINT: Final = "energy_checkpoint"
NS_PER_QUARTER_HOUR: Final = time_ns(MS_PER_QUARTER_HOUR)
DEVICES_MS: Final = 4_102_444_800_000
"""Where the points of `energy_device` lie: beyond all readings, where no retention reaches them."""
DEVICE: Final = "energy_device"
PARKED: Final = "parked"
"""The topic, so to say, of a reading that waited for its device: its offset is its number among those."""

_VALUE: Final[Mapping[str, tuple[str, Kind]]] = {
    "energy_usage": ("energyConsumed", "interval"),
    "energy_export": ("energyConsumed", "interval"),
    "energy_register": ("registerKwh", "register"),
    "energy_power": ("powerW", "power"),
}
MEASUREMENTS: Final = tuple(_VALUE)
READINGS: Final = ", ".join(MEASUREMENTS)
READING_FIELDS: Final = "energyConsumed, registerKwh, powerW, source, eventId, since, direction, channel"
EXPORT: Final = "energy_export"
"""Intervals that say that they are export; they have the field of the others, and are no use of energy."""
_MEASUREMENT: Final[Mapping[Kind, str]] = {
    "interval": "energy_usage",
    "register": "energy_register",
    "power": "energy_power",
}
_FIELD: Final[Mapping[Kind, str]] = {kind: field for field, kind in _VALUE.values()}
_TOPICS: Final = (ENERGY_USAGE, ENERGY_USAGE_BY_OWNER, PARKED)
_TOPIC_NUMBER: Final = {topic: number for number, topic in enumerate(_TOPICS)}
_PART_NS: Final = 1_000_000
_NO_SOURCE: Final = LogPosition(ENERGY_USAGE, 0, 0)
_DIRECTIONS: Final[Mapping[str, Direction]] = {"import": "import", "export": "export"}

_state: msgspec.json.Decoder[State | None] = msgspec.json.Decoder(State | None)
_rules = msgspec.json.Decoder(DeviceRules)


class Sums(NamedTuple):
    """What a quarter-hour holds: mJ, mJ of it estimated, ms covered."""

    energy_mj: int
    estimated_mj: int
    covered_ms: int


NOTHING: Final = Sums(0, 0, 0)


class QuarterRow(NamedTuple):
    """One version of a quarter-hour: who wrote it, and what was committed before.

    That is the epoch of a partition, and the number of the write there.
    """

    start_ms: int
    epoch: int
    partition: int
    write: int
    sums: Sums
    before: Sums


def reading_lines(readings: Iterable[Reading]) -> list[str]:
    """Return the points of readings. What one has in common with the one before is not put together again."""
    lines: list[str] = []
    device_id, kind, direction, series = -1, "", None, ""
    source, received_ms, place = LogPosition("", 0, -1), -1, ""
    for reading in readings:
        if reading.device_id != device_id or reading.kind != kind or reading.direction != direction:
            device_id, kind, direction = reading.device_id, reading.kind, reading.direction
            series = f"{_measurement_of(reading)},deviceId={device_id} {_FIELD[reading.kind]}="
        if reading.source is not source or reading.received_ms != received_ms:
            source, received_ms = reading.source or _NO_SOURCE, reading.received_ms
            place = f',source="{_TOPIC_NUMBER[source.topic]}.{source.partition}.{source.offset}.{received_ms}"'
        amount, start_ns = reading.amount, reading.time_ms * _PART_NS
        is_plain = reading.since_ms is None and direction is None and not reading.channel
        if is_plain and (reading.key_follows or reading.given_key is None):
            lines.append(f"{series}{amount!r}{place} {start_ns + hash(amount) % _PART_NS}")
        else:
            lines.append(f"{series}{amount!r}{place}{_rest_of(reading)} {start_ns + _part_of(reading)}")
    return lines


def _measurement_of(reading: Reading) -> str:
    is_export = reading.kind == "interval" and reading.direction == "export"
    return EXPORT if is_export else _MEASUREMENT[reading.kind]


def _rest_of(reading: Reading) -> str:
    """Return the fields that most readings do not have.

    Two readings may have one event id that was chosen, and different content: the point of the second is to hold
    nothing of the first, which was written by a step that did not come to its end. So what they do not say is there.
    """
    if (key := reading.chosen_key) is not None:
        return (
            f',since={reading.since_ms or 0}i,direction="{reading.direction or ""}"'
            f",channel={field_text(reading.channel)},eventId={field_text(event_id_text(key))}"
        )
    rest = "" if reading.since_ms is None else f",since={reading.since_ms}i"
    if reading.direction is not None:
        rest += f',direction="{reading.direction}"'
    if reading.channel:
        rest += f",channel={field_text(reading.channel)}"
    return rest


def _part_of(reading: Reading) -> int:
    """Return where within its millisecond a point lies, in ns; saying "import" or nothing comes to the same."""
    if (key := reading.chosen_key) is not None:
        return crc32(key) % _PART_NS
    if reading.since_ms is None and reading.direction != "export" and not reading.channel:
        return hash(reading.amount) % _PART_NS  # that of a number is the same in every process
    content = f"{reading.amount + 0.0!r}|{reading.since_ms}|{reading.direction or 'import'}|{reading.channel}"
    return crc32(content.encode()) % _PART_NS


def read_readings(series: Series) -> list[Reading]:
    """Return the readings of a series with the columns `READING_FIELDS` and the tag `deviceId`.

    Points that others wrote have no `source`: their identity follows from their content.
    """
    value_name, kind = _VALUE[series.name]
    column = {name: place for place, name in enumerate(series.columns)}
    value_at = column[value_name]
    device_id = int(series.tags["deviceId"])
    rest = [column[name] for name in ("source", "eventId", "since", "direction", "channel")]
    return [
        _reading(device_id, row[0], kind, row[value_at], [row[place] for place in rest])
        for row in series.values
        if row[value_at] is not None
    ]


def _reading(device_id: int, point_ns: int, kind: Kind, amount: float, rest: list[Any]) -> Reading:
    source, event_id, since_ms, direction, channel = rest
    time_ms, _ = split_ns(point_ns)
    position, received_ms = _source(source) if source else (None, time_ms)
    key = event_key(event_id) if event_id else None
    return Reading(
        device_id,
        time_ms,
        key,
        kind,
        float(amount),
        direction or None,
        since_ms or None,
        received_ms,
        channel or "",
        position,
    )


def _source(text: str) -> tuple[LogPosition, int]:
    topic, partition, offset, received_ms = text.split(".")
    return LogPosition(_TOPICS[int(topic)], int(partition), int(offset)), int(received_ms)


def kind_of_measurement(measurement: str) -> Kind:
    """Return the kind of the readings in a measurement."""
    return _VALUE[measurement][1]


def stream_tags(stream: Stream) -> str:
    """Return a stream as tags of line protocol."""
    tags = f"deviceId={stream.device_id},direction={stream.direction}"
    return f"{tags},channel={tag_text(stream.channel)}" if stream.channel else tags


def stream_condition(stream: Stream) -> str:
    """Return the condition of a query for a stream."""
    channel = tag_text(stream.channel)
    return f"deviceId = '{stream.device_id}' AND direction = '{stream.direction}' AND channel = '{channel}'"


def stream_of_tags(tags: Mapping[str, str]) -> Stream:
    """Return the stream that a series grouped by its tags is of."""
    return Stream(int(tags["deviceId"]), _DIRECTIONS[tags["direction"]], tag_value(tags.get("channel", "")))


def quarter_line(tags: str, row: QuarterRow) -> str:
    """Return the point of a version of a quarter-hour."""
    energy_mj, estimated_mj, covered_ms = row.sums
    before = ".".join(map(str, row.before))
    return (
        f"{QUARTER_HOUR},{tags} energyMj={energy_mj}i,estimatedMj={estimated_mj}i,coveredMs={covered_ms}i,"
        f'source="{row.partition}.{row.write}.{before}" {time_ns(row.start_ms, row.epoch)}'
    )


def read_quarter(row: list[Any]) -> QuarterRow:
    """Return the version that a row of (time, energyMj, estimatedMj, coveredMs, source) is."""
    start_ms, epoch = split_version(row[0])
    partition, write, *before = map(int, row[4].split("."))
    return QuarterRow(start_ms, epoch, partition, write, Sums(row[1], row[2], row[3]), Sums(*before))


def split_version(point_ns: int) -> tuple[int, int]:
    """Return the instant, a multiple of a quarter-hour in ms, and the epoch that a point's time is made of."""
    time_ms = point_ns // NS_PER_QUARTER_HOUR * MS_PER_QUARTER_HOUR
    return time_ms, point_ns - time_ns(time_ms)


def checkpoint_line(tags: str, boundary_ms: int, state: State | None, *, epoch: int, write: int) -> str:
    """Return the point of a checkpoint."""
    text = field_text(msgspec.json.encode(state).decode())
    return f"{CHECKPOINT},{tags} state={text},writeNumber={write}i {time_ns(boundary_ms, epoch)}"


def no_checkpoint_line(tags: str, boundary_ms: int, *, epoch: int, write: int) -> str:
    """Return the point that says that there is no checkpoint any more."""
    return f'{CHECKPOINT},{tags} state="",writeNumber={write}i {time_ns(boundary_ms, epoch)}'


def read_state(text: str) -> State | None:
    """Return the state of a checkpoint's point."""
    return _state.decode(text)


def rules_line(device_id: int, rules: DeviceRules, *, epoch: int) -> str:
    """Return the point that tells under which rules a device is derived."""
    text = field_text(msgspec.json.encode(rules).decode())
    return f"{DEVICE},deviceId={device_id} rules={text} {time_ns(DEVICES_MS, epoch)}"


def anew_line(device_id: int, *, epoch: int) -> str:
    """Return the point that tells that what was derived of a device before this epoch counts no more."""
    return f"{DEVICE},deviceId={device_id} derivedAnew=1i {time_ns(DEVICES_MS, epoch)}"


def read_rules(text: str) -> DeviceRules:
    """Return the rules of a device's point."""
    return _rules.decode(text)
