"""The points of a file of `timestamp,value`, line by line; what cannot be used is said, with its line, and left out."""

import csv
import gzip
import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import BinaryIO, Final, TextIO, cast

from energy_tracker.kit.problems import InvalidRequest

LONGEST_LINE: Final = 65_536
_TIME_NAMES: Final = ("timestamp", "time", "datetime", "date")
_VALUE_NAMES: Final = ("value",)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_EPOCH_MS_FROM: Final = 1e11
_EPOCH_MS_TO: Final = 1e14


@dataclass(frozen=True, slots=True)
class Point:
    """A point, and the texts that it was given as."""

    instant_s: float
    value: float
    instant_text: str
    value_text: str


@contextmanager
def opened(file: str) -> Iterator[TextIO]:
    """Open a file (`.gz` too), or standard input for `-`. Raises `OSError`."""
    if file == "-":
        yield _text(cast("BinaryIO", sys.stdin.buffer))
        return
    with Path(file).open("rb") as stream:
        yield _text(cast("BinaryIO", gzip.GzipFile(fileobj=stream)) if file.endswith(".gz") else stream)


def _text(stream: BinaryIO) -> TextIO:
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")


def numbered(lines: TextIO) -> Iterator[tuple[int, str]]:
    """Yield the lines that have something, with their numbers. Raises `InvalidRequest` where one does not end."""
    for number, line in enumerate(iter(lambda: lines.readline(LONGEST_LINE), ""), start=1):
        if len(line) == LONGEST_LINE and not line.endswith("\n"):
            message = f"Line {number} is longer than {LONGEST_LINE:,} characters; this is no file of timestamp,value."
            raise InvalidRequest(message)
        if not line.isspace():
            yield number, line


def epoch_s(since_1970: float) -> float:
    """Return seconds since 1970 of what may be milliseconds."""
    return since_1970 / 1000 if abs(since_1970) >= _EPOCH_MS_FROM else since_1970


def read_points(lines: TextIO, refused: Callable[[int, str], None]) -> Iterator[Point]:
    """Read points in the order of the file; `refused` is told the number of each line that is left out, and why.

    A first line whose time is none names the columns; without one they are the first two. Times are ISO-8601 (without
    an offset: UTC) or seconds or milliseconds since 1970. Raises `InvalidRequest` where a line does not end.
    """
    columns: tuple[int, int] | None = None
    for number, line in numbered(lines):
        try:
            cells = [cell.strip() for cell in next(csv.reader((line,)))]
        except csv.Error as error:
            refused(number, f"it is not CSV: {error}")
            continue
        if columns is None:
            columns = _columns(cells)
            if columns is not None:
                continue
            columns = (0, 1)
        try:
            yield _point(cells, columns)
        except ValueError as error:
            refused(number, str(error))


def _columns(cells: list[str]) -> tuple[int, int] | None:
    """Return where a header has the time and the value; None where the line is a point, if perhaps a bad one."""
    try:
        _instant_s(cells[0])
    except ValueError:
        names = [cell.lower() for cell in cells]
        time = next((names.index(name) for name in _TIME_NAMES if name in names), 0)
        value = next((names.index(name) for name in _VALUE_NAMES if name in names), 1 if time == 0 else 0)
        return time, value
    return None


def _point(cells: list[str], columns: tuple[int, int]) -> Point:
    time, value = columns
    if len(cells) <= max(columns):
        raise ValueError("it has too few columns")
    instant_text, value_text = cells[time], cells[value]
    instant_s = _instant_s(instant_text)
    if not value_text:
        raise ValueError("the value is missing")
    if _NUMBER.fullmatch(value_text) is None or not isfinite(float(value_text)):
        raise ValueError(f"{value_text[:40]!r} is no finite number")
    return Point(instant_s, float(value_text), instant_text, value_text)


def _instant_s(text: str) -> float:
    if _NUMBER.fullmatch(text) is not None and abs(float(text)) < _EPOCH_MS_TO:
        return epoch_s(float(text))
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text[:40]!r} is neither an ISO-8601 time nor seconds or milliseconds since 1970"
        raise ValueError(message) from None
    return (instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)).timestamp()
