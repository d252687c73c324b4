"""Instants and durations keep their meaning on the way to the wire and back."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.kit.instants import (
    MS_PER_QUARTER_HOUR,
    InvalidDuration,
    format_duration,
    from_ms,
    parse_duration,
    quarter_hour_start,
    to_iso,
    to_ms,
    zone_names,
)

INSTANTS_MS = st.integers(-2_000_000_000_000, 32_000_000_000_000)


@given(INSTANTS_MS)
def test_milliseconds_survive_the_way_through_a_datetime_and_through_text(instant_ms: int) -> None:
    assert to_ms(from_ms(instant_ms)) == instant_ms
    text = to_iso(instant_ms)
    assert text.endswith("Z")
    assert to_ms(datetime.fromisoformat(text)) == instant_ms


@given(INSTANTS_MS)
def test_an_instant_lies_in_its_quarter_hour(instant_ms: int) -> None:
    start = quarter_hour_start(instant_ms)
    assert start <= instant_ms < start + MS_PER_QUARTER_HOUR
    assert from_ms(start).minute % 15 == from_ms(start).second == 0


def test_microseconds_are_rounded_down() -> None:
    assert to_ms(datetime(1970, 1, 1, 0, 0, 0, 1_999, tzinfo=UTC)) == 1
    assert to_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


@given(st.integers(0, 400 * 86_400_000))
def test_a_duration_reads_back_as_written(duration_ms: int) -> None:
    duration = timedelta(milliseconds=duration_ms)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT5M", timedelta(minutes=5)),
        ("P1DT12H", timedelta(days=1, hours=12)),
        ("P2W", timedelta(weeks=2)),
        ("PT0.250S", timedelta(milliseconds=250)),
        ("PT0S", timedelta(0)),
    ],
)
def test_reads_a_duration(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "5M", "PT5", "P1Y", "P1M", "-PT5M", "PT5M ", "PT\u0665M", "PT1.5M"]
)
def test_refuses_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidDuration):
        parse_duration(text)


def test_what_this_machine_is_set_to_is_no_zone() -> None:
    assert {"UTC", "Europe/Berlin", "Asia/Kathmandu"} <= zone_names()
    assert not {"localtime", "Factory", "posixrules"} & zone_names()
