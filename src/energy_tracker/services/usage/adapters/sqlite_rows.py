"""Readings, heads and states as rows of `readings.db`, and inserting many rows by few statements."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import apsw
import msgspec

from energy_tracker.services.usage.model.derivation import Checkpoint, Head
from energy_tracker.services.usage.model.fold import State
from energy_tracker.services.usage.model.readings import KINDS, DeviceRules, Direction, Reading, Stream

Row = tuple[Any, ...]

READING_COLUMNS = "device_id, time_ms, key, kind, direction, amount, since_ms, received_ms, channel"

DIRECTIONS: tuple[Direction, ...] = ("import", "export")
_KIND_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
DIRECTION_NUMBER: dict[str | None, int | None] = {None: None, "import": 0, "export": 1}
_SIZES = (500, 60, 8, 1)

_head = msgspec.json.Decoder(Head)
_state = msgspec.json.Decoder(State | None)
_rules = msgspec.json.Decoder(DeviceRules)


def insert_rows(connection: apsw.Connection, insert: str, rows: Sequence[Row], *, then: str = "") -> None:
    """Insert rows of one width by statements of many rows each; `then` is an upsert clause.

    One statement for many rows, because each step of a statement costs a pass of the interpreter's lock; a few sizes
    only, so that the statements stay prepared.
    """
    if not rows:
        return
    one = f"({','.join('?' * len(rows[0]))})"
    start = 0
    for size in _SIZES:
        while len(rows) - start >= size:
            values = ",".join([one] * size)
            part = rows[start : start + size]
            connection.execute(f"{insert} VALUES {values} {then}", tuple(chain.from_iterable(part)))
            start += size


def reading_row(reading: Reading) -> Row:
    """Return the row of a reading."""
    return (
        reading.device_id,
        reading.time_ms,
        reading.key,
        _KIND_NUMBER[reading.kind],
        DIRECTION_NUMBER[reading.direction],
        reading.amount,
        reading.since_ms,
        reading.received_ms,
        reading.channel,
    )


def read_reading(row: Row) -> Reading:
    """Return the reading of a row."""
    device_id, time_ms, key, kind, direction, amount, since_ms, received_ms, channel = row
    sent = None if direction is None else DIRECTIONS[direction]
    return Reading(device_id, time_ms, key, KINDS[kind], amount, sent, since_ms, received_ms, channel)


def stream_columns(stream: Stream) -> tuple[int, int | None, str]:
    """Return a stream's device, direction and channel as columns."""
    return (stream.device_id, DIRECTION_NUMBER[stream.direction], stream.channel)


def read_head(text: str) -> Head:
    """Return the head of its column."""
    return _head.decode(text)


def read_rules(text: str) -> DeviceRules:
    """Return the rules of their column."""
    return _rules.decode(text)


def read_checkpoint(boundary_ms: int, text: str) -> Checkpoint:
    """Return the checkpoint of its columns."""
    return Checkpoint(boundary_ms, _state.decode(text))


def as_text(value: object) -> str:
    """Return a head, a state or rules as a column."""
    return msgspec.json.encode(value).decode()
