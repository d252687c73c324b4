import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.simulation import EPOCH_MS, perfect, simulation

from energy_tracker.contracts.usage import Bucket, DeviceSeries, SeriesAnswer
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_QUARTER_HOUR
from energy_tracker.services.ingestion.simulation.faults import disturb, parse_faults
from energy_tracker.services.ingestion.simulation.readings import SimulatedReading
from energy_tracker.services.ingestion.simulation.score import MeasuredBucket, Verdict, measured_buckets, score
from energy_tracker.services.ingestion.simulation.truth import (
    Truth,
    TruthRecorder,
    TruthUnreadable,
    read_truth,
    write_truth,
)

TO_MS = EPOCH_MS + 2 * MS_PER_DAY


def record(faults: str = "", *, seed: int = 1, profile: str = "home") -> Truth:
    simulated = simulation(profile)
    recorder = TruthRecorder(simulated, EPOCH_MS, TO_MS, faults=[faults] if faults else [])
    for _ in disturb(simulated.readings(EPOCH_MS, TO_MS), parse_faults(faults), seed=seed, truth=recorder):
        pass
    return recorder.finish()


PLAIN = record()
DISTURBED = record("all")


def rows(truth: Truth, device: str):
    return [row for row in truth.rows if row.device == device]


def known(device: str, *readings: SimulatedReading) -> dict[int, tuple[int, int, int]]:
    recorder = TruthRecorder(simulation(), EPOCH_MS, TO_MS)
    for reading in readings:
        recorder.observe(reading)
    return {
        (row.start_ms - EPOCH_MS) // MS_PER_MINUTE: (row.measurable_mj, row.covered_ms // 1_000, row.estimated_mj)
        for row in rows(recorder.finish(), device)
        if row.covered_ms or row.measurable_mj
    }


def at(minute: float, device: str, **fields: float) -> SimulatedReading:
    kind = "power" if "power_w" in fields else "register" if "counter_mj" in fields else "interval"
    return SimulatedReading(
        at_ms=EPOCH_MS + round(minute * MS_PER_MINUTE), device=device, kind=kind, direction="import", **fields
    )


def test_plugs_that_report_changes_lose_nothing_after_their_first_reading():
    for device in ("Refrigerator", "Kettle", "Washing machine", "Solar panels"):
        for row in rows(PLAIN, device)[1:-1]:
            assert (row.measurable_mj, row.covered_ms) == (row.true_mj, MS_PER_QUARTER_HOUR)


def test_totals_are_those_of_the_appliances_but_for_the_ends():
    for device in PLAIN.header.devices:
        true_mj = sum(row.true_mj for row in rows(PLAIN, device.name))
        measurable_mj = sum(row.measurable_mj for row in rows(PLAIN, device.name))
        assert measurable_mj == pytest.approx(true_mj, rel=0.003, abs=0.02 * 3.6e9)


def test_a_power_holds_no_longer_than_it_may():
    assert known("Kettle", at(10, "Kettle", power_w=600.0), at(40, "Kettle", power_w=60.0)) == {
        0: (600 * 300_000, 300, 0),
        30: (60 * 300_000, 300, 0),
    }


def test_an_interval_is_spread_over_its_time_and_estimated_over_more_than_an_hour():
    kwh = 3.0
    first = at(7, "Dryer", energy_kwh=kwh)
    second = at(30 + 7, "Dryer", energy_kwh=kwh)
    far = at(120 + 37, "Dryer", energy_kwh=0.12)
    shares = known("Dryer", first, second, far)
    assert shares[0] == (3_600_000_000 * 3 + round(3.6e9 * 0.8), 900, 0)
    assert shares[15] == (round(3.6e9 * 1.5), 900, 0)
    assert shares[60] == (round(3.6e9 * 0.12 / 8), 900, round(3.6e9 * 0.12 / 8))
    assert known("Dryer", at(15, "Dryer", energy_kwh=1.0)) == {0: (3_600_000_000, 900, 0)}


def test_an_interval_with_a_beginning_leaves_a_gap_open():
    second = at(40, "Dishwasher", energy_kwh=0.1, since_ms=EPOCH_MS + 35 * MS_PER_MINUTE)
    assert known("Dishwasher", at(5, "Dishwasher", energy_kwh=0.1, since_ms=EPOCH_MS), second) == {
        0: (360_000_000, 300, 0),
        30: (360_000_000, 300, 0),
    }


def test_a_register_counts_from_its_baseline_over_readings_that_are_false():
    readings = (
        at(0, "Heat pump", register_kwh=100.0, counter_mj=500),
        at(15, "Heat pump", register_kwh=0.0, counter_mj=900, is_false=True),
        at(30, "Heat pump", register_kwh=100.1, counter_mj=1_500),
    )
    assert known("Heat pump", *readings) == {0: (500, 900, 0), 15: (500, 900, 0)}


