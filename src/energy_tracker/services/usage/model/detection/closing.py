"""From the steps of a device's streams to the quarter-hours that the detector takes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR
from energy_tracker.kit.quantities import kwh_to_millijoules
from energy_tracker.services.usage.model.detection.quarter_hours import LEAST_COVERED_MS, NOTHING, QuarterHour
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.model.steps import Mark, QuarterHours, Step

StepOf = tuple[Reading | None, Step]
"""A step, and the reading that settled it; None for what the last reading makes for the time being."""

_NO_FALL: Final = frozenset({Mark.JITTER, Mark.ROLLOVER, Mark.BASELINE})
_NOT_MEASURED: Final = frozenset({Mark.FIRST, Mark.BASELINE, Mark.HELD, Mark.GLITCH, Mark.RESET, Mark.SWAP, Mark.HOLD})
"""Steps whose power says nothing about the device."""


class _Extremes(msgspec.Struct):
    highest_mw: int | None = None
    lowest_mw: int | None = None
    fell_mj: int = 0
    readings: int = 0

    def take(self, power_mw: int) -> None:
        self.highest_mw = power_mw if self.highest_mw is None else max(self.highest_mw, power_mw)
        self.lowest_mw = power_mw if self.lowest_mw is None else min(self.lowest_mw, power_mw)


def quarter_hours(streams: Sequence[Iterable[StepOf]], *, from_ms: int, to_ms: int) -> list[QuarterHour]:
    """Return the quarter-hours of `[from_ms, to_ms)` in which a device was measured or heard of, in order.

    `streams` are the steps of each of its streams. Of a device with several, extremes of single readings are not
    known: what they would be together, no reading says.
    """
    sums, extremes = QuarterHours(), defaultdict[int, _Extremes](_Extremes)
    for steps in streams:
        for reading, step in steps:
            if not step.estimated:
                sums.add(step)
            if reading is not None:
                _look_at(extremes[_quarter_of(reading)], reading, step)
    known = len(streams) == 1
    return [
        _quarter_hour(start, sums.get(start, (0, 0, 0)), extremes.get(start), extremes_known=known)
        for start in sorted(sums.keys() | extremes.keys())
        if from_ms <= start < to_ms
    ]


def home_quarter(quarters: Sequence[QuarterHour], *, start_ms: int) -> QuarterHour:
    """Return a quarter-hour of a home from those of its devices that are expected to report.

    It is known only where each of them was measured: what one does not tell would else look like thrift.
    """
    means = [quarter.mean_mw for quarter in quarters]
    readings = sum(quarter.readings for quarter in quarters)
    if not means or NOTHING in means:
        return QuarterHour(start_ms, 0, 0, readings=readings)
    energy_mj = sum(means) * MS_PER_QUARTER_HOUR // 1_000
    return QuarterHour(start_ms, energy_mj, MS_PER_QUARTER_HOUR, readings=readings)


def _quarter_hour(
    start_ms: int, sums: Sequence[int], extremes: _Extremes | None, *, extremes_known: bool
) -> QuarterHour:
    energy_mj, _, covered_ms = sums
    seen = extremes or _Extremes()
    highest, lowest = (seen.highest_mw, seen.lowest_mw) if extremes_known else (None, None)
    readings = max(seen.readings, int(covered_ms >= LEAST_COVERED_MS))
    return QuarterHour(start_ms, energy_mj, covered_ms, highest, lowest, readings, seen.fell_mj)


def _look_at(seen: _Extremes, reading: Reading, step: Step) -> None:
    seen.readings += 1
    if reading.kind == "power":
        seen.take(round(reading.amount * 1_000))
        return
    before, after = step.amount_before, step.amount
    if reading.kind == "register" and before is not None and after is not None and step.mark not in _NO_FALL:
        seen.fell_mj += max(0, kwh_to_millijoules(before) - kwh_to_millijoules(after))
    if step.end_ms > step.start_ms and step.mark not in _NOT_MEASURED:
        seen.take(step.energy_mj * 1_000 // (step.end_ms - step.start_ms))


def _quarter_of(reading: Reading) -> int:
    """Return the quarter-hour that a reading tells of: a power holds from its instant on, energy lies before it."""
    time_ms = reading.time_ms if reading.kind == "power" else reading.time_ms - 1
    return time_ms - time_ms % MS_PER_QUARTER_HOUR
