"""Times as files write them, to microseconds since 1970."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, assert_never
from zoneinfo import ZoneInfo

US_PER_SECOND: Final = 1_000_000
US_PER_MS: Final = 1_000

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock times of a zone are counted from here, too
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# No zone changes its clock twice within six hours: an offset at both ends of a stretch holds in all of it.
_STRETCH_US = 6 * 3_600 * US_PER_SECOND
_CACHE_LIMIT = 50_000
_NOON = 12

_ISO = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?P<offset>Z|z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
_PARTED = re.compile(
    r"(\d{1,4})([./-])(\d{1,2})\2(\d{4}|\d{1,2})"
    r"(?:[T ,]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,6}))?)?(?: ?([AaPp])\.?[Mm]\.?)?)?",
    re.ASCII,
)
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,6})?)?(?: ?[AaPp]\.?[Mm]\.?)?", re.ASCII)
_EPOCH_NUMBER = re.compile(r"-?\d{1,16}(?:\.\d{1,9})?", re.ASCII)


class TimeFormat(StrEnum):
    """How a column writes times."""

    ISO = "iso"
    """2026-03-29T01:30:00+01:00, 2026-03-29 01:30"""
    DAY_FIRST = "dmy"
    """29.03.2026 01:30, 29/3/2026 1:30:00"""
    MONTH_FIRST = "mdy"
    """03/29/2026 1:30 AM"""
    YEAR_FIRST = "ymd"
    """2026/03/29 01:30"""
    EPOCH_SECONDS = "epoch-s"
    """1774747800: seconds since 1970 UTC, only when declared"""
    EPOCH_MILLISECONDS = "epoch-ms"
    """1774747800000: milliseconds since 1970 UTC, only when declared"""


class NotATime(ValueError):
    """The text is not a time in the format of its column."""


class TimeDoesNotExist(ValueError):
    """The zone's clock skipped this time."""


class Ambiguous(NamedTuple):
    """A wall-clock time that the zone's clock showed twice, as the two instants in µs since 1970."""

    first_us: int
    second_us: int
    local_us: int


class FormatCannotBeTold(ValueError):
    """Day and month could be exchanged, or no known format fits."""


def has_offset(text: str) -> bool:
    """Return whether an ISO time carries its own offset."""
    match = _ISO.fullmatch(text)
    return match is not None and match["offset"] is not None


def looks_like_time(text: str) -> bool:
    """Return whether a text is in one of the formats that need no declaring."""
    return bool(_formats_of(text))


def is_day(text: str) -> bool:
    """Return whether a text is a day without a time of day."""
    return looks_like_time(text) and ":" not in text


def is_time_of_day(text: str) -> bool:
    """Return whether a text is a time of day alone, such as 01:30 or 1:30:00 PM."""
    return _TIME_OF_DAY.fullmatch(text) is not None


def joined(day: str, time_of_day: str) -> str:
    """Return a day and a time of day from two columns as the one text of a time."""
    time_of_day = time_of_day.strip()
    return f"{day.strip()} {'0' if time_of_day[1:2] == ':' else ''}{time_of_day}"


def detect_format(texts: Iterable[str]) -> TimeFormat:
    """Return the one format that fits all texts that look like times. Raises `FormatCannotBeTold`."""
    fitting = [formats for text in texts if (formats := _formats_of(text))]
    candidates = set.intersection(*fitting) if fitting else set()
    if len(candidates) == 1:
        return candidates.pop()
    message = (
        "the days are all 12 or less, so day and month may be exchanged: declare --time-format dmy or mdy"
        if candidates
        else "the times are not all in one format"
    )
    raise FormatCannotBeTold(message)


def _formats_of(text: str) -> set[TimeFormat]:
    if _ISO.fullmatch(text):
        return {TimeFormat.ISO}
    match = _PARTED.fullmatch(text)
    if match is None:
        return set()
    first, mark, second = int(match[1]), match[2], int(match[3])
    if len(match[1]) == 4:  # noqa: PLR2004 - a year has four digits
        return {TimeFormat.YEAR_FIRST}
    if mark == ".":
        return {TimeFormat.DAY_FIRST}
    months = 12
    fitting = set()
    if second <= months:
        fitting.add(TimeFormat.DAY_FIRST)
    if first <= months:
        fitting.add(TimeFormat.MONTH_FIRST)
    return fitting


def _read_iso(text: str) -> datetime:
    if _ISO.fullmatch(text) is None:
        raise NotATime(text)
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        raise NotATime(text) from None


