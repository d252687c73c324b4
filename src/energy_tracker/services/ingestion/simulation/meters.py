"""How meters read power over time."""

from collections.abc import Sequence

from energy_tracker.kit.instants import MS_PER_SECOND
from energy_tracker.kit.quantities import kwh_to_millijoules, millijoules_to_kwh
from energy_tracker.services.ingestion.simulation.readings import SimulatedDevice, SimulatedReading
from energy_tracker.services.ingestion.simulation.segments import Segment
from energy_tracker.services.ingestion.simulation.surroundings import chance


class Meter:
    """Reads one device, at the instants of a grid with a phase of its own, so that meters do not chime together."""

    def __init__(self, device: SimulatedDevice, *, seed: int) -> None:
        self._device = device
        self._phase_ms = chance(seed, device.name, "phase").randrange(device.period_ms // MS_PER_SECOND) * MS_PER_SECOND
        self._event_prefix = f"sim-{seed}-" if device.sends_event_id else None

    def powers(self, segments: Sequence[Segment]) -> list[SimulatedReading]:
        """Return a reading where each segment begins, and at every instant of the grid within it."""
        device, period_ms = self._device, self._device.period_ms
        prefix, readings = self._event_prefix, []
        for start_ms, end_ms, power_w in segments:
            after_start_ms = start_ms + period_ms - (start_ms - self._phase_ms) % period_ms
            for at_ms in (start_ms, *range(after_start_ms, end_ms, period_ms)):
                readings.append(  # noqa: PERF401 - a comprehension over both loops is harder to read
                    SimulatedReading(
                        at_ms=at_ms,
                        device=device.name,
                        kind="power",
                        direction=device.direction,
                        power_w=power_w,
                        event_id=f"{prefix}{at_ms}" if prefix else None,
                    )
                )
        return readings

    def registers(self, segments: Sequence[Segment], counter_mj: int) -> list[SimulatedReading]:
        """Return the readings of a register that has counted `counter_mj` since the epoch when the segments begin."""
        device = self._device
        base_mj = kwh_to_millijoules(device.base_kwh)
        readings = []
        for at_ms, energy_mj in self._grid(segments, segments[0].start_ms):
            counted_mj = base_mj + counter_mj + energy_mj
            counted_mj -= counted_mj % device.resolution_mj
            reading = SimulatedReading(
                at_ms=at_ms,
                device=device.name,
                kind="register",
                direction=device.direction,
                register_kwh=millijoules_to_kwh(counted_mj),
                event_id=f"{self._event_prefix}{at_ms}" if self._event_prefix else None,
                counter_mj=counted_mj,
            )
            readings.append(reading)
        return readings

    def intervals(self, segments: Sequence[Segment], from_ms: int) -> list[SimulatedReading]:
        """Return the energies since the reading before, from an instant on; segments begin a period earlier."""
        device = self._device
        readings = []
        before_mj = 0
        for at_ms, energy_mj in self._grid(segments, from_ms - device.period_ms):
            if at_ms >= from_ms:
                reading = SimulatedReading(
                    at_ms=at_ms,
                    device=device.name,
                    kind="interval",
                    direction=device.direction,
                    energy_kwh=millijoules_to_kwh(energy_mj - before_mj),
                    since_ms=at_ms - device.period_ms if device.sends_since else None,
                    event_id=f"{self._event_prefix}{at_ms}" if self._event_prefix else None,
                )
                readings.append(reading)
            before_mj = energy_mj
        return readings

    def _grid(self, segments: Sequence[Segment], from_ms: int) -> list[tuple[int, int]]:
        """Return the instants of the grid from one on, and the energy in mJ from the first segment's start."""
        period_ms = self._device.period_ms
        at_ms = from_ms + (self._phase_ms - from_ms) % period_ms
        energy_mj, points = 0, []
        for segment in segments:
            while at_ms < segment.end_ms:
                points.append((at_ms, energy_mj + round(segment.power_w * (at_ms - segment.start_ms))))
                at_ms += period_ms
            energy_mj += segment.energy_mj
        return points
