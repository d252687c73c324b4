from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulation import EPOCH_MS, simulation

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR
from energy_tracker.services.ingestion.simulation.content_faults import (
    ClockSkew,
    Gap,
    GlitchToZero,
    Jitter,
    Lost,
    RegisterReset,
    Rollover,
)
from energy_tracker.services.ingestion.simulation.deliveries import Fault
from energy_tracker.services.ingestion.simulation.delivery_faults import Duplicate, Late, Shuffled
from energy_tracker.services.ingestion.simulation.faults import UnknownFault, disturb, parse_faults
from energy_tracker.services.ingestion.simulation.truth import TruthRecorder

DAY = list(simulation().readings(EPOCH_MS, EPOCH_MS + MS_PER_DAY))


def delivered(*faults: Fault, readings=DAY, seed=1):
    return [each.reading for each in disturb(readings, faults, seed=seed)]


def by_device(readings, kind="register"):
    devices = {}
    for reading in readings:
        if reading.kind == kind:
            devices.setdefault(reading.device, []).append(reading)
    return devices


def test_without_faults_everything_arrives_at_once():
    deliveries = list(disturb(DAY, (), seed=1))
    assert [each.reading for each in deliveries] == DAY
    assert all(each.delivered_ms == each.reading.at_ms for each in deliveries)


@given(st.integers(0, 1_000))
@settings(max_examples=5, deadline=None)
def test_faults_of_delivery_lose_nothing_and_change_nothing(seed):
    readings = DAY[:4_000]
    deliveries = list(disturb(readings, (Duplicate(), Late(share=0.2), Shuffled()), seed=seed))
    assert all(left.delivered_ms <= right.delivered_ms for left, right in pairwise(deliveries))
    assert all(each.delivered_ms >= each.sent_ms == each.reading.at_ms for each in deliveries)
    counts = Counter((each.reading.device, each.reading.at_ms) for each in deliveries)
    assert counts.keys() == {(reading.device, reading.at_ms) for reading in readings}
    repeats = sum(counts.values()) - len(readings)
    assert 0.005 * len(readings) < repeats < 0.04 * len(readings)
    assert {each.reading for each in deliveries} <= set(readings)


@given(st.integers(0, 1_000))
@settings(max_examples=5, deadline=None)
def test_the_same_seed_gives_the_same_faults(seed):
    faults = parse_faults("all")
    readings = DAY[:4_000]
    first = list(disturb(readings, faults, seed=seed))
    assert first == list(disturb(readings, faults, seed=seed))
    assert first != list(disturb(readings, faults, seed=seed + 1))


def test_late_is_by_minutes_to_days():
    delays = [each.delivered_ms - each.sent_ms for each in disturb(DAY, (Late(share=0.1),), seed=1)]
    late = [delay / MS_PER_HOUR for delay in delays if delay]
    assert 0.08 < len(late) / len(DAY) < 0.12
    assert min(late) < 0.1
    assert 24 < max(late) <= 60


def test_lost_readings_are_about_the_share():
    assert 0.08 < 1 - len(delivered(Lost(share=0.1))) / len(DAY) < 0.12


def test_a_gap_leaves_nothing_of_hours_of_a_device():
    kept = {(each.device, each.at_ms) for each in delivered(Gap(per_day=1.0))}
    silent = [each for each in DAY if (each.device, each.at_ms) not in kept and each.device == "Router"]
    assert (silent[-1].at_ms - silent[0].at_ms) / MS_PER_HOUR > 0.25
    assert not [each for each in DAY if each.device == "Router" and each not in silent and each.at_ms in range(
        silent[0].at_ms, silent[-1].at_ms)]  # fmt: skip


def test_a_reset_register_counts_from_its_last_reading():
    for changed in by_device(delivered(RegisterReset(per_week=7.0))).values():
        falls = [(left, right) for left, right in pairwise(changed) if right.register_kwh < left.register_kwh]
        assert len(falls) == 1
        for left, right in pairwise(changed):
            step_mj = right.counter_mj - left.counter_mj
            start_kwh = 0.0 if (left, right) in falls else left.register_kwh
            assert right.register_kwh - start_kwh == pytest.approx(step_mj / 3.6e9, abs=1e-9)


def test_a_glitch_comes_back_and_a_first_reading_is_never_false():
    for changed in by_device(delivered(GlitchToZero(share=0.05), Jitter(share=0.05))).values():
        assert not changed[0].is_false
        assert any(each.is_false and each.register_kwh == 0 for each in changed)
        assert any(each.is_false and each.register_kwh > 0 for each in changed)
        true = [each for each in changed if not each.is_false]
        assert all(each.register_kwh * 3.6e9 == pytest.approx(each.counter_mj, rel=1e-12) for each in true)
        assert not any(left.register_kwh == 0 == right.register_kwh for left, right in pairwise(changed))


def test_a_rollover_falls_once_from_just_below_its_digits():
    registers = by_device(delivered(Rollover(after_kwh=0.5)))["House meter"]
    falls = [(left, right) for left, right in pairwise(registers) if right.register_kwh < left.register_kwh]
    assert len(falls) == 1
    ((left, right),) = falls
    assert 9_999 < left.register_kwh < 10_000
    assert right.register_kwh < 1


def test_a_wrong_clock_is_wrong_by_the_same_for_a_device():
    skewed = delivered(ClockSkew(most_seconds=30))
    offsets = {}
    for before, after in zip(DAY, skewed, strict=True):
        offsets.setdefault(before.device, set()).add(after.at_ms - before.at_ms)
    assert all(len(each) == 1 for each in offsets.values())
    assert len(set.union(*offsets.values())) > 5
    assert all(abs(offset) <= 30_000 for each in offsets.values() for offset in each)


def test_late_and_repeated_delivery_leaves_the_truth_as_it_is():
    truths = []
    for faults in ("", "duplicate,late=0.2,shuffled"):
        simulated = simulation()
        recorder = TruthRecorder(simulated, EPOCH_MS, EPOCH_MS + MS_PER_DAY)
        list(disturb(DAY, parse_faults(faults), seed=2, truth=recorder))
        truths.append(recorder.finish().rows)
    assert truths[0] == truths[1]


def test_a_list_of_faults_is_read_and_put_in_order():
    assert parse_faults(" late=0.5, lost , gap=2 ") == (Lost(), Gap(per_day=2.0), Late(share=0.5))
    assert {type(each) for each in parse_faults("all")} == {
        Lost, Gap, Rollover, RegisterReset, GlitchToZero, Jitter, ClockSkew, Duplicate, Late, Shuffled,
    }  # fmt: skip
    assert parse_faults("all,lost=0")[0] == Lost(share=0.0)
    assert parse_faults("") == ()


@pytest.mark.parametrize("text", ["loss", "lost=x", "lost=-1", "lost=nan", "lost=inf", "all=1"])
def test_what_is_no_fault_is_refused(text):
    with pytest.raises(UnknownFault):
        parse_faults(text)