def _parted_reader(year: int, month: int, day: int) -> Callable[[str], datetime]:
    def read(text: str) -> datetime:
        match = _PARTED.fullmatch(text)
        if match is None:
            raise NotATime(text)
        fraction = (match[8] or "").ljust(6, "0")
        hour, half = int(match[5] or 0), (match[9] or "").upper()
        if half and not 1 <= hour <= _NOON:
            raise NotATime(text)
        if half:
            hour = hour % _NOON + (_NOON if half == "P" else 0)
        years = int(match[year])
        try:
            return datetime(  # noqa: DTZ001 - a wall-clock time; the zone is put on by the caller
                years + 2000 if years < 100 else years,  # noqa: PLR2004 - two digits, of this century
                int(match[month]), int(match[day]), hour, int(match[6] or 0), int(match[7] or 0), int(fraction),
            )  # fmt: skip
        except ValueError:
            raise NotATime(text) from None

    return read


def _reader(time_format: TimeFormat) -> Callable[[str], datetime]:
    match time_format:
        case TimeFormat.ISO:
            return _read_iso
        case TimeFormat.DAY_FIRST:
            return _parted_reader(4, 3, 1)
        case TimeFormat.MONTH_FIRST:
            return _parted_reader(4, 1, 3)
        case TimeFormat.YEAR_FIRST:
            return _parted_reader(1, 3, 4)
        case TimeFormat.EPOCH_SECONDS | TimeFormat.EPOCH_MILLISECONDS:
            scale = US_PER_SECOND if time_format is TimeFormat.EPOCH_SECONDS else US_PER_MS

            def read(text: str) -> datetime:
                if _EPOCH_NUMBER.fullmatch(text) is None:
                    raise NotATime(text)
                whole, _, fraction = text.partition(".")
                try:
                    return _EPOCH_UTC + (int(whole) * scale + round(float(f"0.{fraction or 0}") * scale)) * _MICROSECOND
                except OverflowError:
                    raise NotATime(text) from None

            return read
        case _:
            assert_never(time_format)


class TimeReader:
    """Reads the times of one column; remembers texts and zone offsets, since files repeat them."""

    def __init__(self, time_format: TimeFormat, zone: str | None) -> None:
        self._read = _reader(time_format)
        self._zone = ZoneInfo(zone) if zone is not None else None
        self._offsets: dict[int, int | None] = {}
        self._seen: dict[str, int | Ambiguous] = {}

    def instant_us(self, text: str) -> int | Ambiguous:
        """Return µs since 1970, or both instants of a time that a zone's clock showed twice.

        Raises `NotATime` (also for a time without an offset where no zone is known) and `TimeDoesNotExist`.
        """
        instant = self._seen.get(text)
        if instant is None:
            if len(self._seen) >= _CACHE_LIMIT:
                self._seen.clear()
            instant = self._seen[text] = self._to_us(self._read(text.strip()))
        return instant

    def _to_us(self, moment: datetime) -> int | Ambiguous:
        if moment.tzinfo is not None:
            return (moment - _EPOCH_UTC) // _MICROSECOND
        if self._zone is None:
            raise NotATime(moment.isoformat())
        local_us = (moment - _EPOCH) // _MICROSECOND
        offset_us = self._constant_offset(local_us // _STRETCH_US)
        return local_us - offset_us if offset_us is not None else self._at_a_change(moment, local_us)

    def _constant_offset(self, stretch: int) -> int | None:
        """Return the zone's offset in µs in a stretch of wall-clock time, None where it is not one and the same."""
        if stretch not in self._offsets:
            first = _EPOCH + stretch * _STRETCH_US * _MICROSECOND
            last = first + timedelta(microseconds=_STRETCH_US - 1)
            offsets = {_offset_us(edge, self._zone, fold) for edge in (first, last) for fold in (0, 1)}
            self._offsets[stretch] = offsets.pop() if len(offsets) == 1 else None
        return self._offsets[stretch]

    def _at_a_change(self, moment: datetime, local_us: int) -> int | Ambiguous:
        before = _offset_us(moment, self._zone, 0)
        after = _offset_us(moment, self._zone, 1)
        if before == after:
            return local_us - before
        if before < after:  # PEP 495: in a gap, fold=0 takes the offset before it, which is the smaller
            raise TimeDoesNotExist(moment.isoformat(sep=" "))
        return Ambiguous(local_us - before, local_us - after, local_us)


def _offset_us(moment: datetime, zone: ZoneInfo | None, fold: int) -> int:
    offset = moment.replace(tzinfo=zone, fold=fold).utcoffset()
    return 0 if offset is None else offset // _MICROSECOND
