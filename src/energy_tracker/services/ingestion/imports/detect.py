"""Finding out what a file's columns are, and saying how each was found out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from energy_tracker.services.ingestion.imports import naming
from energy_tracker.services.ingestion.imports.meaning import find_meaning
from energy_tracker.services.ingestion.imports.model import (
    Declared,
    FileCannotBeImported,
    Finding,
    How,
    ImportPlan,
    ValueColumn,
)
from energy_tracker.services.ingestion.imports.numbers import (
    DecimalSignCannotBeTold,
    NotANumber,
    detect_decimal,
    is_number,
    number_reader,
)
from energy_tracker.services.ingestion.imports.shape import (
    group_points,
)
from energy_tracker.services.ingestion.imports.table import MOSTLY, SEPARATOR_NAMES, Table, indexes_named, read_table
from energy_tracker.services.ingestion.imports.times import (
    Ambiguous,
    FormatCannotBeTold,
    NotATime,
    TimeDoesNotExist,
    TimeFormat,
    TimeReader,
    detect_format,
    has_offset,
    is_day,
    is_time_of_day,
    joined,
    looks_like_time,
)
from energy_tracker.services.ingestion.imports.units import unit_in_name

_EPOCHS: Final = (TimeFormat.EPOCH_SECONDS, TimeFormat.EPOCH_MILLISECONDS)


def detect(head: Sequence[str], declared: Declared, *, user_zone: str, stem: str) -> ImportPlan:
    """Return how the rows of a file are to be read, from its first lines and what is declared.

    `user_zone` is the zone of times without an offset where none is declared; `stem` is the file's name without its
    ending, the device's name where no column gives one. Raises `FileCannotBeImported`.
    """
    return _Detection(read_table(head, declared.separator), declared, user_zone, stem).plan()


@dataclass(frozen=True, slots=True)
class _Roles:
    time: int
    time_of_day: int | None
    device: int | None
    type: int | None
    location: int | None
    values: tuple[int, ...]


class _Detection:
    """One detection: every step adds what it found to `findings`, in the order in which it is shown."""

    def __init__(self, table: Table, declared: Declared, user_zone: str, stem: str) -> None:
        self._table = table
        self._declared = declared
        self._user_zone = user_zone
        self._stem = stem
        self._findings: list[Finding] = []

    def plan(self) -> ImportPlan:
        table, declared = self._table, self._declared
        self._shape()
        time_index = self._time_column()
        clock_index = self._time_of_day_column(time_index)
        texts = self._time_texts(time_index, clock_index)
        time_format = self._time_format(time_index, texts)
        zone = self._zone(texts, time_format)
        roles, decimal = self._roles(time_index, clock_index)
        devices = group_points(self._points(roles, TimeReader(time_format, zone), decimal))
        value_names = [table.names[index] for index in roles.values]
        time_name = " ".join(table.names[index] for index in (time_index, clock_index) if index is not None)
        meaning = find_meaning(declared, value_names, time_name, devices)
        self._findings.extend(meaning.findings)
        if declared.direction is not None:
            self._found("direction", declared.direction, "declared")
        return ImportPlan(
            separator=table.separator,
            decimal=decimal,
            header_rows=int(table.has_header),
            column_names=table.names,
            time_index=roles.time,
            time_format=time_format,
            zone=zone,
            values=tuple(self._value_column(index, roles) for index in roles.values),
            device_index=roles.device,
            type_index=roles.type,
            location_index=roles.location,
            unit=meaning.unit,
            kind=meaning.kind,
            direction=declared.direction,
            stamp=meaning.stamp,
            period_us=meaning.period_us,
            findings=tuple(self._findings),
            preamble_lines=table.preamble_lines,
            time_of_day_index=roles.time_of_day,
        )

    def _shape(self) -> None:
        table = self._table
        name = SEPARATOR_NAMES.get(table.separator, table.separator)
        self._found("separator", name, "detected" if self._declared.separator is None else "declared")
        if table.preamble_lines:
            self._found("above the table", f"{table.preamble_lines} lines, not read", "detected")
        self._found("header", "yes" if table.has_header else "no: columns are named by position", "detected")

    def _found(self, what: str, value: str, how: How, note: str = "") -> None:
        self._findings.append(Finding(what, value, how, note))

    def _name(self, index: int) -> str:
        return repr(self._table.names[index])

    def _time_column(self) -> int:
        table, declared = self._table, self._declared
        if declared.time_column is not None:
            index = table.find(declared.time_column, "--time")
            self._found("time", self._name(index), "declared")
            return index
        timed = [index for index in range(len(table.names)) if table.mostly(index, "time")]
        named = [index for index in indexes_named(table.names, naming.TIME) if index in timed]
        if not timed or (len(timed) > 1 and not named):
            found = ", ".join(self._name(index) for index in timed) or "none"
            message = f"Which column is the time? Columns of times: {found}. Declare --time (and --time-format)."
            raise FileCannotBeImported(message)
        index = named[0] if named else timed[0]
        self._found("time", self._name(index), "detected")
        return index

    def _time_of_day_column(self, time_index: int) -> int | None:
        """Return the column that goes with one of days alone: the first that holds times of day."""
        days = self._table.cells(time_index)
        if not days or not all(is_day(cell) for cell in days if looks_like_time(cell)):
            return None
        for index in range(len(self._table.names)):
            cells = self._table.cells(index)
            if index != time_index and cells and sum(map(is_time_of_day, cells)) >= MOSTLY * len(cells):
                self._found("time of day", self._name(index), "detected")
                return index
        return None

    def _time_texts(self, time_index: int, clock_index: int | None) -> list[str]:
        if clock_index is None:
            return self._table.cells(time_index)
        last = max(time_index, clock_index)
        return [joined(row[time_index], row[clock_index]) for row in self._table.rows if last < len(row)]

    def _time_format(self, index: int, texts: Sequence[str]) -> TimeFormat:
        if self._declared.time_format is not None:
            self._found("time format", self._declared.time_format.value, "declared")
            return self._declared.time_format
        try:
            time_format = detect_format(texts)
        except FormatCannotBeTold as error:
            message = f"Column {self._name(index)}: {error}."
            raise FileCannotBeImported(message) from None
        self._found("time format", time_format.value, "detected")
        return time_format

    def _zone(self, texts: Sequence[str], time_format: TimeFormat) -> str | None:
        if time_format in _EPOCHS or all(has_offset(text) for text in texts):
            self._found("zone", "UTC" if time_format in _EPOCHS else "every time has its own offset", "detected")
            return None
        declared = self._declared.zone
        zone = declared or self._user_zone
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f"There is no time zone {zone[:60]!r}; zones are named as in Europe/Berlin."
            raise FileCannotBeImported(message) from None
        if declared:
            self._found("zone", zone, "declared")
        else:
            self._found("zone", zone, "assumed", "the user's: the times have no offset")
        return zone

    def _roles(self, time_index: int, clock_index: int | None) -> tuple[_Roles, str]:
        table, declared = self._table, self._declared
        free = [index for index in range(len(table.names)) if index not in {time_index, clock_index}]
        device = self._device_column(free)
        described = device is not None
        type_index = next((i for i in indexes_named(table.names, naming.TYPE) if i in free and described), None)
        location = next((i for i in indexes_named(table.names, naming.LOCATION) if i in free and described), None)
        taken = {device, type_index, location}
        decimal = self._decimal([index for index in free if index not in taken])
        if declared.value_columns:
            values = tuple(dict.fromkeys(table.find(column, "--value") for column in declared.value_columns))
            if time_index in values or device in values:
                raise FileCannotBeImported("--value names the column that is the time or the device.")
            self._found("value", ", ".join(self._name(index) for index in values), "declared")
        else:
            numeric = [index for index in free if index not in taken and table.mostly(index, "number", decimal)]
            values = self._value_columns(numeric, one_only=described)
        return _Roles(time_index, clock_index, device, type_index, location, values), decimal

    def _device_column(self, free: list[int]) -> int | None:
        if self._declared.device_column is not None:
            index = self._table.find(self._declared.device_column, "--device")
            self._found("device", f"column {self._name(index)}", "declared")
            return index
        named = [index for index in indexes_named(self._table.names, naming.DEVICE) if index in free]
        for index in named:
            if self._table.cells(index):
                self._found("device", f"column {self._name(index)}", "detected")
                return index
        return None

    def _decimal(self, columns: list[int]) -> str:
        declared = self._declared.decimal
        if declared is not None:
            if declared not in {".", ","}:
                raise FileCannotBeImported("--decimal takes . or ,")
            self._found("decimal sign", declared, "declared")
            return declared
        try:
            signs = {detect_decimal(self._table.cells(index)) for index in self._judged(columns)}
        except DecimalSignCannotBeTold as error:
            message = f"Decimal sign: {error}."
            raise FileCannotBeImported(message) from None
        sign = "," if "," in signs else "."
        self._found("decimal sign", sign, "detected")
        return sign

    def _judged(self, columns: list[int]) -> list[int]:
        """Return the columns whose decimal sign counts: those declared to be values, else all that are left."""
        declared = self._declared.value_columns
        return [self._table.find(column, "--value") for column in declared] if declared else columns

    def _value_columns(self, numeric: list[int], *, one_only: bool) -> tuple[int, ...]:
        names = self._table.names
        if len(numeric) == 1:
            self._found("value", self._name(numeric[0]), "detected")
            return (numeric[0],)
        with_unit = [index for index in numeric if unit_in_name(names[index]) is not None]
        units = {unit_in_name(names[index]) for index in with_unit}
        several = len(with_unit) > 1 and len(units) == 1 and not one_only
        if len(with_unit) == 1 or several:
            self._found("value", ", ".join(self._name(index) for index in with_unit), "detected")
            return tuple(with_unit)
        found = ", ".join(self._name(index) for index in numeric) or "none"
        message = f"Which column is the value? Columns of numbers: {found}. Declare --value."
        raise FileCannotBeImported(message)

    def _value_column(self, index: int, roles: _Roles) -> ValueColumn:
        name = self._table.names[index]
        generic = not self._table.has_header or naming.is_generic(name)
        device = self._stem if generic and len(roles.values) == 1 else name.strip()
        if roles.device is None:
            self._found("device", repr(device), "detected", "after the file" if device == self._stem else "the column")
        return ValueColumn(index, name, device)

    def _points(self, roles: _Roles, times: TimeReader, decimal: str) -> Iterator[tuple[str, int, float]]:
        read = number_reader(decimal)
        for row in self._table.rows:
            if len(row) != len(self._table.names):
                continue
            try:
                day, clock = row[roles.time], roles.time_of_day
                instant = times.instant_us(day if clock is None else joined(day, row[clock]))
            except (NotATime, TimeDoesNotExist):
                continue
            if isinstance(instant, Ambiguous):
                continue
            for index in roles.values:
                device = row[roles.device] if roles.device is not None else str(index)
                if is_number(row[index], decimal):
                    try:
                        yield device, instant, read(row[index])
                    except NotANumber:
                        continue
