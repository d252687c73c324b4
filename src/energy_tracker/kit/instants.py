"""Instants and durations on the wire and as integers of milliseconds."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

MS_PER_SECOND = 1_000
MS_PER_MINUTE = 60 * MS_PER_SECOND
MS_PER_QUARTER_HOUR = 15 * MS_PER_MINUTE
MS_PER_HOUR = 60 * MS_PER_MINUTE
MS_PER_DAY = 24 * MS_PER_HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,6})M)?(?:(?P<seconds>\d{1,9}(?:\.\d{1,3})?)S)?)?",
    re.ASCII,
)


NO_ZONE_NAMES = frozenset({"localtime", "Factory"})
"""Files beside those of the zones: whatever this machine is set to, and nothing."""


class InvalidDuration(ValueError):
    """The text is not an ISO-8601 duration of weeks, days, hours, minutes and seconds."""


def to_ms(instant: datetime) -> int:
    """Return an aware instant as whole milliseconds since 1970, rounded down."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(instant_ms: int) -> datetime:
    """Return milliseconds since 1970 as an aware instant in UTC."""
    return _EPOCH + timedelta(milliseconds=instant_ms)


def to_iso(instant_ms: int) -> str:
    """Write milliseconds since 1970 as ISO-8601 in UTC with `Z`; milliseconds only where there are any."""
    text = from_ms(instant_ms).isoformat(timespec="milliseconds" if instant_ms % MS_PER_SECOND else "seconds")
    return text.replace("+00:00", "Z")


def quarter_hour_start(instant_ms: int) -> int:
    """Return the start, in ms since 1970, of the UTC quarter-hour that holds the instant."""
    return instant_ms - instant_ms % MS_PER_QUARTER_HOUR


def zone_names() -> frozenset[str]:
    """Return the IANA names of time zones."""
    return frozenset(available_timezones() - NO_ZONE_NAMES)


def parse_duration(text: str) -> timedelta:
    """Read an ISO-8601 duration such as `PT5M` or `P1DT12H`.

    Years and months are refused: their length depends on the calendar.
    Raises `InvalidDuration`.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()) or text.endswith("T"):
        message = f"{text[:40]!r} is not an ISO-8601 duration such as PT5M or P1DT12H"
        raise InvalidDuration(message)
    return timedelta(**{unit: float(amount) for unit, amount in match.groupdict().items() if amount})


def format_duration(duration: timedelta) -> str:
    """Write a duration in ISO-8601, in days, hours, minutes and seconds."""
    total_ms = duration // _MILLISECOND
    days, rest = divmod(total_ms, MS_PER_DAY)
    hours, rest = divmod(rest, MS_PER_HOUR)
    minutes, rest = divmod(rest, MS_PER_MINUTE)
    seconds = f"{rest / MS_PER_SECOND:.3f}".rstrip("0").rstrip(".")
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "") + (f"{seconds}S" if rest else "")
    date = f"{days}D" if days else ""
    return f"P{date}T{time}" if time else f"P{date}" if date else "PT0S"
