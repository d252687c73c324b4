"""What is on `energy-usage`, as readings. Anyone may have written it, so nothing is taken on trust."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.ids import derived_event_key, derived_event_text, event_id_text, event_key
from energy_tracker.services.usage.model.readings import Kind, LogPosition, Reading
from energy_tracker.services.usage.ports import DeadLetter

EARLIEST_MS: Final = 946_684_800_000
"""2000-01-01T00:00Z: older readings are wrong clocks (1970) or wrong units."""
LATEST_MS: Final = 4_102_444_800_000
"""2100-01-01T00:00Z."""
SECONDS_BELOW: Final = 1e11
"""A number below this is seconds since 1970 (older Java producers), from there on it is ms."""
GREATEST: Final[dict[Kind, float]] = {"interval": 1e6, "register": 1e9, "power": 1e9}
"""Amounts beyond this (kWh, kWh, W) are no measurement, and would not fit into 64 bits of mJ."""
MAX_EVENT_ID: Final = 64
MAX_CHANNEL: Final = 64

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for what is no JSON of the expected form; the last one where it is nested without end."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_many = msgspec.json.Decoder(list[ReadingMessage])
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_one = msgspec.json.Decoder(ReadingMessage)


class UnusableReading(ValueError):
    """A reading on the log that cannot be stored; the text is the reason in its dead letter."""


def decode_single(record: Record) -> Reading | None:
    """Return the reading of a record that holds one as an object, as most do that come one by one; None for others."""
    value = record.value
    if value[:1] != b"{":
        return None
    try:
        message = _one.decode(value)
        return to_reading(message, record.appended_ms, LogPosition(record.topic, record.partition, record.offset))
    except (*UNREADABLE, UnusableReading):
        return None


def decode_record(record: Record) -> tuple[list[Reading], list[DeadLetter]]:
    """Return the readings of one record, and a dead letter for each part that is none."""
    value = record.value
    if not value.lstrip().startswith(b"["):
        return _decode_parts([value], record)
    try:
        messages = _many.decode(value)
        source = LogPosition(record.topic, record.partition, record.offset)
        return [to_reading(message, record.appended_ms, source) for message in messages], []
    except (*UNREADABLE, UnusableReading):
        pass
    try:
        parts = _raws.decode(value)
    except UNREADABLE as error:
        return [], [_dead(f"not a JSON array of readings: {error}", value, record)]
    return _decode_parts([bytes(part) for part in parts], record)


def _decode_parts(parts: Sequence[bytes], record: Record) -> tuple[list[Reading], list[DeadLetter]]:
    readings: list[Reading] = []
    dead: list[DeadLetter] = []
    source = LogPosition(record.topic, record.partition, record.offset)
    for part in parts:
        try:
            readings.append(to_reading(_one.decode(part), record.appended_ms, source))
        except (*UNREADABLE, UnusableReading) as error:
            dead.append(_dead(str(error), part, record))
    return readings, dead


def _dead(reason: str, original: bytes, record: Record) -> DeadLetter:
    return DeadLetter(reason[:500], original, record.partition, record.offset, 1, record.topic)


def to_reading(message: ReadingMessage, appended_ms: int, source: LogPosition | None = None) -> Reading:
    """Check a message and return its reading. Raises `UnusableReading`."""
    kind: Kind = "interval"
    amount = message.energy_consumed
    if amount is None or message.register_kwh is not None or message.power_w is not None:
        kind, amount = _measured(message)
    if not 0 <= amount <= GREATEST[kind]:
        raise UnusableReading(f"the {kind} value {amount!r} is not between 0 and {GREATEST[kind]:g}")
    device_id, direction, channel = message.device_id, message.direction, message.channel or ""
    if not 0 < device_id < 2**63:
        raise UnusableReading(f"deviceId {device_id} is not a positive 64-bit integer")
    time_us = _instant_us(message.timestamp, "timestamp")
    since_us = None if message.since is None else _instant_us(message.since, "since")
    if since_us is not None and (kind != "interval" or since_us >= time_us):
        raise UnusableReading("since goes with energyConsumed only, and lies before timestamp")
    if channel and (len(channel) > MAX_CHANNEL or not channel.isprintable()):
        raise UnusableReading(f"channel is not at most {MAX_CHANNEL} printable characters")
    time_ms, since_ms = time_us // 1000, None if since_us is None else since_us // 1000
    given_key, key_follows = None, False
    is_exact = time_us % 1000 == 0 and (since_us is None or since_us % 1000 == 0)
    event_id = None if message.event_id_follows else message.event_id
    if event_id is not None or not is_exact:
        given_key = derived_event_key(device_id, time_us, kind, direction or "import", amount, since_us, channel)
        if event_id is not None and event_id != derived_event_text(given_key):
            given_key = _chosen_key(event_id)
        else:
            key_follows = is_exact
    return Reading(
        device_id,
        time_ms,
        given_key,
        kind,
        float(amount),
        direction,
        since_ms,
        message.received_at or appended_ms,
        channel,
        source,
        key_follows,
    )


def _measured(message: ReadingMessage) -> tuple[Kind, float]:
    """Return the kind and the amount of a message. Raises `UnusableReading`."""
    energy_kwh, register_kwh, power_w = message.energy_consumed, message.register_kwh, message.power_w
    kind: Kind
    if energy_kwh is not None:
        kind, amount, is_one = "interval", energy_kwh, register_kwh is None and power_w is None
    elif register_kwh is not None:
        kind, amount, is_one = "register", register_kwh, power_w is None
    elif power_w is not None:
        kind, amount, is_one = "power", power_w, True
    else:
        raise UnusableReading("none of energyConsumed, registerKwh and powerW is there")
    if not is_one:
        raise UnusableReading("more than one of energyConsumed, registerKwh and powerW is there")
    return kind, amount


def _chosen_key(event_id: str) -> bytes:
    """Return the key of an event id that the sender chose. Raises `UnusableReading`."""
    if not (0 < len(event_id) <= MAX_EVENT_ID and event_id.isascii() and event_id.isprintable()):
        raise UnusableReading("eventId is not 1 to 64 printable ASCII characters")
    return event_key(event_id)


def _instant_us(instant: float | str, name: str) -> int:
    """Return an instant of the wire in microseconds since 1970."""
    if type(instant) is int and EARLIEST_MS <= instant < LATEST_MS:
        return instant * 1000
    if isinstance(instant, str):
        try:
            moment = datetime.fromisoformat(instant)
        except ValueError:
            raise UnusableReading(f"{name} {instant[:40]!r} is not an ISO-8601 instant") from None
        if moment.tzinfo is None:
            raise UnusableReading(f"{name} {instant[:40]!r} has no offset")
        time_us = (moment - _EPOCH) // _MICROSECOND
    elif not math.isfinite(instant):
        raise UnusableReading(f"{name} is not a number")
    else:
        time_us = round(instant * (1_000_000 if abs(instant) < SECONDS_BELOW else 1000))
    if not EARLIEST_MS <= time_us // 1000 < LATEST_MS:
        raise UnusableReading(f"{name} {instant!r} is not between the years 2000 and 2100")
    return time_us


def to_message(reading: Reading) -> ReadingMessage:
    """Return a reading as it would be on `energy-usage`, without an event id that is known to follow."""
    chosen = reading.chosen_key
    return ReadingMessage(
        device_id=reading.device_id,
        timestamp=reading.time_ms,
        energy_consumed=reading.amount if reading.kind == "interval" else None,
        register_kwh=reading.amount if reading.kind == "register" else None,
        power_w=reading.amount if reading.kind == "power" else None,
        since=reading.since_ms,
        direction=reading.direction,
        event_id=None if chosen is None else event_id_text(chosen),
        received_at=reading.received_ms,
        channel=reading.channel or None,
    )
