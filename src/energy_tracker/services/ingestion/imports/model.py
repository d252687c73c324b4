"""What is declared about a file, what is found out about it, and what comes out of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from energy_tracker.contracts.readings import Direction, Kind
from energy_tracker.kit.problems import Problem
from energy_tracker.services.ingestion.imports.times import TimeFormat, joined
from energy_tracker.services.ingestion.imports.units import Unit

Stamp = Literal["start", "end"]
How = Literal["declared", "detected", "assumed"]


class FileCannotBeImported(Problem):
    """The file, or what is declared about it, does not say plainly what its readings are; nothing of it was read on."""

    status = 422
    title = "The file cannot be imported as it is"


@dataclass(frozen=True, slots=True)
class Declared:
    """What the person says about a file; None is for "find out". Columns are names or 1-based positions."""

    kind: Kind | None = None
    time_column: str | None = None
    value_columns: tuple[str, ...] = ()
    device_column: str | None = None
    unit: str | None = None
    zone: str | None = None
    direction: Direction | None = None
    stamp: Stamp | None = None
    period_ms: int | None = None
    separator: str | None = None
    decimal: str | None = None
    time_format: TimeFormat | None = None
    encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of what is shown before anything is stored: `unit: kWh (detected, from the name of column 'kWh')`."""

    what: str
    value: str
    how: How
    note: str = ""


@dataclass(frozen=True, slots=True)
class ValueColumn:
    """A column of values; `device_name` is the device it belongs to where no column names devices."""

    index: int
    name: str
    device_name: str


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """How every row of one file is read. `period_us` is the length of a row's own time, where it is known, in µs.

    `preamble_lines` stand above the table and are skipped; `time_of_day_index` is the column of the time of day where
    the one at `time_index` holds the day alone.
    """

    separator: str
    decimal: str
    header_rows: int
    column_names: tuple[str, ...]
    time_index: int
    time_format: TimeFormat
    zone: str | None
    values: tuple[ValueColumn, ...]
    device_index: int | None
    type_index: int | None
    location_index: int | None
    unit: Unit
    kind: Kind
    direction: Direction | None
    stamp: Stamp
    period_us: int | None
    findings: tuple[Finding, ...]
    preamble_lines: int = 0
    time_of_day_index: int | None = None

    def time_text(self, row: Sequence[str]) -> str:
        """Return the time of a row as one text, also where the day and the time of day have columns of their own."""
        day = row[self.time_index]
        return day if self.time_of_day_index is None else joined(day, row[self.time_of_day_index])

    @property
    def assumptions(self) -> tuple[Finding, ...]:
        """What neither the file nor the person said."""
        return tuple(finding for finding in self.findings if finding.how == "assumed")


class ImportedReading(NamedTuple):
    """A row's reading: instants in µs since 1970, `amount` in kWh (interval, register) or W (power).

    `since_us` is the start of an interval that says its own length; None: since the device's previous reading.
    `line` is where the row ends in the file, counted from 1. `event_id` only where the file carries ids.
    """

    line: int
    device: str
    instant_us: int
    since_us: int | None
    amount: float
    kind: Kind
    direction: Direction | None
    event_id: str | None = None


class RejectedRow(NamedTuple):
    """A row, or one cell of it, that is not a reading, with the reason as a sentence."""

    line: int
    column: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """A device that a file speaks of; `max_hold`, `parent` and the rest only where the file says them."""

    name: str
    kind: Kind
    direction: Direction | None = None
    type: str | None = None
    location: str | None = None
    max_hold: str | None = None
    parent: str | None = None
    rated_power_w: float | None = None
    silent_after: str | None = None


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows further on: readings in the file's order, and the devices seen for the first time."""

    readings: list[ImportedReading]
    rejected: list[RejectedRow]
    devices: list[FoundDevice]
    rows: int
    empty: int
