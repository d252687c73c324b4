"""Registers: every mark, and what real meters did to others, by figures computed by hand."""

import pytest
from tests.support.energy import DAY, HOUR, KWH, MINUTE, QUARTER, SECOND, Derived, derive, reading, registers

from energy_tracker.services.usage.model.readings import DeviceRules


def at(*pairs: tuple[int, float], rated_w: float | None = None) -> Derived:
    rules = DeviceRules(kind="register", rated_power_w=rated_w)
    return derive([reading("register", time, value) for time, value in pairs], rules)


def test_the_first_value_is_no_energy() -> None:
    derived = derive(registers(12_345.678))
    assert (derived.mj, derived.marks, derived.covered_ms) == (0, ["baseline"], 0)


def test_what_rises_counts_exactly() -> None:
    derived = derive(registers(100.0, 100.1, 100.1, 100.35))
    assert derived.mj == round(0.35 * KWH)
    assert derived.odd == []
    assert derived.covered_ms == 15 * MINUTE


@pytest.mark.parametrize(
    ("values", "kwh", "odd"),
    [
        pytest.param((397.11, 0, 413.50), 16.39, ["glitch"], id="a zero between (booked 413.50 elsewhere)"),
        pytest.param((397.11, 0, 0, 0, 413.50), 16.39, ["glitch"], id="zeros repeated before it comes back"),
        pytest.param((100, 0, 100.1, 0, 100.2), 0.2, ["glitch", "glitch"], id="two glitches"),
        pytest.param((100, 0, 0.1, 100.2, 100.3), 0.2, ["reset", "swap"], id="a glitch that climbs is another count"),
        pytest.param((100, 0, 100.1, 0, 0.2), 0.3, ["glitch", "reset"], id="a glitch, then a reset"),
        pytest.param((100, 40, 100.2), 0.2, ["glitch"], id="a fall to the middle that is taken back"),
        pytest.param((100, 40, 20, 100.2), 0.2, ["glitch", "glitch"], id="two wrong values, each lower"),
        pytest.param((100, 100.5, 0, 0.4), 0.9, ["reset"], id="a reset to 0"),
        pytest.param((100, 100.5, 0.3, 0.4), 0.9, ["reset"], id="a reset whose first value is not 0"),
        pytest.param((100, 100.5, 0, 0, 0, 0.4), 0.9, ["reset"], id="a standstill after the reset"),
        pytest.param((5_000, 5_000.1, 0, 0.1, 0.2), 0.3, ["reset"], id="5000 is no greatest value"),
        pytest.param((9_400, 9_400.1, 0, 0.1), 0.2, ["reset"], id="nor is 9400 just below one"),
        pytest.param((100, 100.5, 0), 0.5, ["held"], id="a fall that nothing has judged yet"),
        pytest.param((100, 100.5, 0, 0), 0.5, ["held"], id="nor has its repetition"),
        pytest.param((9_999.8, 0.3, 0.5), 0.7, ["rollover"], id="a rollover at 10 000"),
        pytest.param((9_999.4, 9_999.8, 0, 0.2), 0.8, ["rollover"], id="a rollover to 0"),
        pytest.param((99_999.5, 99_999.9, 0.2, 0.4), 0.9, ["rollover"], id="a rollover at 100 000"),
        pytest.param((99_998, 99_999, 0, 1), 3, ["rollover"], id="a rollover of a register in whole kWh"),
        pytest.param((999.8, 0.3, 0.5), 0.5, ["reset"], id="1000 is too few digits to roll over"),
        pytest.param((5_000, 5_000.1, 1_200, 1_200.2), 0.3, ["swap"], id="a used meter that shows less"),
        pytest.param((5_000, 5_000.1, 7_200, 7_200.2), 0.3, ["swap"], id="a used meter that shows more"),
        pytest.param((5_000, 5_000.1, 7_200, 7_200, 7_200.2), 0.3, ["swap"], id="and stands still at first"),
        pytest.param((5_000, 5_000.1, 7_200), 0.1, ["held"], id="a jump that nothing has judged yet"),
        pytest.param((5_000, 7_200, 5_000.2), 0.2, ["glitch"], id="a jump that is taken back"),
        pytest.param((5_000, 7_200, 19_800, 5_000.2), 0.2, ["glitch", "glitch"], id="two jumps, each higher"),
        pytest.param((215.7, 215_700, 215.8), 0.1, ["glitch"], id="a value a thousand times too great"),
        pytest.param((215.7, 215_700, 215_700, 215.8), 0.1, ["glitch"], id="and again"),
        pytest.param((215.7, 215_700, 0, 0.1), 0.1, ["glitch", "reset"], id="a jump, then a reset"),
        pytest.param((0, 397.11, 397.2), 0.09, ["swap"], id="0 before the first true value"),
        pytest.param((215.7, 215.6, 215.8), 0.1, ["glitch"], id="100 Wh back, and on (booked 215.6 elsewhere)"),
        pytest.param((215.7, 215.6, 215.65), 0.05, ["swap"], id="100 Wh back, and on from there"),
        pytest.param((215.7, 215.6), 0, ["held"], id="100 Wh back, at the end"),
        pytest.param((100, 99.995, 100), 0, ["jitter"], id="jitter"),
        pytest.param((100, 99.99), 0, ["held"], id="a fall of 10 Wh is no jitter"),
        pytest.param((10_000, 0.2, 0.3), 0.3, ["reset"], id="10 000 has five digits"),
        pytest.param((0.008, 0, 0.004), 0, ["jitter", "jitter"], id="a fall to 0 from less than 10 Wh is jitter"),
    ],
)
def test_what_meters_do(values: tuple[float, ...], kwh: float, odd: list[str]) -> None:
    derived = derive(registers(*values))
    assert derived.odd == odd
    assert derived.kwh == pytest.approx(kwh, abs=1e-9)


