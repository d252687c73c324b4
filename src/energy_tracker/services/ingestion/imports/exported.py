"""Our own export of readings: every row says its kind, so nothing has to be found out; written and read here."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast, get_args

from energy_tracker.contracts.readings import Direction, Kind
from energy_tracker.services.ingestion.imports.model import (
    FileCannotBeImported,
    FoundDevice,
    ImportedReading,
    RejectedRow,
    RowBatch,
)
from energy_tracker.services.ingestion.imports.numbers import NotANumber, is_number, number_reader
from energy_tracker.services.ingestion.imports.times import Ambiguous, NotATime, TimeFormat, TimeReader

COLUMNS: Final = (
    "timestamp", "since", "device", "type", "location", "kind", "direction", "amount", "unit", "event_id", "max_hold",
    "device_kind", "device_direction", "parent", "rated_power", "silent_after",
)  # fmt: skip
FIRST_COLUMNS: Final = COLUMNS[:14]
"""The columns of the first exports, which still read."""
UNIT_OF: Final[dict[Kind, str]] = {"interval": "kWh", "register": "kWh", "power": "W"}
_BATCH_ROWS = 5_000
_KINDS: Final = frozenset(get_args(Kind))
_DIRECTIONS: Final = frozenset(get_args(Direction))
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def inert_cell(text: str) -> str:
    """Return a text cell that no spreadsheet takes for a formula; `plain_cell` undoes it."""
    return "'" + text if _FORMULA.match(text) else text


def plain_cell(text: str) -> str:
    """Return what `inert_cell` was given."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def is_export(head: Sequence[str]) -> bool:
    """Return whether a file's first line is the header of an export of readings."""
    return bool(head) and head[0].strip() in {",".join(COLUMNS), ",".join(FIRST_COLUMNS)}


def read_export(lines: Iterable[str]) -> Iterator[RowBatch]:
    """Yield the readings of an export; a row without a time and an amount is of a device that has none.

    Raises `FileCannotBeImported` where it cannot be read on.
    """
    reader = csv.reader(lines, strict=True)
    export = _Export(COLUMNS)
    try:
        export = _Export(tuple(next(reader, COLUMNS)))
        for row in reader:
            export.add(row, reader.line_num)
            if export.rows >= _BATCH_ROWS:
                yield export.take()
    except csv.Error as error:
        yield export.take()
        message = f"The export cannot be read on at line {reader.line_num}: {error}. The rows before it were read."
        raise FileCannotBeImported(message) from None
    except FileCannotBeImported:
        yield export.take()
        raise
    yield export.take()


class _Export:
    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = columns
        self._times = TimeReader(TimeFormat.ISO, None)
        self._number = number_reader(".")
        self._known: set[str] = set()
        self._start()

    def _start(self) -> None:
        self.rows = 0
        self._readings: list[ImportedReading] = []
        self._rejected: list[RejectedRow] = []
        self._devices: list[FoundDevice] = []

    def take(self) -> RowBatch:
        batch = RowBatch(self._readings, self._rejected, self._devices, self.rows, 0)
        self._start()
        return batch

    def add(self, row: list[str], line: int) -> None:
        if not row:
            return
        self.rows += 1
        if len(row) != len(self._columns):
            self._rejected.append(RejectedRow(line, None, f"the row has {len(row)} cells, not {len(self._columns)}"))
            return
        cells = dict(zip(self._columns, row, strict=True))
        if not cells["timestamp"] and not cells["amount"] and cells["kind"] in _KINDS and cells["device"]:
            self._note(cells)
            return
        try:
            reading = self._reading(cells, line)
        except (NotATime, NotANumber) as error:
            self._rejected.append(RejectedRow(line, None, f"the row does not say a reading: {str(error)[:80]}"))
            return
        self._note(cells)
        self._readings.append(reading)

    def _note(self, cells: dict[str, str]) -> None:
        if cells["device"] not in self._known:
            self._known.add(cells["device"])
            self._devices.append(_device(cells))

    def _reading(self, cells: dict[str, str], line: int) -> ImportedReading:
        instant = self._times.instant_us(cells["timestamp"])
        since = self._times.instant_us(cells["since"]) if cells["since"] else None
        if cells["kind"] not in _KINDS or cells["direction"] not in _DIRECTIONS:
            raise NotANumber(f"kind {cells['kind']!r}, direction {cells['direction']!r}")
        if isinstance(instant, Ambiguous) or isinstance(since, Ambiguous):
            raise NotATime(cells["timestamp"])
        return ImportedReading(
            line,
            plain_cell(cells["device"]),
            instant,
            since,
            self._number(cells["amount"]),
            cast("Kind", cells["kind"]),
            cast("Direction", cells["direction"]),
            plain_cell(cells["event_id"]) or None,
        )


def _device(cells: dict[str, str]) -> FoundDevice:
    kind = cells["device_kind"] if cells["device_kind"] in _KINDS else cells["kind"]
    direction = cells["device_direction"] if cells["device_direction"] in _DIRECTIONS else cells["direction"]
    return FoundDevice(
        name=plain_cell(cells["device"]),
        kind=cast("Kind", kind),
        direction=cast("Direction", direction),
        type=cells["type"] or None,
        location=plain_cell(cells["location"]) or None,
        max_hold=cells["max_hold"] or None,
        parent=plain_cell(cells["parent"]) or None,
        rated_power_w=float(rated) if is_number(rated := cells.get("rated_power", ""), ".") else None,
        silent_after=cells.get("silent_after") or None,
    )
