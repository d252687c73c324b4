import asyncio
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.clock import VirtualClock
from tests.support.simulation import EPOCH_MS, simulation

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_QUARTER_HOUR, from_ms
from energy_tracker.services.ingestion.simulation.generation import BeforeTheEpoch, generate, live
from energy_tracker.services.ingestion.simulation.households import UnknownProfile, household
from energy_tracker.services.ingestion.simulation.segments import Segment, add_up, total_energy_mj

CLOCKS_FORWARD_MS = 1_774_746_000_000  # 2026-03-29T01:00Z, in the night that Berlin's day has 23 hours


@pytest.mark.parametrize("profile", ["home", "lab"])
def test_the_same_seed_gives_the_same_readings(profile):
    day = (EPOCH_MS, EPOCH_MS + MS_PER_DAY)
    first = list(generate(profile, 3, *day))
    assert first == list(generate(profile, 3, *day))
    assert first != list(generate(profile, 4, *day))


@given(st.integers(0, 30 * 60), st.integers(0, 30 * 60), st.integers(0, 30 * 60))
@settings(max_examples=8, deadline=None)
def test_spans_join_without_a_seam(first, second, third):
    start, middle, end = (EPOCH_MS + minute * MS_PER_MINUTE for minute in sorted((first, second, third)))
    whole = list(simulation().readings(start, end))
    other = simulation()
    assert [*other.readings(start, middle), *other.readings(middle, end)] == whole


@pytest.mark.parametrize("profile", ["home", "lab"])
def test_readings_are_in_order_and_one_per_device_and_instant(profile):
    readings = list(simulation(profile).readings(EPOCH_MS, EPOCH_MS + 2 * MS_PER_DAY))
    assert all(left.at_ms <= right.at_ms for left, right in pairwise(readings))
    assert len({(reading.device, reading.at_ms) for reading in readings}) == len(readings)
    assert {reading.device for reading in readings} == {device.name for device in household(profile).devices}
    assert {reading.kind for reading in readings} == {"power", "register", "interval"}


def test_any_day_can_be_had_without_the_days_before_and_counters_go_on_from_a_mark():
    late_ms = EPOCH_MS + 20 * MS_PER_DAY
    walked = simulation()
    readings = list(walked.readings(late_ms, late_ms + MS_PER_HOUR))
    assert list(simulation().readings(late_ms, late_ms + MS_PER_HOUR)) == readings
    marked = type(walked)(household=household("home"), seed=7, epoch_ms=EPOCH_MS, mark=walked.mark(late_ms))
    assert list(marked.readings(late_ms, late_ms + MS_PER_HOUR)) == readings


@pytest.mark.parametrize("profile", ["home", "lab"])
def test_registers_never_fall_and_show_the_energy_since_the_epoch(profile):
    simulated = simulation(profile, epoch_ms=EPOCH_MS + 12 * MS_PER_HOUR + 5 * MS_PER_MINUTE)
    registers = {device.name: device for device in household(profile).devices if device.kind == "register"}
    to_ms = simulated.epoch_ms + 2 * MS_PER_DAY
    shown: dict[str, list[tuple[int, float]]] = {name: [] for name in registers}
    for reading in simulated.readings(simulated.epoch_ms, to_ms):
        if reading.register_kwh is not None:
            shown[reading.device].append((reading.at_ms, reading.register_kwh))
    for name, values in shown.items():
        assert all(left[1] <= right[1] for left, right in pairwise(values))
        at_ms, register_kwh = values[-1]
        energy_kwh = total_energy_mj(simulated.power(name, simulated.epoch_ms, at_ms)) / 3.6e9
        assert register_kwh == pytest.approx(registers[name].base_kwh + energy_kwh, abs=0.001_001)


@pytest.mark.parametrize("profile", ["home", "lab"])
def test_power_has_no_gaps_also_where_clocks_change(profile):
    simulated = simulation(profile)
    for device in household(profile).devices:
        segments = list(simulated.power(device.name, CLOCKS_FORWARD_MS - MS_PER_DAY, CLOCKS_FORWARD_MS + MS_PER_DAY))
        assert segments[0].start_ms == CLOCKS_FORWARD_MS - MS_PER_DAY
        assert segments[-1].end_ms == CLOCKS_FORWARD_MS + MS_PER_DAY
        assert all(left.end_ms == right.start_ms for left, right in pairwise(segments))
        assert all(segment.start_ms % 1_000 == 0 and segment.power_w >= 0 for segment in segments)
        assert max(segment.power_w for segment in segments) <= device.rated_power_w


