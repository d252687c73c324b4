"""From the bytes of a request to readings: fast where all is well, precise where something is not.

The fast way decodes the whole body in one go. It knows no duplicate keys, so it also counts how often each field's name
stands in the bytes: when that is not what the decoded readings account for, or anything fails, the precise way decides.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from energy_tracker.contracts import ingestion as wire
from energy_tracker.contracts.ingestion import MAX_BATCH_ITEMS, ReadingBody
from energy_tracker.contracts.readings import Direction
from energy_tracker.kit import strict_json
from energy_tracker.kit.problems import (
    BodyTooLarge,
    FieldError,
    InvalidRequest,
    Problem,
)
from energy_tracker.services.ingestion.model.readings import invalid

Decoded = ReadingBody | Problem
_Undecoded = TypeVar("_Undecoded")


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    readings: list[ReadingBody]


class _RawBatch(msgspec.Struct, forbid_unknown_fields=True):
    readings: list[msgspec.Raw]


_ONE: msgspec.json.Decoder[ReadingBody] = msgspec.json.Decoder(ReadingBody)
_ARRAY: msgspec.json.Decoder[list[ReadingBody]] = msgspec.json.Decoder(list[ReadingBody])
_OBJECT: msgspec.json.Decoder[_Batch] = msgspec.json.Decoder(_Batch)
_RAW_ARRAY: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_RAW_OBJECT: msgspec.json.Decoder[_RawBatch] = msgspec.json.Decoder(_RawBatch)

_NUMBER = "a JSON number (not a string or a boolean)"
_EXPORT_HINT = 'energy that is given away is positive too, with direction "export"'
_INSTANT_RULE = "must be an ISO-8601 instant with an offset, such as 2026-01-31T12:00:00Z"
_FIELDS: dict[str, tuple[Any, str]] = {
    "deviceId": (wire.DeviceId, "must be an integer from 1 to 9223372036854775807"),
    "timestamp": (wire.Instant, _INSTANT_RULE),
    "energyConsumed": (
        wire.IntervalKwh | None,
        f"must be {_NUMBER} of kWh from 0 to {wire.MAX_INTERVAL_KWH:.0f}; {_EXPORT_HINT}",
    ),
    "registerKwh": (
        wire.RegisterKwh | None,
        f"must be {_NUMBER} of kWh from 0 to {wire.MAX_REGISTER_KWH:.0f}; {_EXPORT_HINT}",
    ),
    "powerW": (wire.PowerW | None, f"must be {_NUMBER} of W from 0 to {wire.MAX_POWER_W:.0f}; {_EXPORT_HINT}"),
    "since": (wire.Instant | None, _INSTANT_RULE),
    "direction": (Direction | None, 'must be "import" or "export"'),
    "eventId": (wire.EventId | None, "must be 1 to 64 printable ASCII characters"),
    "channel": (wire.Channel | None, "must be 1 to 64 printable ASCII characters"),
}
_REQUIRED = ("deviceId", "timestamp")
_VALUES = (b'"energyConsumed"', b'"registerKwh"', b'"powerW"')
_OPTIONAL = (
    (b'"since"', "since"),
    (b'"direction"', "direction"),
    (b'"eventId"', "event_id"),
    (b'"channel"', "channel"),
)


def decode_one(body: bytes) -> ReadingBody:
    """Read one reading. Raises `MalformedRequest`, or `InvalidReading` with what is wrong with each field."""
    try:
        reading = _ONE.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    else:
        if _accounts_for(body, (reading,)):
            return reading
    if not body.strip():
        raise InvalidRequest("The body is empty; send a reading as a JSON object.")
    return check_fields(strict_json.loads(body))


def decode_batch(body: bytes, *, most: int = MAX_BATCH_ITEMS) -> Sequence[Decoded]:
    """Read `{"readings": […]}` or a bare array; an item that is not acceptable becomes its problem.

    Raises `MalformedRequest`, `InvalidRequest` and `BodyTooLarge` (more than `most` readings) for the whole.
    """
    bare = body.lstrip()[:1] == b"["
    try:
        readings = _ARRAY.decode(body) if bare else _OBJECT.decode(body).readings
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    else:
        if _accounts_for(body, readings) and (bare or body.count(b'"readings"') == 1):
            _check_count(len(readings), most)
            return readings
    return _decode_precisely(body, bare=bare, most=most)


def decode_lines(body: bytes, *, most: int = MAX_BATCH_ITEMS) -> Sequence[Decoded]:
    """Read NDJSON: one reading a line, empty lines skipped; a line that cannot be read becomes its problem.

    Raises `InvalidRequest` (no lines) and `BodyTooLarge`.
    """
    try:
        readings = _ONE.decode_lines(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    else:
        if readings and _accounts_for(body, readings):
            _check_count(len(readings), most)
            return readings
    lines = [line for line in body.split(b"\n") if line.strip()]
    if not lines:
        raise InvalidRequest("The body holds no reading; send one JSON object a line.")
    _check_count(len(lines), most)
    return [_or_problem(decode_one, line) for line in lines]


def check_fields(item: object) -> ReadingBody:
    """Return a strictly read JSON value as a reading. Raises `InvalidReading` that lists every field that is wrong."""
    if not isinstance(item, dict):
        raise invalid([FieldError("", "must be a JSON object")])
    errors = [FieldError(f"/{name}", "is missing") for name in _REQUIRED if name not in item]
    for name, content in item.items():
        if name not in _FIELDS:
            errors.append(FieldError(_pointer(name), "is not a field of a reading"))
            continue
        kind, rule = _FIELDS[name]
        try:
            msgspec.convert(content, kind)
        except (msgspec.ValidationError, OverflowError):
            errors.append(FieldError(f"/{name}", rule))
    if errors:
        raise invalid(errors[:20])
    try:
        return msgspec.convert(item, ReadingBody)
    except msgspec.ValidationError as error:
        raise invalid([FieldError("", str(error)[:200])]) from None


def _decode_precisely(body: bytes, *, bare: bool, most: int) -> Sequence[Decoded]:
    if not body.strip():
        raise InvalidRequest('The body is empty; send {"readings": […]}, an array, or NDJSON.')
    try:
        raw = _RAW_ARRAY.decode(body) if bare else _RAW_OBJECT.decode(body).readings
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _decode_loosely(body, most=most)
    _check_count(len(raw), most)
    if not bare and (b"\\" in body or body.count(b'"readings"') != 1):
        strict_json.loads(body)
    decoded: list[Decoded] = []
    for item in raw:
        try:
            decoded.append(decode_one(bytes(item)))
        except InvalidRequest as problem:
            decoded.append(problem)
    return decoded


def _decode_loosely(body: bytes, *, most: int) -> Sequence[Decoded]:
    """Read a batch that is JSON but for a NaN or Infinity, which spoils its reading and not the others."""
    document = strict_json.loads(body, keep_constants=True)
    items = document["readings"] if isinstance(document, dict) and document.keys() == {"readings"} else document
    if not isinstance(items, list):
        raise InvalidRequest('Send {"readings": […]} with readings alone, an array, or NDJSON as application/x-ndjson.')
    _check_count(len(items), most)
    return [_or_problem(check_fields, item) for item in items]


def _or_problem(decode: Callable[[_Undecoded], ReadingBody], item: _Undecoded) -> Decoded:
    try:
        return decode(item)
    except Problem as problem:
        return problem


def _accounts_for(body: bytes, readings: Sequence[ReadingBody]) -> bool:
    """Tell whether each field's name stands in the bytes once per reading that has it: then no key is a duplicate."""
    count = len(readings)
    if b"\\" in body or body.count(b'"deviceId"') != count or body.count(b'"timestamp"') != count:
        return False
    if sum(body.count(name) for name in _VALUES) != count:
        return False
    for quoted, name in _OPTIONAL:
        named = body.count(quoted)
        if named and named != sum(1 for reading in readings if getattr(reading, name) is not None):
            return False
    return all(
        (reading.energy_consumed is not None) + (reading.register_kwh is not None) + (reading.power_w is not None) == 1
        for reading in readings
    )


def _check_count(count: int, most: int) -> None:
    if count > most:
        message = f"A batch holds at most {most} readings, not {count}; send it in parts."
        raise BodyTooLarge(message)


def _pointer(name: str) -> str:
    printable = name[:80].encode("ascii", "backslashreplace").decode()
    return f"/{printable.replace('~', '~0').replace('/', '~1')}"
