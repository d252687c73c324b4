"""Findings in words: about a device or the home, with amounts where they say something, and an end."""

from datetime import UTC

import pytest
from tests.support.energy import DAY, HOUR, T0_MS

from energy_tracker.services.usage.model.detection.findings import Comparison, Finding, Kind, Measure
from energy_tracker.services.usage.unusual_words import describe


def finding(kind: Kind, measure: Measure, *, seen: int = 45_700, expected: int = 1_000, extra: int = 0) -> Finding:
    comparison = Comparison(measure, T0_MS, T0_MS + DAY, seen, expected, expected, expected)
    return Finding("opened", 1, kind, T0_MS, T0_MS + DAY, 200, extra, comparison)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("measure", Measure)
@pytest.mark.parametrize("name", ["Fridge", None])
def test_every_kind_is_told_of_a_device_and_of_a_home(kind: Kind, measure: Measure, name: str | None) -> None:
    text = describe(finding(kind, measure), name, ended_ms=None, zone=UTC)
    assert text.startswith(f"{name or 'The home'} ")
    assert text.endswith(".")
    assert ": ," not in text
    assert "kWh a month" not in text


@pytest.mark.parametrize(
    ("measure", "seen", "expected", "words"),
    [
        (Measure.FLOOR, 45_700, 1_000, ": 45.7 W, where 1 W is usual."),
        (Measure.PEAK, 2_411_000, 900_000, ": 2.41 kW, where 900 W is usual."),
        (Measure.RUN, 600, 45, ": 10 hours, where 45 minutes is usual."),
        (Measure.REST, 2_400, 0, ": for 40 hours."),
        (Measure.DUTY, 54, 20, ": 13.5 hours of use a day, where 5.0 hours of use a day is usual."),
        (Measure.STARTS, 30, 12, ": 30 starts a day, where 12 starts a day is usual."),
        (Measure.SHAPE, 99, 1, "2026-06-01 00:00."),
    ],
)
def test_amounts_have_their_units(measure: Measure, seen: int, expected: int, words: str) -> None:
    text = describe(finding(Kind.DRAWS_MORE, measure, seen=seen, expected=expected), "TV", ended_ms=None, zone=UTC)
    assert words in text


def test_more_and_less_power_is_told_as_energy_of_a_month() -> None:
    more = describe(finding(Kind.STANDBY_UP, Measure.FLOOR, extra=50_000), "TV", ended_ms=None, zone=UTC)
    assert "That is 50 W more on average, 36 kWh a month if it goes on." in more
    less = describe(finding(Kind.DEAD, Measure.REST, extra=-650_000), "TV", ended_ms=None, zone=UTC)
    assert "That is 650 W less on average" in less


def test_an_end_and_what_is_called_normal_are_told_as_such() -> None:
    ended = describe(finding(Kind.SILENT, Measure.SILENCE), "TV", ended_ms=T0_MS + 3 * HOUR, zone=UTC)
    assert ended.startswith("TV is as usual again since 2026-06-01 03:00")
    normal = describe(finding(Kind.SILENT, Measure.SILENCE), "TV", ended_ms=T0_MS, is_normal=True, zone=UTC)
    assert "was called normal" in normal
