"""What the models must keep, whatever is tuned; the comparison with real appliances is bench/compare_tracebase.py."""

import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, pairwise

import pytest

from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_MINUTE, to_ms
from energy_tracker.services.ingestion.simulation.appliances.base import Appliance
from energy_tracker.services.ingestion.simulation.appliances.cooling import REFRIGERATOR
from energy_tracker.services.ingestion.simulation.appliances.energy import CarCharger, HeatPump, SolarPanels
from energy_tracker.services.ingestion.simulation.appliances.kitchen import Kettle
from energy_tracker.services.ingestion.simulation.appliances.laboratory import VacuumPump
from energy_tracker.services.ingestion.simulation.appliances.laundry import Dryer, WashingMachine, washings
from energy_tracker.services.ingestion.simulation.segments import Segment, total_energy_mj
from energy_tracker.services.ingestion.simulation.surroundings import Day, Habits, Place, day_after, day_of


def days(first: str = "2026-01-05") -> Iterator[Day]:
    at_ms = to_ms(datetime.fromisoformat(first).replace(tzinfo=UTC))
    day = day_of(seed=5, at_ms=at_ms, place=Place(), habits=Habits())
    while True:
        yield day
        day = day_after(day)


def weeks(appliance: Appliance, first: str = "2026-01-05", number: int = 28) -> list[Segment]:
    return [segment for day in islice(days(first), number) for segment in appliance.segments(day, "specimen")]


def daily_kwh(appliance: Appliance, first: str) -> float:
    return total_energy_mj(weeks(appliance, first)) / 28 / 3.6e9


def test_a_refrigerator_cycles():
    segments = weeks(REFRIGERATOR)
    running_ms = sum(segment.end_ms - segment.start_ms for segment in segments if segment.power_w > 50)
    duty = running_ms / (segments[-1].end_ms - segments[0].start_ms)
    assert 0.25 < duty < 0.45
    assert 0.5 < daily_kwh(REFRIGERATOR, "2026-01-05") < 1.1
    assert daily_kwh(REFRIGERATOR, "2026-07-06") > daily_kwh(REFRIGERATOR, "2026-01-05")


def test_a_kettle_boils_for_minutes_when_somebody_is_there():
    boiling = [segment for segment in weeks(Kettle()) if segment.power_w > 0]
    assert 60_000 < statistics.median(segment.end_ms - segment.start_ms for segment in boiling) < 5 * MS_PER_MINUTE
    for day in islice(days(), 28):
        if not day.presence.awake:
            assert total_energy_mj(Kettle().segments(day, "specimen")) == 0


def test_a_heat_pump_follows_the_outdoor_temperature():
    pump = HeatPump()
    assert pump.electric_w(-10) > 1.5 * pump.electric_w(5) > pump.electric_w(15) >= pump.electric_w(25) == 0
    assert daily_kwh(pump, "2026-01-05") > 4 * daily_kwh(pump, "2026-07-06")


def test_panels_give_nothing_at_night_and_more_in_summer():
    panels = SolarPanels()
    for segment in weeks(panels, "2026-06-01", 3):
        hour = segment.start_ms % (24 * MS_PER_HOUR) / MS_PER_HOUR
        assert segment.power_w == 0 or 3 < hour < 20
    assert daily_kwh(panels, "2026-06-01") > 3 * daily_kwh(panels, "2026-12-01") > 0
    sydney = Place(latitude_deg=-33.9, longitude_deg=151.2, zone="Australia/Sydney")
    december = day_of(seed=1, at_ms=to_ms(datetime(2026, 12, 21, tzinfo=UTC)), place=sydney, habits=Habits())
    assert total_energy_mj(panels.segments(december, "panels")) > 5 * 3.6e9


def test_a_car_is_charged_at_constant_power_with_a_falling_end():
    charging = [segment for segment in weeks(CarCharger()) if segment.power_w > 100]
    assert max(segment.power_w for segment in charging) == pytest.approx(11_040, rel=0.02)
    sessions = 1 + sum(right.start_ms - left.end_ms > MS_PER_HOUR for left, right in pairwise(charging))
    assert 5 <= total_energy_mj(charging) / sessions / 3.6e9 <= 27


def test_what_is_dried_was_washed_before():
    for day in islice(days(), 60):
        ends = [start + 105 * 60 for start in washings(day, 0.35)]
        for run in Dryer().runs(day, "dryer"):
            assert any(0 < run.start_s - end < 3_600 for end in ends)
        assert len(list(WashingMachine().runs(day, "washer"))) == len(ends)


def test_a_run_goes_on_over_midnight():
    pump = VacuumPump(share_of_days=1.0)
    for day in islice(days(), 60):
        ends = [run.start_s + sum(step.duration_s for step in run.steps) for run in pump.runs(day, "pump")]
        if ends and ends[-1] > 25 * 3_600:
            assert pump.segments(day_after(day), "pump")[0].power_w > 100
            return
    pytest.fail("no pumping in 60 days lasts over midnight")