def test_a_truth_file_reads_as_it_was_written():
    file = io.StringIO()
    write_truth(DISTURBED, file)
    assert read_truth(io.StringIO(file.getvalue())) == DISTURBED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1"),
        ("{}", "line 1"),
        ("no truth", "line 1"),
        ('{"format":2,"profile":"home","seed":1,"epochMs":0,"fromMs":0,"toMs":1,"devices":[]}', "format 2"),
        ('{"format":1,"profile":"home","seed":1,"epochMs":0,"fromMs":0,"toMs":1,"devices":[]}\n{"device":1}', "line 2"),
    ],
)
def test_a_broken_truth_file_is_an_error_that_names_the_line(text, message):
    with pytest.raises(TruthUnreadable, match=message):
        read_truth(io.StringIO(text))


@pytest.mark.parametrize("truth", [PLAIN, DISTURBED])
@pytest.mark.parametrize("bucket_ms", [MS_PER_QUARTER_HOUR, MS_PER_HOUR, MS_PER_DAY])
def test_a_perfect_measurement_passes(truth, bucket_ms):
    result = score(truth, perfect(truth, bucket_ms))
    assert result.passed
    assert result.max_error_kwh < 1e-9
    assert result.buckets == len(truth.header.devices) * 2 * MS_PER_DAY // bucket_ms
    assert result.mean_relative_error == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 16 * 48 - 1), st.sampled_from(["more", "less", "missing", "coverage", "opposite"]))
@settings(max_examples=40, deadline=None)
def test_every_planted_error_is_found(index, kind):
    buckets = list(perfect(PLAIN))
    bucket = buckets[index]
    exports = bucket.device == "Solar panels"
    energy_kwh = bucket.export_kwh if exports else bucket.import_kwh
    field = "export_kwh" if exports else "import_kwh"
    planted, verdict = {
        "more": (replace(bucket, **{field: energy_kwh + 2e-6}), Verdict.WRONG_ENERGY),
        "less": (replace(bucket, **{field: energy_kwh - 2e-6}), Verdict.WRONG_ENERGY),
        "missing": (replace(bucket, import_kwh=None, export_kwh=None, coverage=0.0), Verdict.MISSING),
        "coverage": (replace(bucket, coverage=bucket.coverage - 0.02), Verdict.WRONG_COVERAGE),
        "opposite": (replace(bucket, import_kwh=0.1, export_kwh=0.1), Verdict.WRONG_ENERGY),
    }[kind]
    buckets[index] = planted
    result = score(PLAIN, buckets)
    assert not result.passed
    ((faulty),) = result.faulty
    assert (faulty.device, faulty.start_ms, faulty.verdict) == (bucket.device, bucket.start_ms, verdict)
    assert [each.device for each in result.devices if not each.passed] == [bucket.device]


def test_what_is_in_no_bucket_is_missing():
    kept = [each for each in perfect(PLAIN) if each.device != "Router"]
    result = score(PLAIN, kept)
    assert {(each.device, each.verdict) for each in result.faulty} == {("Router", Verdict.MISSING)}
    assert len(result.faulty) == 48
    assert not score(PLAIN, ()).passed


def test_energy_where_nothing_was_read_is_invented():
    gap = record("gap=3")
    buckets = list(perfect(gap))
    index = next(number for number, each in enumerate(buckets) if each.coverage == 0)
    assert score(gap, buckets).passed
    buckets[index] = replace(buckets[index], import_kwh=0.0, export_kwh=0.0, coverage=1.0)
    assert [each.verdict for each in score(gap, buckets).faulty] == [Verdict.INVENTED]


def test_buckets_out_of_the_simulated_time_and_other_devices_are_not_judged():
    outside = MeasuredBucket(
        device="Router", start_ms=TO_MS, end_ms=TO_MS + MS_PER_HOUR, import_kwh=9.0, export_kwh=0.0, coverage=1.0
    )
    other = replace(outside, device="Toaster", start_ms=EPOCH_MS, end_ms=EPOCH_MS + MS_PER_HOUR)
    result = score(PLAIN, [*perfect(PLAIN), outside, other])
    assert result.passed
    assert result.unknown_devices == ("Toaster",)


def test_a_series_of_usage_service_is_taken_as_it_is():
    bucket = Bucket(
        start="2026-03-01T01:00:00+01:00",
        end="2026-03-01T02:00:00+01:00",
        import_kwh=0.5,
        export_kwh=None,
        coverage=0.75,
        estimated_kwh=0.0,
    )
    answer = SeriesAnswer(
        user_id=1,
        time_zone="Europe/Berlin",
        resolution="hour",
        from_=bucket.start,
        to=bucket.end,
        devices=(DeviceSeries(id=4, name="Router", buckets=(bucket,)),),
        total=(),
    )
    assert list(measured_buckets(answer)) == [
        MeasuredBucket(
            device="Router",
            start_ms=EPOCH_MS,
            end_ms=EPOCH_MS + MS_PER_HOUR,
            import_kwh=0.5,
            export_kwh=None,
            coverage=0.75,
        )
    ]
