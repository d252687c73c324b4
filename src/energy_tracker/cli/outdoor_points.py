"""Temperatures from files as weather services and sensors give them: what is not clear is refused, with its line."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, tzinfo
from math import isfinite
from typing import Final, NamedTuple, TextIO

from energy_tracker.cli.series_points import epoch_s, numbered
from energy_tracker.contracts.outdoor import COLDEST_C, FIRST_DAY, FORECAST, WARMEST_C
from energy_tracker.kit.problems import InvalidRequest

_TIMES: Final = frozenset({"timestamp", "time", "datetime", "date", "day", "valid"})
_VALUES: Final = re.compile(r"value|t|tavg|tmean|t2m|mean.*|temp.*|.*temperature.*", re.ASCII)
_FAHRENHEIT: Final = re.compile(r".*(°f|[ _(\[]f[)\]]?$|fahrenheit).*")
_DAY: Final = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)", re.ASCII)
_EPOCH: Final = re.compile(r"\d{9,13}(\.\d+)?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)", re.ASCII)
_MORNING_H, _EVENING_H = 6, 18


class Temperature(NamedTuple):
    """A temperature in °C of a local day; `hour` of the day, None where it is the day's own mean."""

    day: date
    hour: int | None
    degrees: float


class _Layout(NamedTuple):
    time: int
    value: int
    columns: int
    delimiter: str


def read_temperatures(
    lines: TextIO, zone: tzinfo, now: datetime, refused: Callable[[int, str], None]
) -> Iterator[Temperature]:
    """Read temperatures; `refused` is told the number of each line that is left out, and why.

    Times without an offset are the home's. Raises `InvalidRequest` where columns are not clear or a line has no end.
    """
    layout: _Layout | None = None
    latest = now.astimezone(zone).date() + FORECAST
    for number, line in numbered(lines):
        delimiter = layout.delimiter if layout else ";" if ";" in line else ","
        cells = [cell.strip() for cell in next(csv.reader((line,), delimiter=delimiter))]
        if layout is None:
            has_names = not _is_time(cells[0], zone)
            layout = _layout(cells, delimiter, has_names=has_names)
            if has_names:
                continue
        try:
            yield _temperature(cells, layout, zone, latest)
        except (ValueError, OverflowError) as error:
            refused(number, str(error))


def _layout(cells: Sequence[str], delimiter: str, *, has_names: bool) -> _Layout:
    """Return where the time and the temperature stand. Raises `InvalidRequest`."""
    names = [cell.lower() for cell in cells]
    times = [index for index, name in enumerate(names) if name in _TIMES] if has_names else [0]
    values = [index for index, name in enumerate(names) if _VALUES.fullmatch(name)] if has_names else []
    if len(cells) == 2:  # noqa: PLR2004 - a time and a temperature
        times, values = times or [0], values or [1]
    if not times or len(values) != 1 or times[0] == values[0]:
        shown = ", ".join(cells)[:200]
        raise InvalidRequest(f"Which column is the time and which the temperature is not clear from: {shown}")
    if has_names and _FAHRENHEIT.fullmatch(names[values[0]]):
        raise InvalidRequest(f"{cells[values[0]]!r} seems to be in °F; °C is needed.")
    return _Layout(times[0], values[0], len(cells), delimiter)


def _is_time(text: str, zone: tzinfo) -> bool:
    try:
        _when(text, zone)
    except (ValueError, OverflowError):
        return _NUMBER.fullmatch(text) is not None  # a line, if a bad one
    return True


def _temperature(cells: Sequence[str], layout: _Layout, zone: tzinfo, latest: date) -> Temperature:
    if len(cells) != layout.columns:
        message = f"it has {len(cells)} columns, not {layout.columns}"
        raise ValueError(message)
    day, hour = _when(cells[layout.time], zone)
    text = cells[layout.value]
    if layout.delimiter == ";":
        text = text.replace(",", ".")
    degrees = float(text) if _NUMBER.fullmatch(text) else float("nan")
    if not isfinite(degrees) or not COLDEST_C <= degrees <= WARMEST_C:
        message = f"{text[:40]!r} is no outdoor temperature in °C"
        raise ValueError(message)
    if not FIRST_DAY <= day <= latest:
        message = f"{day} is none of the days from {FIRST_DAY} to {latest}"
        raise ValueError(message)
    return Temperature(day, hour, degrees)


def _when(text: str, zone: tzinfo) -> tuple[date, int | None]:
    if found := _DAY.fullmatch(text):
        return date(*map(int, found.groups())), None
    if _EPOCH.fullmatch(text):
        instant = datetime.fromtimestamp(epoch_s(float(text)), UTC)
    else:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            message = f"{text[:40]!r} is neither a date, an ISO-8601 time nor seconds or milliseconds since 1970"
            raise ValueError(message) from None
    local = instant.replace(tzinfo=zone) if instant.tzinfo is None else instant.astimezone(zone)
    return local.date(), local.hour


class DailyMeans:
    """The means of days: those that are given as such, and those of which morning and evening are there."""

    def __init__(self) -> None:
        self._given: dict[date, float] = {}
        self._sums: dict[date, tuple[float, int, int, int]] = {}

    def add(self, one: Temperature) -> None:
        """Take one more."""
        if one.hour is None:
            self._given[one.day] = one.degrees
            return
        total, count, first, last = self._sums.get(one.day, (0.0, 0, one.hour, one.hour))
        self._sums[one.day] = (total + one.degrees, count + 1, min(first, one.hour), max(last, one.hour))

    def means(self) -> dict[date, float]:
        """Return the mean of each day that is whole, in °C."""
        whole = {
            day: total / count
            for day, (total, count, first, last) in self._sums.items()
            if first <= _MORNING_H and last >= _EVENING_H
        }
        return dict(sorted((whole | self._given).items()))

    def parts(self) -> int:
        """Return how many days are there only in part."""
        return len(self._sums.keys() - self.means().keys())