def test_the_house_meter_reads_what_is_behind_it():
    simulated = simulation()
    span = (EPOCH_MS, EPOCH_MS + MS_PER_DAY)
    house = simulated.quarter_hours("House meter", *span)
    below = [
        simulated.quarter_hours(device.name, *span)
        for device in household("home").devices
        if device.parent == "House meter"
    ]
    assert all(house[start] > sum(part[start] for part in below) for start in house)


def test_a_power_held_until_the_next_reading_is_exact():
    simulated = simulation()
    to_ms = EPOCH_MS + MS_PER_DAY
    readings = [each for each in simulated.readings(EPOCH_MS, to_ms) if each.device == "Washing machine"]
    held_mj = sum(round(left.power_w * (right.at_ms - left.at_ms)) for left, right in pairwise(readings))
    power = simulated.power("Washing machine", readings[0].at_ms, readings[-1].at_ms)
    assert held_mj == total_energy_mj(power)
    assert max(right.at_ms - left.at_ms for left, right in pairwise(readings)) <= MS_PER_MINUTE


def test_quarter_hours_add_up_to_the_integral():
    simulated = simulation()
    span = (EPOCH_MS + 7 * MS_PER_MINUTE, EPOCH_MS + 2 * MS_PER_DAY + 20 * MS_PER_MINUTE)
    quarters = simulated.quarter_hours("Solar panels", *span)
    assert sum(quarters.values()) == total_energy_mj(simulated.power("Solar panels", *span))
    assert all(start % MS_PER_QUARTER_HOUR == 0 for start in quarters)


def test_adding_up_powers():
    one = [Segment(0, 10_000, 1.5), Segment(10_000, 20_000, 0.0)]
    two = [Segment(0, 5_000, 2.0), Segment(5_000, 20_000, 3.0)]
    assert add_up([one, two]) == [Segment(0, 5_000, 3.5), Segment(5_000, 10_000, 4.5), Segment(10_000, 20_000, 3.0)]


async def test_live_readings_come_when_they_are_due_and_past_ones_at_once():
    clock = VirtualClock(from_ms(EPOCH_MS + 10 * MS_PER_MINUTE))
    expected = list(simulation().readings(EPOCH_MS, EPOCH_MS + 12 * MS_PER_MINUTE))
    stream = live(simulation(), from_ms=EPOCH_MS, clock=clock)
    past = [each for each in expected if each.at_ms <= clock.now_ms()]
    assert [await anext(stream) for _ in past] == past
    task = asyncio.ensure_future(anext(stream))
    await clock.settle()
    assert not task.done()
    await clock.advance((expected[len(past)].at_ms - clock.now_ms()) / 1_000)
    assert await task == expected[len(past)]
    await stream.aclose()


def test_nothing_is_simulated_before_the_epoch_and_no_unknown_profile():
    with pytest.raises(BeforeTheEpoch):
        next(simulation().readings(EPOCH_MS - 1, EPOCH_MS))
    with pytest.raises(UnknownProfile, match="home or lab"):
        household("palace")


def test_bodies_are_those_of_the_contract():
    by_kind = {}
    for reading in islice(simulation().readings(EPOCH_MS, EPOCH_MS + MS_PER_HOUR), 3_000):
        by_kind.setdefault((reading.kind, reading.direction, reading.event_id is None), reading)
    interval = by_kind["interval", "import", False].body(5)
    assert interval.keys() >= {"deviceId", "timestamp", "energyConsumed", "eventId"}
    register = by_kind["register", "import", False].body(6)
    assert register.keys() == {"deviceId", "timestamp", "registerKwh", "eventId"}
    assert by_kind["power", "import", True].body(7).keys() == {"deviceId", "timestamp", "powerW"}
    assert by_kind["power", "export", False].body(8)["direction"] == "export"
    kettle = household("home").device("Kettle").body(user_id=1, parent_id=2)
    assert kettle["maxHold"] == "PT5M"
    assert (kettle["kind"], kettle["parentId"], kettle["userId"]) == ("power", 2, 1)
