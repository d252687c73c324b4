"""What the hours ahead must be, whatever the history is."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, to_ms
from energy_tracker.services.usage.model.forecast.accuracy import accuracy_of
from energy_tracker.services.usage.model.forecast.day_ahead import (
    forecast_hours,
    learn_from_history,
    outcomes_of,
)
from energy_tracker.services.usage.model.forecast.hours import HourUse, TooLittleHistory
from energy_tracker.services.usage.model.forecast.learning import NOTHING_LEARNED, Learned, learn

FIRST = date(2026, 1, 5)
BEGIN_MS = to_ms(datetime(2026, 1, 5, tzinfo=UTC))

energies = st.one_of(st.none(), st.just(0.0), st.floats(0, 50), st.floats(0, 1e-9))
histories = st.lists(energies, min_size=24 * 3, max_size=24 * 12)
learnt = st.tuples(*[st.floats(0.01, 0.99)] * 5).map(lambda levels: Learned(tuple(sorted(levels)), (1.0, 2.0, 1.5), 3))


def history_of(drawn):
    return [
        HourUse(BEGIN_MS + index * MS_PER_HOUR, MS_PER_HOUR, energy, 0 if energy is None else MS_PER_HOUR)
        for index, energy in enumerate(drawn)
    ]


def next_day(homes, history, first, days, learned=NOTHING_LEARNED, ahead=1):
    begin, end = (first + timedelta(days=days + day) for day in (0, ahead))
    return forecast_hours(
        history,
        zone=homes.zone,
        from_ms=homes.at(begin.year, begin.month, begin.day),
        to_ms=homes.at(end.year, end.month, end.day),
        learned=learned,
    )


@given(histories, st.integers(1, 48), learnt)
def test_quantiles_do_not_cross_and_are_not_negative(drawn, ahead, learned):
    history = history_of(drawn)
    from_ms = BEGIN_MS + len(drawn) * MS_PER_HOUR
    try:
        made = forecast_hours(history, zone=UTC, from_ms=from_ms, to_ms=from_ms + ahead * MS_PER_HOUR, learned=learned)
    except TooLittleHistory:
        return
    assert len(made.hours) == ahead
    assert made.little_history == (made.measured_days < 14)
    for hour in made.hours:
        assert hour.quantiles_kwh[0] >= 0
        assert all(before <= after for before, after in pairwise(hour.quantiles_kwh))
        assert hour.mean_kwh >= 0


@given(histories, st.randoms(use_true_random=False), st.lists(energies, min_size=24, max_size=24))
def test_only_what_was_over_counts_and_its_order_does_not(drawn, rng, later):
    history = history_of(drawn)
    from_ms = BEGIN_MS + len(drawn) * MS_PER_HOUR
    shuffled = history_of([*drawn, *later])
    rng.shuffle(shuffled)
    for make in (
        lambda known: forecast_hours(known, zone=UTC, from_ms=from_ms, to_ms=from_ms + MS_PER_DAY),
        lambda known: learn_from_history(known, zone=UTC, until_ms=from_ms),
    ):
        try:
            made = make(history)
        except TooLittleHistory:
            with pytest.raises(TooLittleHistory):
                make(shuffled)
        else:
            assert make(shuffled) == made


@given(st.floats(0, 100), st.integers(3, 70))
def test_a_constant_use_is_forecast_as_itself(used_kwh, days):
    history = history_of([used_kwh] * 24 * days)
    from_ms = BEGIN_MS + days * MS_PER_DAY
    made = forecast_hours(history, zone=UTC, from_ms=from_ms, to_ms=from_ms + 2 * MS_PER_DAY)
    for hour in made.hours:
        assert hour.quantiles_kwh == pytest.approx((used_kwh,) * 5)
        assert hour.mean_kwh == pytest.approx(used_kwh)


@pytest.mark.parametrize(
    ("first", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 5, 1), 24)]
)
def test_a_day_has_the_hours_that_its_clock_shows(homes, first, hours):
    history = homes.lived_in(first - timedelta(days=21), 21)
    assert len(next_day(homes, history, first, 0).hours) == hours


def test_the_week_before_a_change_of_clocks_is_read_by_the_clock(homes):
    first = date(2026, 3, 8)
    history = homes.hours(first, 22, lambda _, slot: 2.0 if slot == 7 else 0.1)  # 29 March has 23 hours
    learned = learn_from_history(history, zone=homes.zone, until_ms=homes.at(2026, 3, 30))
    made = next_day(homes, history, first, 22, learned)
    assert [hour.median_kwh for hour in made.hours] == pytest.approx([2.0 if slot == 7 else 0.1 for slot in range(24)])


def test_half_an_hour_uses_half(homes):
    history = homes.hours(FIRST, 20, lambda _day, _slot: 1.0)
    from_ms = homes.at(2026, 1, 25)
    made = forecast_hours(history, zone=homes.zone, from_ms=from_ms, to_ms=from_ms + MS_PER_HOUR // 2)
    assert [hour.median_kwh for hour in made.hours] == pytest.approx([0.5])


def test_gaps_are_no_zeros(homes):
    missing = {FIRST + timedelta(days=day) for day in range(20, 27)}
    history = homes.hours(FIRST, 28, lambda _, slot: 1.0 + slot / 24, missing)
    made = next_day(homes, history, FIRST, 28)
    assert [hour.median_kwh for hour in made.hours] == pytest.approx([1.0 + slot / 24 for slot in range(24)], rel=0.05)
    absent = [hour for hour in history if hour.energy_kwh is not None]
    assert next_day(homes, absent, FIRST, 28) == made


def test_an_hour_that_was_measured_in_part_counts_as_a_whole_one_and_one_that_was_hardly_does_not(homes):
    whole = homes.hours(FIRST, 15, lambda _day, _slot: 1.0)
    in_part = [replace(hour, energy_kwh=0.75, covered_ms=hour.length_ms * 3 // 4) for hour in whole]
    hardly = [replace(hour, energy_kwh=0.0, covered_ms=hour.length_ms // 10) for hour in whole[:24]]
    made = next_day(homes, [*hardly, *in_part[24:]], FIRST, 15)
    assert made.measured_days == 14
    assert [hour.median_kwh for hour in made.hours] == pytest.approx([1.0] * 24)


@pytest.mark.parametrize(("days", "little"), [(3, True), (13, True), (14, False)])
def test_little_history_is_said_and_widens(homes, days, little):
    made = next_day(homes, homes.lived_in(FIRST, days), FIRST, days)
    assert (made.measured_days, made.little_history) == (days, little)


def test_two_days_are_too_little(homes):
    with pytest.raises(TooLittleHistory, match="needs 3 measured days; there are 2"):
        next_day(homes, homes.lived_in(FIRST, 2), FIRST, 2)


def test_one_odd_day_moves_nothing(homes):
    history = homes.lived_in(FIRST, 42)
    calm = next_day(homes, history, FIRST, 42)
    odd = [
        replace(hour, energy_kwh=500.0) if 24 * 30 <= place < 24 * 31 else hour for place, hour in enumerate(history)
    ]
    moved = next_day(homes, odd, FIRST, 42)
    for before, after in zip(calm.hours, moved.hours, strict=True):
        assert after.median_kwh == pytest.approx(before.median_kwh, rel=0.5)


def test_the_level_of_the_last_days_is_followed(homes):
    history = homes.hours(FIRST, 40, lambda day, _: 2.0 if day >= FIRST + timedelta(days=36) else 1.0)
    made = next_day(homes, history, FIRST, 40)
    assert all(1.2 < hour.median_kwh <= 2.6 for hour in made.hours)


def test_a_weekend_is_like_weekends(homes):
    history = homes.hours(FIRST, 47, lambda day, _: 2.0 if day.weekday() >= 5 else 1.0)  # ends with a Friday
    friday, saturday = (next_day(homes, history, FIRST, days) for days in (46, 47))
    assert sum(hour.median_kwh for hour in friday.hours) < 30
    assert sum(hour.median_kwh for hour in saturday.hours) > 36


def test_the_stated_band_holds_over_a_season(homes):
    days = 100
    history = homes.lived_in(FIRST, days)
    learned, found = NOTHING_LEARNED, accuracy_of(())
    for index in range(21, days):
        made = next_day(homes, history, FIRST, index, learned)
        outcomes = outcomes_of(made, history)
        found += accuracy_of(outcomes)
        learned = learn(learned, outcomes)
    assert 0.76 <= found.band_coverage <= 0.84
    assert found.hours == sum(1 for hour in history if hour.start_ms >= homes.at(2026, 1, 26))
