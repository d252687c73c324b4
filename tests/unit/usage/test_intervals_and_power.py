"""Intervals and power values: where their energy lies and what is covered, by figures computed by hand."""

import pytest
from msgspec.structs import replace
from tests.support.energy import DAY, HOUR, KWH, MINUTE, QUARTER, SECOND, Derived, derive, reading, spread

from energy_tracker.services.usage.model.readings import DeviceRules, Reading, counted_kind
from energy_tracker.services.usage.model.steps import Mark, QuarterHours, Step


def interval(at_ms: int, kwh: float, since: int | None = None) -> Reading:
    return reading("interval", at_ms, kwh, since=since)


def power(*values: tuple[int, float], max_hold: int = 5 * MINUTE) -> Derived:
    rules = DeviceRules(kind="power", max_hold_ms=max_hold)
    return derive([reading("power", at_ms, power_w) for at_ms, power_w in values], rules)


def test_the_first_interval_belongs_to_the_quarter_hour_that_ends_at_or_after_it() -> None:
    assert derive([interval(QUARTER + 1, 0.3)]).quarters == {QUARTER: (KWH * 3 // 10, 0, QUARTER)}
    assert derive([interval(2 * QUARTER, 0.3)]).quarters == {QUARTER: (KWH * 3 // 10, 0, QUARTER)}
    assert derive([interval(QUARTER, 0.3)]).marks == ["first"]


def test_an_interval_is_spread_evenly_over_hours_and_midnight() -> None:
    derived = derive([interval(DAY - 30 * MINUTE, 0.1), interval(DAY + 30 * MINUTE, 4.0)])
    around = {start: sums for start, sums in derived.quarters.items() if start >= DAY - 2 * QUARTER}
    assert around == {DAY + number * QUARTER: (KWH, 0, QUARTER) for number in (-2, -1, 0, 1)}


def test_an_interval_of_exactly_an_hour_is_measured_and_a_longer_one_estimated() -> None:
    hour = derive([interval(HOUR, 1.0, since=0)])
    longer = derive([interval(HOUR + 1, 1.0, since=0)])
    assert sum(estimated for _, estimated, _ in hour.quarters.values()) == 0
    assert sum(estimated for _, estimated, _ in longer.quarters.values()) == KWH
    assert len(longer.quarters) == 5
    assert [one.steps[0].estimated for one in (hour, longer)] == [False, True]


def test_an_uneven_split_loses_nothing() -> None:
    derived = derive([interval(2 * HOUR + 7, 1 / 3, since=11)])
    assert derived.mj == round(KWH / 3)
    assert derived.covered_ms == 2 * HOUR - 4


def test_since_goes_before_the_previous_reading() -> None:
    derived = derive([interval(QUARTER, 0.1, since=0), interval(4 * QUARTER, 0.6, since=3 * QUARTER)])
    assert derived.quarters == {0: (KWH // 10, 0, QUARTER), 3 * QUARTER: (KWH * 6 // 10, 0, QUARTER)}


def test_overlapping_intervals_both_count_but_cover_once() -> None:
    derived = derive([interval(2 * QUARTER, 0.2, since=0), interval(3 * QUARTER, 0.2, since=QUARTER)])
    assert derived.quarters == {
        0: (KWH // 10, 0, QUARTER),
        QUARTER: (KWH // 5, 0, QUARTER),
        2 * QUARTER: (KWH // 10, 0, QUARTER),
    }


def test_an_interval_within_what_is_covered_covers_nothing() -> None:
    outer, inner = interval(4 * QUARTER, 0.4, since=0), interval(4 * QUARTER, 0.1, since=QUARTER)
    derived = derive([replace(outer, given_key=b"a"), replace(inner, given_key=b"b")])
    assert (derived.kwh, derived.covered_ms) == (0.5, HOUR)


def test_intervals_that_end_together_share_the_time_before_them() -> None:
    derived = derive([interval(0, 0.0, since=-QUARTER), interval(2 * QUARTER, 0.1), interval(2 * QUARTER, 0.3)])
    half = (round(0.2 * KWH), 0, QUARTER)
    assert (derived.quarters[0], derived.quarters[QUARTER]) == (half, half)
    assert derived.odd == []


def test_intervals_that_come_first_together_are_both_first() -> None:
    derived = derive([interval(QUARTER, 0.1), interval(QUARTER, 0.2)])
    assert derived.marks == ["first", "first"]
    assert derived.quarters == {0: (round(0.3 * KWH), 0, QUARTER)}


def test_an_interval_behind_a_first_one_covers_only_what_is_left() -> None:
    derived = derive([interval(3 * MINUTE, 0.1), interval(20 * MINUTE, 0.17)])
    assert derived.quarters == {
        0: (round((0.1 + 0.12) * KWH), 0, QUARTER),
        QUARTER: (round(0.05 * KWH), 0, 5 * MINUTE),
    }


def test_an_interval_of_0_kwh_is_measured() -> None:
    assert derive([interval(QUARTER, 0.0)]).quarters == {0: (0, 0, QUARTER)}


def test_a_power_value_holds_until_the_next_one() -> None:
    derived = power((0, 600.0), (MINUTE, 1_200.0), (3 * MINUTE, 0.0))
    assert derived.mj == 600 * MINUTE + 1_200 * 2 * MINUTE
    assert derived.marks == ["plain", "plain", "hold"]
    assert derived.covered_ms == 3 * MINUTE + 5 * MINUTE


def test_a_power_value_holds_at_most_max_hold() -> None:
    gap = power((0, 600.0), (20 * MINUTE, 600.0), max_hold=2 * MINUTE)
    assert gap.mj == 2 * 600 * 2 * MINUTE
    assert gap.quarters == {
        0: (600 * 2 * MINUTE, 0, 2 * MINUTE),
        QUARTER: (600 * 2 * MINUTE, 0, 2 * MINUTE),
    }


def test_a_power_value_holds_exactly_max_hold_and_as_long_as_it_is_told() -> None:
    assert power((0, 600.0), (5 * MINUTE, 0.0)).mj == 600 * 5 * MINUTE
    assert power((0, 600.0), (20 * MINUTE, 0.0), max_hold=HOUR).mj == 600 * 20 * MINUTE


def test_the_last_power_value_holds_too() -> None:
    assert power((0, 600.0)).mj == 600 * 5 * MINUTE
    assert power((14 * MINUTE, 60.0)).quarters == {
        0: (60 * MINUTE, 0, MINUTE),
        QUARTER: (60 * 4 * MINUTE, 0, 4 * MINUTE),
    }


def test_0_w_is_measured() -> None:
    derived = power((0, 0.0), (MINUTE, 0.0))
    assert (derived.mj, derived.covered_ms) == (0, MINUTE + 5 * MINUTE)


def test_powers_of_one_millisecond_the_last_in_order_holds() -> None:
    first, second = sorted([reading("power", 0, 100.0), reading("power", 0, 300.0)], key=lambda one: one.key)
    derived = derive([first, second, reading("power", MINUTE, 0.0)])
    assert derived.mj == round(second.amount * MINUTE)
    assert derived.marks == ["plain", "hold"]
    assert first.key < second.key


def test_a_power_held_for_longer_than_an_hour_is_estimated() -> None:
    derived = power((0, 100.0), (2 * HOUR, 0.0), max_hold=DAY)
    assert sum(estimated for _, estimated, _ in derived.quarters.values()) == 100 * 2 * HOUR


def test_a_fraction_of_a_watt() -> None:
    assert power((0, 0.4), (SECOND, 0.0)).mj == 400


@pytest.mark.parametrize(
    ("declared", "present", "counted"),
    [
        ("power", {"power", "register", "interval"}, "power"),
        ("interval", {"power", "register"}, "register"),
        ("interval", {"power"}, "power"),
        ("power", {"interval", "register"}, "register"),
        ("power", {"interval"}, "interval"),
        ("register", {"interval", "power"}, "interval"),
        ("register", set(), "register"),
    ],
)
def test_which_kind_counts(declared: str, present: set[str], counted: str) -> None:
    assert counted_kind(declared, present) == counted  # type: ignore[arg-type]  # kinds, as texts


def test_kinds_that_do_not_count_add_nothing() -> None:
    both = [reading("register", number * MINUTE, 5 + number / 10) for number in range(4)]
    both += [reading("power", number * MINUTE, 6_000.0) for number in range(9)]
    assert derive(both, DeviceRules(kind="register")).kwh == pytest.approx(0.3)


def test_a_step_without_length_lies_in_the_quarter_hour_that_ends_at_it() -> None:
    step = Step(2 * QUARTER, 2 * QUARTER, 5, 2 * QUARTER, Mark.PLAIN)
    assert spread([step]).changes() == [(QUARTER, 5, 0, 0)]
    assert step.energy_within(QUARTER, 2 * QUARTER) == 5
    assert step.energy_within(2 * QUARTER, 3 * QUARTER) == 0


def test_a_step_that_was_covered_in_part() -> None:
    step = Step(0, 3 * QUARTER, 300, QUARTER + 10, Mark.PLAIN)
    assert spread([step]).changes() == [(0, 100, 0, 0), (QUARTER, 100, 0, QUARTER - 10), (2 * QUARTER, 100, 0, QUARTER)]


def test_changes_of_nothing_are_no_changes() -> None:
    changes = QuarterHours()
    step = Step(0, 3 * HOUR, 1_000_003, 0, Mark.PLAIN)
    changes.add(step)
    changes.add(step, -1)
    assert changes.changes() == []