def test_a_zero_within_seconds_is_a_glitch() -> None:
    derived = at((0, 3.737), (1_700, 0), (3_400, 3.746))
    assert derived.kwh == pytest.approx(0.009, abs=1e-9)
    assert derived.odd == ["glitch"]


def test_jitter_never_adds_up() -> None:
    derived = derive(registers(*[100.0, 99.991] * 500, 100.0))
    assert derived.mj == 0
    assert derived.covered_ms == 1_000 * 5 * MINUTE


def test_slow_jitter_is_measured_from_the_highest_value() -> None:
    derived = derive(registers(100.0, 99.996, 99.992, 99.994, 100.001))
    assert derived.mj == round(0.001 * KWH)


def test_a_correction_after_days_is_no_reset() -> None:
    # 215.6 kWh would be plausible within ten days, and yet the register has not begun again from 0.
    derived = derive(registers(215.7, 215.6, 215.65, every=10 * DAY))
    assert derived.kwh == pytest.approx(0.05)
    assert derived.odd == ["swap"]


def test_a_register_begins_again_after_a_long_time_offline() -> None:
    derived = at((0, 812.0), (HOUR, 812.5), (40 * DAY, 31.0), (40 * DAY + HOUR, 31.25))
    assert derived.kwh == pytest.approx(0.5 + 31.0 + 0.25)
    assert derived.odd == ["reset"]
    way = next(step for step in derived.steps if step.mark == "reset")
    assert way.estimated
    assert (way.start_ms - derived.steps[0].start_ms, way.end_ms - way.start_ms) == (HOUR, 40 * DAY - HOUR)


def test_a_rise_after_a_long_time_offline_counts_and_is_estimated() -> None:
    derived = at((0, 812.0), (30 * DAY, 1_112.0))
    assert derived.kwh == 300
    assert derived.odd == []
    assert sum(estimated for _, estimated, _ in derived.quarters.values()) == 300 * KWH


def test_a_meter_that_was_swapped_while_offline_is_not_booked() -> None:
    derived = at((0, 5_000.0), (DAY, 25_000.0), (DAY + HOUR, 25_000.5))
    assert (derived.kwh, derived.odd) == (0.5, ["swap"])
    assert derived.covered_ms == HOUR


def test_a_reset_to_what_cannot_have_been_counted_is_a_swap() -> None:
    derived = at((0, 900.0), (MINUTE, 50.0), (2 * MINUTE, 50.02))
    assert derived.kwh == pytest.approx(0.02)
    assert derived.odd == ["swap"]


def test_rated_power_decides_what_can_have_been_counted() -> None:
    readings = ((0, 900.0), (HOUR, 7.0), (HOUR + MINUTE, 7.01))
    assert at(*readings).odd == ["reset"]
    assert at(*readings, rated_w=1_000).odd == ["swap"]
    assert at(*readings, rated_w=6_000).kwh == pytest.approx(7.01)


def test_a_reset_in_whole_kwh_counts_its_first_kwh() -> None:
    derived = at((0, 900), (10 * SECOND, 901), (20 * SECOND, 1), (HOUR, 2), rated_w=2_000)
    assert (derived.kwh, derived.odd) == (3, ["reset"])


def test_whole_kwh_beside_a_small_rated_power() -> None:
    derived = at((0, 41), (10 * SECOND, 41), (20 * SECOND, 42), (10 * HOUR, 43), rated_w=100)
    assert (derived.kwh, derived.odd) == (2, [])


