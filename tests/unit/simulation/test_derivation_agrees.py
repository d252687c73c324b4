"""usage-service's derivation against the truth, which was written apart from it: two readings of the same rules."""

import pytest
from tests.support.simulation import EPOCH_MS, simulation

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_QUARTER_HOUR
from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.ingestion.simulation.faults import disturb, parse_faults
from energy_tracker.services.ingestion.simulation.readings import SimulatedDevice, SimulatedReading
from energy_tracker.services.ingestion.simulation.score import MeasuredBucket, score
from energy_tracker.services.ingestion.simulation.truth import TruthRecorder
from energy_tracker.services.usage.model.derivation import in_order, steps_of
from energy_tracker.services.usage.model.readings import DeviceRules, Reading
from energy_tracker.services.usage.model.steps import QuarterHours

TO_MS = EPOCH_MS + MS_PER_DAY


def stored(reading: SimulatedReading) -> Reading:
    amounts = (reading.power_w, reading.register_kwh, reading.energy_kwh)
    return Reading(
        device_id=1,
        time_ms=reading.at_ms,
        given_key=str(reading.at_ms).encode(),
        kind=reading.kind,
        amount=next(amount for amount in amounts if amount is not None),
        since_ms=reading.since_ms,
    )


def derived(device: SimulatedDevice, readings: list[Reading]) -> list[MeasuredBucket]:
    quarters = QuarterHours()
    rules = DeviceRules(device.kind, device.direction, device.max_hold_ms, device.rated_power_w)
    for step in steps_of(in_order(readings), None, device.kind, rules):
        quarters.add(step)
    buckets = []
    for start_ms in range(EPOCH_MS, TO_MS, MS_PER_HOUR):
        inside = [quarters.get(start_ms + part * MS_PER_QUARTER_HOUR, [0, 0, 0]) for part in range(4)]
        covered_ms = sum(covered for _, _, covered in inside)
        energy_kwh = millijoules_to_kwh(sum(energy for energy, _, _ in inside)) if covered_ms else None
        exports = device.direction == "export"
        buckets.append(
            MeasuredBucket(
                device=device.name,
                start_ms=start_ms,
                end_ms=start_ms + MS_PER_HOUR,
                import_kwh=None if exports else energy_kwh,
                export_kwh=energy_kwh if exports else None,
                coverage=covered_ms / MS_PER_HOUR,
            )
        )
    return buckets


@pytest.mark.parametrize(
    ("profile", "faults"),
    [
        ("home", ""),
        ("lab", "all"),
        ("home", "all,gap=1"),
        ("home", "gap=1,lost=0.1"),
        ("lab", "rollover=1"),
        ("home", "reset=7,glitch=0.01,jitter=0.02"),
    ],
)
def test_every_hour_of_every_device_is_derived_right(profile, faults):
    simulated = simulation(profile)
    recorder = TruthRecorder(simulated, EPOCH_MS, TO_MS)
    arrived: dict[str, dict[int, Reading]] = {}
    for delivery in disturb(simulated.readings(EPOCH_MS, TO_MS), parse_faults(faults), seed=3, truth=recorder):
        arrived.setdefault(delivery.reading.device, {})[delivery.reading.at_ms] = stored(delivery.reading)
    measured = [
        bucket
        for device in simulated.household.devices
        for bucket in derived(device, list(arrived[device.name].values()))
    ]
    result = score(recorder.finish(), measured)
    assert result.passed, result.faulty[:3]
    assert result.buckets == 24 * len(simulated.household.devices)
