"""The shape of a file: its separator, its header, and the columns by name or position."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from energy_tracker.services.ingestion.imports.model import FileCannotBeImported
from energy_tracker.services.ingestion.imports.numbers import is_number
from energy_tracker.services.ingestion.imports.times import looks_like_time

HEAD_ROWS: Final = 2_000
SEPARATORS: Final = (",", ";", "\t", "|")
SEPARATOR_NAMES: Final = {"\t": "TAB", ",": "comma", ";": "semicolon", "|": "bar"}
MOSTLY: Final = 0.8


@dataclass(frozen=True, slots=True)
class Table:
    """The first rows of a file. `names` are the header's cells, or positions from 1 where there is no header.

    `preamble_lines` is how many lines of text stand above the header or the first row.
    """

    separator: str
    names: tuple[str, ...]
    has_header: bool
    rows: tuple[tuple[str, ...], ...]
    preamble_lines: int = 0

    def cells(self, index: int) -> list[str]:
        """Return the cells of one column that are not empty, stripped."""
        return [cell for row in self.rows if index < len(row) and (cell := row[index].strip())]

    def find(self, column: str, option: str) -> int:
        """Return the index of a column by its name (small and large letters alike) or its position from 1.

        Raises `FileCannotBeImported`, naming the columns that there are.
        """
        wanted = column.strip().casefold()
        found = [index for index, name in enumerate(self.names) if name.strip().casefold() == wanted]
        exact = [index for index in found if self.names[index].strip() == column.strip()]
        if len(exact) == 1 or len(found) == 1:
            return (exact if len(exact) == 1 else found)[0]
        if found:
            message = f"{option}: {len(found)} columns are named {column!r}; name one by its position from 1."
            raise FileCannotBeImported(message)
        if wanted.isdecimal() and 1 <= int(wanted) <= len(self.names):
            return int(wanted) - 1
        names = ", ".join(repr(name) for name in self.names[:30])
        message = f"{option}: there is no column {column[:80]!r}; the columns are {names}."
        raise FileCannotBeImported(message)

    def mostly(self, index: int, kind: str, decimal: str = ".") -> bool:
        """Return whether a column holds times or numbers nearly everywhere (`kind` is `time` or `number`)."""
        cells = self.cells(index)
        fitting = sum(looks_like_time(cell) if kind == "time" else is_number(cell, decimal) for cell in cells)
        return bool(cells) and fitting >= MOSTLY * len(cells)


def read_table(head: Sequence[str], declared_separator: str | None) -> Table:
    """Find the separator and the header of a file's first lines. Raises `FileCannotBeImported`."""
    if declared_separator is not None:
        if len(declared_separator) != 1 or declared_separator in '"\r\n':
            raise FileCannotBeImported("--separator takes one character, such as ';' (or TAB).")
        return _table(head, declared_separator)
    tables = [table for separator in SEPARATORS if (table := _fitting_table(head, separator)) is not None]
    if not tables:
        raise FileCannotBeImported(
            "No separator (comma, semicolon, TAB, bar) parts the lines into columns with a time: declare --separator."
        )
    return max(tables, key=lambda table: len(table.names))


def _fitting_table(head: Sequence[str], separator: str) -> Table | None:
    try:
        table = _table(head, separator)
    except FileCannotBeImported:
        return None
    same_width = sum(len(row) == len(table.names) for row in table.rows)
    fits = len(table.names) > 1 and same_width >= MOSTLY * len(table.rows)
    timed = any(table.mostly(index, "time") or _integers(table, index) for index in range(len(table.names)))
    return table if fits and timed else None


def _integers(table: Table, index: int) -> bool:
    cells = table.cells(index)
    return bool(cells) and all(cell.isdecimal() for cell in cells)


def _table(head: Sequence[str], separator: str) -> Table:
    rows: list[tuple[str, ...]] = []
    starts: list[int] = []
    reader = csv.reader(head, delimiter=separator, strict=True)
    try:
        line = 0
        for row in islice(reader, HEAD_ROWS + 1):
            if row:
                rows.append(tuple(row))
                starts.append(line)
            line = reader.line_num
    except csv.Error as error:
        if len(rows) <= 1:
            message = f"The file cannot be read as CSV: {error}. Is a quotation mark not closed?"
            raise FileCannotBeImported(message) from None
    if not rows:
        raise FileCannotBeImported("The file has no rows.")
    first = _first_row(rows)
    preamble_lines = starts[first]
    rows = rows[first:]
    has_header = _is_header(rows[0])
    if has_header and len(rows) == 1:
        raise FileCannotBeImported("The file has a header and no rows.")
    names = rows[0] if has_header else tuple(str(position) for position in range(1, len(rows[0]) + 1))
    return Table(separator, tuple(names), has_header, tuple(rows[1:] if has_header else rows), preamble_lines)


def _first_row(rows: Sequence[tuple[str, ...]]) -> int:
    """Return where the table begins: 0, unless lines of another width stand above its header or its first row."""
    first = next((index for index, row in enumerate(rows) if _is_data(row)), 0)
    width, timed = len(rows[first]), _timed(rows[first])
    while first and timed and len(rows[first - 1]) == width and _timed(rows[first - 1]) == timed:
        first -= 1  # a row without a number yet
    above = rows[:first]
    if all(len(row) == width for row in above) and not (above and not _is_header(above[0])):
        return 0
    headers = [index for index, row in enumerate(above) if len(row) == width and _is_header(row)]
    if headers:
        return headers[-1]
    return first if len(above) > 1 or len(above[0]) == 1 else 0


def _timed(row: Sequence[str]) -> list[int]:
    return [index for index, cell in enumerate(row) if looks_like_time(cell.strip())]


def _is_header(row: Sequence[str]) -> bool:
    return not any(looks_like_time(cell.strip()) or is_number(cell, ".") for cell in row)


def _is_data(row: Sequence[str]) -> bool:
    timed = any(looks_like_time(cell.strip()) for cell in row)
    return timed and any(is_number(cell.strip(), ".") or is_number(cell.strip(), ",") for cell in row)


def indexes_named(names: Iterable[str], wanted: Sequence[str]) -> list[int]:
    """Return the columns whose name is one of `wanted`, those named by an earlier one first."""
    keys = ["".join(filter(str.isalnum, name.casefold())) for name in names]
    return [index for word in wanted for index, key in enumerate(keys) if key == word]
