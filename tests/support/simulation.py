"""Small simulations and a perfect measurement of them."""

from collections.abc import Iterator

from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_QUARTER_HOUR
from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.ingestion.simulation.generation import Simulation
from energy_tracker.services.ingestion.simulation.households import household
from energy_tracker.services.ingestion.simulation.score import MeasuredBucket
from energy_tracker.services.ingestion.simulation.truth import Truth, TruthRow

EPOCH_MS = 1_772_323_200_000  # 2026-03-01T00:00Z, a Sunday; the local day began an hour earlier


def simulation(profile: str = "home", seed: int = 7, epoch_ms: int = EPOCH_MS) -> Simulation:
    return Simulation(household=household(profile), seed=seed, epoch_ms=epoch_ms)


def perfect(truth: Truth, bucket_ms: int = MS_PER_HOUR) -> Iterator[MeasuredBucket]:
    """Yield what a faultless usage-service would answer, in buckets of whole quarter-hours."""
    exports = {device.name: device.direction == "export" for device in truth.header.devices}
    buckets: dict[tuple[str, int], list[TruthRow]] = {}
    for row in truth.rows:
        buckets.setdefault((row.device, row.start_ms - row.start_ms % bucket_ms), []).append(row)
    for (device, start_ms), rows in buckets.items():
        covered_ms = sum(row.covered_ms for row in rows)
        energy_kwh = millijoules_to_kwh(sum(row.measurable_mj for row in rows)) if covered_ms else None
        other_kwh = 0.0 if covered_ms else None
        yield MeasuredBucket(
            device=device,
            start_ms=start_ms,
            end_ms=start_ms + bucket_ms,
            import_kwh=other_kwh if exports[device] else energy_kwh,
            export_kwh=energy_kwh if exports[device] else other_kwh,
            coverage=covered_ms / (len(rows) * MS_PER_QUARTER_HOUR),
        )
