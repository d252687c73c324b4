"""Temperatures as weather services and sensors write them: what is not clear is refused, not guessed."""

import io
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from energy_tracker.cli.outdoor_points import DailyMeans, Temperature, read_temperatures
from energy_tracker.kit.problems import InvalidRequest

ZONE = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 27, tzinfo=UTC)
DAY = date(2026, 11, 20)


def read(text: str) -> tuple[list[Temperature], list[str]]:
    refused: list[str] = []
    found = read_temperatures(io.StringIO(text), ZONE, NOW, lambda line, why: refused.append(f"{line}: {why}"))
    return list(found), refused


@pytest.mark.parametrize(
    ("text", "hour", "degrees"),
    [
        ("2026-11-20,-2.5\n", None, -2.5),
        ("20261120,-2.5\n", None, -2.5),
        ("date,humidity,temperature\n2026-11-20,81,-2.5\n", None, -2.5),
        ("station,date,tavg\n4711,2026-11-20,-2.5\n", None, -2.5),
        ("when,outside\n2026-11-20,3\n", None, 3.0),
        ("day;temp\n2026-11-20;-2,5\n", None, -2.5),
        ("2026-11-20T23:30,4\n", 23, 4.0),
        ("2026-11-21T04:30:00Z,4\n", 23, 4.0),
        ("1795235400,4\n", 23, 4.0),
        ("1795235400000,4\n", 23, 4.0),
    ],
)
def test_what_is_clear_is_read(text: str, hour: int | None, degrees: float) -> None:
    assert read(text) == ([Temperature(DAY, hour, degrees)], [])


@pytest.mark.parametrize(
    "line",
    [
        "2026112012,5",
        "-90000000000,5",
        "0001-01-01T00:00:00Z,5",
        "2026-12-24,5",
        "2026-11-20,-99",
        "2026-11-20,1e308",
        "2026-11-20,nan",
        "2026-11-20,",
        "2026-11-20,-2,5",
        "yesterday,1",
    ],
)
def test_a_line_that_says_something_else_is_left_out(line: str) -> None:
    found, refused = read(f"2026-11-20,1\n{line}\n")
    assert (len(found), len(refused)) == (1, 1)
    assert refused[0].startswith("2: ")


@pytest.mark.parametrize(
    "header",
    [
        "latitude,longitude,elevation",
        "date,humidity,pressure",
        "date,temp_min,temp_max",
        "date,temperature_f",
        "date,temperature (\N{DEGREE SIGN}F)",
    ],
)
def test_columns_that_are_not_clear_are_not_guessed(header: str) -> None:
    with pytest.raises(InvalidRequest):
        read(header + "\n2026-11-20,1,2\n")


def test_a_day_is_known_once_morning_and_evening_are_there() -> None:
    means = DailyMeans()
    for hour, degrees in ((0, 1.0), (12, 5.0), (23, 3.0)):
        means.add(Temperature(DAY, hour, degrees))
    means.add(Temperature(date(2026, 11, 21), 23, 30.0))
    means.add(Temperature(date(2026, 11, 22), None, 7.0))
    assert means.means() == {DAY: 3.0, date(2026, 11, 22): 7.0}
    assert means.parts() == 1
