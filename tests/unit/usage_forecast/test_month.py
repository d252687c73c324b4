"""What a month will have used."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, to_ms
from energy_tracker.services.usage.model.forecast.hours import HourUse, TooLittleHistory
from energy_tracker.services.usage.model.forecast.month import expect_month

FIRST = date(2026, 2, 1)
BEGIN_MS = to_ms(datetime(2026, 2, 1, tzinfo=UTC))


def test_a_constant_use_is_continued_through_a_month_that_loses_an_hour(homes):
    history = homes.hours(FIRST, 38, lambda _day, _slot: 0.5)
    made = expect_month(history, zone=homes.zone, at_ms=homes.at(2026, 3, 11))
    assert made.month == date(2026, 3, 1)
    assert made.so_far_kwh == pytest.approx(120)
    assert made.gaps_kwh == pytest.approx(0)
    assert made.expected_kwh == pytest.approx(0.5 * (31 * 24 - 1))
    assert made.low_kwh < made.expected_kwh < made.high_kwh


def test_the_range_narrows_to_what_was_measured(homes):
    history = homes.lived_in(FIRST, 59)
    widths = []
    for day in (5, 15, 25, 31):
        made = expect_month(history, zone=homes.zone, at_ms=homes.at(2026, 3, day))
        widths.append(made.high_kwh - made.low_kwh)
        assert made.low_kwh >= made.so_far_kwh
    assert widths == sorted(widths, reverse=True)
    actual = sum(hour.energy_kwh for hour in history if hour.start_ms >= homes.at(2026, 3, 1))
    last = expect_month(history, zone=homes.zone, at_ms=homes.at(2026, 4, 1) - MS_PER_HOUR)
    assert last.expected_kwh == pytest.approx(actual, rel=0.01)


def test_gaps_are_estimated_and_named(homes):
    missing = {date(2026, 3, 3), date(2026, 3, 4)}
    made = expect_month(
        homes.hours(FIRST, 38, lambda _day, _slot: 0.5, missing), zone=homes.zone, at_ms=homes.at(2026, 3, 11)
    )
    assert made.so_far_kwh == pytest.approx(96)
    assert made.gaps_kwh == pytest.approx(24, rel=0.01)
    assert made.expected_kwh == pytest.approx(0.5 * (31 * 24 - 1), rel=0.01)


def test_before_a_device_was_there_nothing_is_missing(homes):
    history = homes.hours(date(2026, 3, 5), 10, lambda _day, _slot: 0.5)
    made = expect_month(history, zone=homes.zone, at_ms=homes.at(2026, 3, 15))
    assert (made.so_far_kwh, made.gaps_kwh) == (pytest.approx(120), pytest.approx(0))
    assert made.little_history


def test_weekdays_differ(homes):
    history = homes.hours(FIRST, 56, lambda day, _: 2.0 if day.weekday() >= 5 else 1.0)
    made = expect_month(history, zone=homes.zone, at_ms=homes.at(2026, 3, 29))  # Sunday, Monday, Tuesday to come
    assert made.expected_kwh - made.so_far_kwh == pytest.approx(23 * 2 + 48, rel=0.08)


def test_the_chance_to_pass_a_limit(homes):
    history = homes.lived_in(FIRST, 38)
    made = expect_month(history, zone=homes.zone, at_ms=homes.at(2026, 3, 11))
    assert made.chance_to_pass(made.so_far_kwh / 2) == 1
    assert made.chance_to_pass(made.expected_kwh) == pytest.approx(0.5)
    assert made.chance_to_pass(made.high_kwh) == pytest.approx(0.1, abs=0.001)
    sure = replace(made, low_kwh=made.expected_kwh, high_kwh=made.expected_kwh)
    assert (sure.chance_to_pass(made.expected_kwh - 1), sure.chance_to_pass(made.expected_kwh + 1)) == (1, 0)


@pytest.mark.parametrize("days", [0, 2])
def test_with_too_little_there_is_no_forecast(homes, days):
    with pytest.raises(TooLittleHistory):
        expect_month(
            homes.lived_in(FIRST, 5)[: 24 * days], zone=homes.zone, at_ms=homes.at(2026, 2, 1) + days * MS_PER_DAY
        )


@given(st.lists(st.one_of(st.none(), st.floats(0, 20)), min_size=24 * 3, max_size=24 * 40), st.integers(0, 95))
def test_it_is_causal_and_in_order_whatever_was_measured(drawn, quarters):
    hours = [
        HourUse(BEGIN_MS + index * MS_PER_HOUR, MS_PER_HOUR, energy, 0 if energy is None else MS_PER_HOUR)
        for index, energy in enumerate(drawn)
    ]
    at_ms = BEGIN_MS + (len(drawn) - 24) * MS_PER_HOUR + quarters * MS_PER_HOUR // 4
    over = [hour for hour in hours if hour.start_ms + hour.length_ms <= at_ms]
    try:
        made = expect_month(hours, zone=UTC, at_ms=at_ms)
    except TooLittleHistory:
        return
    assert made == expect_month(over, zone=UTC, at_ms=at_ms)
    assert 0 <= made.so_far_kwh <= made.low_kwh <= made.expected_kwh <= made.high_kwh
    assert made.little_history == (made.measured_days < 14)


def test_a_year_before_does_not_disturb(homes):
    history = homes.lived_in(FIRST - timedelta(days=300), 338)
    at_ms = homes.at(2026, 3, 11)
    recent = [hour for hour in history if hour.start_ms >= at_ms - 113 * MS_PER_DAY]
    assert expect_month(history, zone=homes.zone, at_ms=at_ms) == expect_month(recent, zone=homes.zone, at_ms=at_ms)
