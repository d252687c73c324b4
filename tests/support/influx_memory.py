"""InfluxDB in memory: it takes line protocol, keeps points as InfluxDB 2.7 does, and answers the InfluxQL asked here.

Points of one series and time are one point, whose fields are overwritten one by one. What InfluxQL is not asked for by
this project is refused, so that a new question is tried on the real one first.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from energy_tracker.storage.influx import RefusedLine, Series

Value = float | int | str
Tags = tuple[tuple[str, str], ...]

_LINE: Final = re.compile(r"([^,\s]+)((?:,[^=\s]+=[^,\s]+)*) (.+) (-?\d+)", re.DOTALL)
_FIELD: Final = re.compile(r'([^=,\s]+)=("(?:[^"\\]|\\.)*"|[^,\s]+)(,|\Z)', re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["\\])')
_STATEMENT: Final = re.compile(
    r"SELECT (?P<fields>.+?) FROM (?P<from>.+?) WHERE (?P<where>.+?)"
    r"(?: GROUP BY (?P<group>.+?))?(?P<newest> ORDER BY time DESC)?(?: LIMIT (?P<limit>\d+))?"
)
_CONDITION: Final = re.compile(r"(\w+) (=|=~|>=|<) (?:'([^']*)'|/\^\(([\d|]+)\)\$/|(-?\d+))")
_LAST: Final = re.compile(r"last\((\w+)\) AS (\w+)")
_PREDICATE: Final = re.compile(r'(?:_measurement="(?P<measurement>\w+)" AND )?deviceId="(?P<device>\d+)"')
_END_NS: Final = 2**63


def parse_line(line: str) -> tuple[str, Tags, dict[str, Value], int]:
    """Return measurement, tags, fields and time of a line. Raises `ValueError`."""
    found = _LINE.fullmatch(line)
    if found is None:
        message = f"unable to parse {line!r}"
        raise ValueError(message)
    measurement, tags, fields, time = found.groups()
    return measurement, _tags(tags), dict(_fields(fields)), int(time)


def _tags(text: str) -> Tags:
    pairs = (part.partition("=") for part in text.split(",")[1:])
    return tuple(sorted((name, value) for name, _, value in pairs))


def _fields(text: str) -> Iterator[tuple[str, Value]]:
    at, more = 0, ","
    while more:
        found = _FIELD.match(text, at)
        if found is None:
            message = f"unable to parse the fields {text[at:]!r}"
            raise ValueError(message)
        name, value, more = found.groups()
        at = found.end()
        if value[0] == '"':
            yield name, _ESCAPED.sub(r"\1", value[1:-1])
        elif value[-1] == "i":
            yield name, int(value[:-1])
        else:
            yield name, float(value)


@dataclass
class InfluxMemory:
    """Stands for `InfluxDatabase`; points before `oldest_ns` are beyond its retention."""

    oldest_ns: int = -_END_NS
    writes: int = 0
    _points: dict[str, dict[Tags, dict[int, dict[str, Value]]]] = field(default_factory=dict)
    _types: dict[tuple[str, str], type] = field(default_factory=dict)

    async def write(self, lines: Sequence[str]) -> list[RefusedLine]:
        """Take all lines but those that are returned."""
        self.writes += 1
        refused = ((index, self.take(line)) for index, line in enumerate(lines))
        return [RefusedLine(index, reason) for index, reason in refused if reason is not None]

    def take(self, line: str) -> str | None:
        """Take a line, or return why not."""
        measurement, tags, fields, time = parse_line(line)
        if time < self.oldest_ns:
            return "points beyond retention policy dropped=1"
        for name, value in fields.items():
            expected = self._types.setdefault((measurement, name), type(value))
            if expected is not type(value):
                return f'field type conflict: input field "{name}" on measurement "{measurement}"'
        self._points.setdefault(measurement, {}).setdefault(tags, {}).setdefault(time, {}).update(fields)
        return None

    async def query(self, influxql: str) -> list[list[Series]]:
        """Answer each statement."""
        return [self._answer(statement) for statement in influxql.split(";")]

    async def delete(self, predicate: str, *, from_ms: int, to_ms: int) -> None:
        """Delete the points of `[from_ms, to_ms)` of a device, in one measurement or all."""
        found = _PREDICATE.fullmatch(predicate)
        assert found is not None, predicate
        for measurement, all_series in self._points.items():
            if found["measurement"] not in {None, measurement}:
                continue
            for tags, points in all_series.items():
                if dict(tags).get("deviceId") == found["device"]:
                    for time in [time for time in points if from_ms <= time // 1_000_000 < to_ms]:
                        del points[time]

    def _answer(self, statement: str) -> list[Series]:
        found = _STATEMENT.fullmatch(statement)
        assert found is not None, statement
        conditions, first, end = _conditions(found["where"])
        last = _LAST.fullmatch(found["fields"])
        names = [last[1]] if last else found["fields"].split(", ")
        columns = ("time", last[2] if last else names[0], *names[1:])
        group = found["group"].split(", ") if found["group"] else []
        limit = 1 if last else int(found["limit"] or _END_NS)
        answer: list[Series] = []
        for measurement in sorted(found["from"].split(", ")):
            groups: dict[tuple[str, ...], list[list[Any]]] = {}
            for tags, points in self._points.get(measurement, {}).items():
                known = dict(tags)
                if not all(_holds(known, *condition) for condition in conditions):
                    continue
                rows = groups.setdefault(tuple(known.get(name, "") for name in group), [])
                for time, fields in points.items():
                    if first <= time < end:
                        row = [fields.get(name) for name in names]
                        if any(value is not None for value in row):
                            rows.append([time, *row])
            for key, rows in sorted(groups.items()):
                rows.sort(key=lambda row: row[0], reverse=bool(found["newest"] or last))
                if rows:
                    answer.append(Series(columns, rows[:limit], measurement, dict(zip(group, key, strict=True))))
        return answer


def _conditions(text: str) -> tuple[list[tuple[str, str, str]], int, int]:
    conditions: list[tuple[str, str, str]] = []
    first, end = -_END_NS, _END_NS
    for part in text.split(" AND "):
        found = _CONDITION.fullmatch(part)
        assert found is not None, part
        name, operator, text_value, choice, number = found.groups()
        if name == "time":
            if operator == ">=":
                first = max(first, int(number))
            else:
                end = min(end, int(number))
        else:
            conditions.append((name, operator, choice if operator == "=~" else text_value))
    return conditions, first, end


def _holds(tags: Mapping[str, str], name: str, operator: str, value: str) -> bool:
    if operator == "=~":
        return tags.get(name, "") in value.split("|")
    return tags.get(name, "") == value
