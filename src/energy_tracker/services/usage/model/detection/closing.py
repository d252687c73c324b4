"""From what the streams of a device measured to the quarter-hours that the detector takes."""

from collections.abc import Iterable, Mapping, Sequence

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.detection.quarter_hours import LEAST_COVERED_MS, NOTHING, QuarterHour
from energy_tracker.services.usage.model.measured import Measured, sums_of
from energy_tracker.services.usage.model.steps import Step


def quarter_hours(
    streams: Sequence[tuple[Mapping[int, Measured], Iterable[Step]]], *, from_ms: int, to_ms: int
) -> list[QuarterHour]:
    """Return the quarter-hours of `[from_ms, to_ms)` in which a device was measured or heard of, in order.

    `streams` are what was measured by each of its streams, with the steps that its last reading makes for the time
    being. Of a device with several, extremes of single readings are not known: what they would be together, no reading
    says.
    """
    found: dict[int, Measured] = {}
    for measured, tail in streams:
        _add(found, measured, from_ms=from_ms, to_ms=to_ms)
        held = [step for step in tail if not step.estimated and step.start_ms < to_ms and step.end_ms > from_ms]
        if held:
            sums = {start: Measured(energy, covered) for start, (energy, _, covered) in sums_of(held).items()}
            _add(found, sums, from_ms=from_ms, to_ms=to_ms)
    known = len(streams) == 1
    return [_quarter_hour(start, found[start], extremes_known=known) for start in sorted(found)]


def _add(found: dict[int, Measured], measured: Mapping[int, Measured], *, from_ms: int, to_ms: int) -> None:
    """Add what was measured in `[from_ms, to_ms)`, where there is anything to say."""
    for start_ms, of_start in measured.items():
        if from_ms <= start_ms < to_ms and (of_start.readings or of_start.covered_ms or of_start.energy_mj):
            known = found.get(start_ms)
            if known is None:
                known = found[start_ms] = Measured()
            known.add(of_start)


def home_quarter(quarters: Sequence[QuarterHour], *, start_ms: int) -> QuarterHour:
    """Return a quarter-hour of a home from those of its devices that are expected to report.

    It is known only where each of them was measured: what one does not tell would else look like thrift.
    """
    means = [quarter.mean_mw for quarter in quarters]
    readings = sum([quarter.readings for quarter in quarters])
    if not means or NOTHING in means:
        return QuarterHour(start_ms, 0, 0, readings=readings)
    energy_mj = sum(means) * MS_PER_QUARTER_HOUR // 1_000
    return QuarterHour(start_ms, energy_mj, MS_PER_QUARTER_HOUR, readings=readings)


def _quarter_hour(start_ms: int, measured: Measured, *, extremes_known: bool) -> QuarterHour:
    highest, lowest = (measured.highest_mw, measured.lowest_mw) if extremes_known else (None, None)
    readings = max(measured.readings, int(measured.covered_ms >= LEAST_COVERED_MS))
    return QuarterHour(start_ms, measured.energy_mj, measured.covered_ms, highest, lowest, readings, measured.fell_mj)