def test_a_register_in_tenths() -> None:
    derived = derive(registers(*[round(7 + number // 3 / 10, 1) for number in range(100)], every=10 * SECOND))
    assert (derived.mj, derived.odd) == (round(3.3 * KWH), [])


@pytest.mark.parametrize("every", [10 * SECOND, MINUTE, QUARTER, HOUR, DAY])
def test_a_plant_above_a_megawatt_counts(every: int) -> None:
    step_kwh = 2_500 * every / HOUR
    values = [1_000 + number * step_kwh for number in range(9)]
    derived = derive(registers(*values, every=every))
    assert derived.mj == pytest.approx(round(8 * step_kwh * KWH), abs=1)
    assert set(derived.odd) <= {"fast"}
    assert derived.covered_ms == 8 * every


def test_a_plant_is_learnt() -> None:
    derived = derive(registers(*[1_000 + number * 2_500 / 4 for number in range(9)], every=QUARTER))
    assert derived.odd == ["fast", "fast"]


def test_a_rated_power_that_is_too_small_loses_nothing_steady() -> None:
    derived = derive(
        registers(*[100 + number * 18 for number in range(6)], every=6 * HOUR),
        DeviceRules(kind="register", rated_power_w=2_000),
    )
    assert derived.kwh == 90


def test_a_single_rise_up_to_twice_the_rated_power_counts_once_it_stays() -> None:
    derived = at((0, 50.0), (HOUR, 53.5), (2 * HOUR, 53.6), rated_w=2_000)
    assert derived.kwh == pytest.approx(3.6)
    assert derived.odd == ["fast"]


def test_a_building_that_was_never_rated_counts_its_peaks() -> None:
    derived = derive(registers(10_000, 10_010, 10_012, 10_112, 10_115, every=QUARTER))
    assert (derived.kwh, derived.odd) == (115, [])


def test_a_young_register_times_a_thousand_is_not_booked() -> None:
    # In a quarter-hour 200 kWh would be below a megawatt.
    derived = derive(registers(0.2, 200.0, 0.25, every=QUARTER))
    assert derived.kwh == pytest.approx(0.05)
    assert derived.odd == ["glitch"]


def test_a_unit_that_changed_for_good_is_not_booked() -> None:
    derived = derive(registers(215.7, 215_700, 215_720, every=QUARTER))
    assert derived.odd == ["swap"]
    assert derived.kwh == 20  # the new unit, until the device's rated power or the sender's unit is mended


def test_values_of_one_millisecond_count_in_any_order() -> None:
    derived = at((0, 5.0), (MINUTE, 5.1), (MINUTE, 5.2), (2 * MINUTE, 5.3))
    assert derived.kwh == pytest.approx(0.3)


def test_a_rollover_after_a_long_gap_needs_the_rate_it_had() -> None:
    """1 kW before; in an hour 400 kWh cannot have passed, in 20 days they can."""
    before = ((0, 9_599.0), (HOUR, 9_600.0), (2 * HOUR, 9_601.0))
    soon = at(*before, (3 * HOUR, 1.0), (4 * HOUR, 2.0))
    late = at(*before, (20 * DAY, 1.0), (20 * DAY + HOUR, 2.0))
    assert (soon.kwh, soon.odd) == (2 + 1 + 1, ["reset"])
    assert (late.kwh, late.odd) == (2 + 400 + 1, ["rollover"])


def test_the_greatest_power_is_that_of_quarter_hours() -> None:
    """A kWh that appears at an instant does not make the meter one of megawatts."""
    ticks = [(second * SECOND, 9_580 + second // 3_600) for second in range(0, 4 * 3_600, 10)]
    derived = at(*ticks, (5 * HOUR, 5.0), (6 * HOUR, 6.0))
    assert derived.odd == ["reset"]


def test_the_end_of_a_quarter_hour_is_no_time_to_measure_a_power() -> None:
    derived = at((QUARTER - SECOND, 9_590.0), (QUARTER, 9_591.0), (5 * HOUR, 5.0), (6 * HOUR, 6.0))
    assert derived.odd == ["reset"]


def test_coverage_of_what_was_held() -> None:
    glitch = at((0, 100.0), (MINUTE, 0), (2 * MINUTE, 100.1))
    reset = at((0, 100.0), (MINUTE, 0), (4 * MINUTE, 0), (5 * MINUTE, 0.1))
    held = at((0, 100.0), (MINUTE, 0))
    assert (glitch.covered_ms, reset.covered_ms, held.covered_ms) == (2 * MINUTE, 5 * MINUTE, 0)


def test_negative_energy_is_never_derived() -> None:
    derived = derive(registers(100, 50, 51, 20, 21, 5, 6, 0, 0, 90, 1))
    assert all(step.energy_mj >= 0 for step in derived.steps)
