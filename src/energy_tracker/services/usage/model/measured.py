"""What a stream's steps say about quarter-hours, beyond their energy: extremes, readings, falls of a register.

It adds up, so that what is found as readings come is what all of them at once say.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR
from energy_tracker.kit.quantities import kwh_to_millijoules
from energy_tracker.services.usage.model.readings import Kind, Reading
from energy_tracker.services.usage.model.steps import ESTIMATED_LONGER_THAN_MS, Mark, QuarterHours, Step

_NO_FALL: Final = frozenset({Mark.JITTER, Mark.ROLLOVER, Mark.BASELINE})
_NOT_MEASURED: Final = frozenset({Mark.FIRST, Mark.BASELINE, Mark.HELD, Mark.GLITCH, Mark.RESET, Mark.SWAP, Mark.HOLD})
"""Steps whose power says nothing about the device."""

_PLAIN: Final = Mark.PLAIN
_time_of = attrgetter("time_ms")


class Measured(msgspec.Struct, gc=False):
    """What settled steps say about a quarter-hour, without those whose energy is estimated.

    `readings` are those that settled a step; `highest_mw` and `lowest_mw` the extremes of their powers, `fell_mj` by
    how much they went back.
    """

    energy_mj: int = 0
    covered_ms: int = 0
    readings: int = 0
    highest_mw: int | None = None
    lowest_mw: int | None = None
    fell_mj: int = 0

    def add(self, other: "Measured") -> None:
        """Add what other steps say."""
        self.energy_mj += other.energy_mj
        self.covered_ms += other.covered_ms
        self.readings += other.readings
        self.fell_mj += other.fell_mj
        if other.highest_mw is not None and other.lowest_mw is not None:
            self.take(other.highest_mw, other.lowest_mw)

    def take(self, highest_mw: int, lowest_mw: int) -> None:
        """Add extremes of single powers."""
        if self.highest_mw is None or highest_mw > self.highest_mw:
            self.highest_mw = highest_mw
        if self.lowest_mw is None or lowest_mw < self.lowest_mw:
            self.lowest_mw = lowest_mw


def measured_by(
    settled_by: Sequence[Reading], steps: Sequence[Step], sums: Mapping[int, Sequence[int]] | None = None
) -> dict[int, Measured]:
    """Return what steps say: start of a quarter-hour in ms → what was measured.

    `settled_by` are the readings that settled them, one for each, of one kind and in order. `sums` are what the steps
    add to quarter-hours, where that is known.
    """
    found: dict[int, Measured] = {}
    if not steps:
        return found
    kind = settled_by[0].kind
    if max([step.end_ms - step.start_ms for step in steps]) > ESTIMATED_LONGER_THAN_MS:
        sums = sums_of(step for step in steps if not step.estimated)
    elif sums is None:
        sums = sums_of(steps)
    for start_ms, (energy_mj, _, covered_ms) in sums.items():
        found[start_ms] = Measured(energy_mj, covered_ms)
    # a power holds from its instant on, energy lies before it
    before_ms = 0 if kind == "power" else 1
    last_ms, position = settled_by[-1].time_ms, 0
    while position < len(steps):
        time_ms = settled_by[position].time_ms - before_ms
        start_ms = time_ms - time_ms % MS_PER_QUARTER_HOUR
        end_ms = start_ms + MS_PER_QUARTER_HOUR + before_ms
        until = len(steps) if last_ms < end_ms else bisect_left(settled_by, end_ms, position, key=_time_of)
        measured = found.get(start_ms)
        if measured is None:
            measured = found[start_ms] = Measured()
        _look_at(measured, kind, settled_by[position:until], steps[position:until])
        position = until
    return found


def take_one(found: dict[int, Measured], reading: Reading, step: Step) -> None:
    """Add what one step says, with the reading that settled it: the short way for what comes by itself."""
    kind, begin_ms, end_ms = reading.kind, step.start_ms, step.end_ms
    time_ms = reading.time_ms if kind == "power" else reading.time_ms - 1
    start_ms = time_ms - time_ms % MS_PER_QUARTER_HOUR
    if step.mark is not _PLAIN or not start_ms <= begin_ms < end_ms <= start_ms + MS_PER_QUARTER_HOUR:
        add_all(found, measured_by((reading,), (step,)))
        return
    measured = found.get(start_ms)
    if measured is None:
        measured = found[start_ms] = Measured()
    energy_mj = step.energy_mj
    measured.energy_mj += energy_mj
    measured.covered_ms += end_ms - step.covered_from_ms
    measured.readings += 1
    power_mw = round(reading.amount * 1_000) if kind == "power" else energy_mj * 1_000 // (end_ms - begin_ms)
    if measured.highest_mw is None or power_mw > measured.highest_mw:
        measured.highest_mw = power_mw
    if measured.lowest_mw is None or power_mw < measured.lowest_mw:
        measured.lowest_mw = power_mw
    if kind == "register":
        measured.fell_mj += _fall_of(step)


def add_all(found: dict[int, Measured], more: Mapping[int, Measured]) -> None:
    """Add what other steps say; what was not there before is taken over."""
    for start_ms, measured in more.items():
        known = found.get(start_ms)
        if known is None:
            found[start_ms] = measured
        else:
            known.add(measured)


def sums_of(steps: Iterable[Step]) -> QuarterHours:
    """Return what steps add to quarter-hours."""
    sums = QuarterHours()
    sums.add_all(steps)
    return sums


def _look_at(measured: Measured, kind: Kind, settled_by: Sequence[Reading], steps: Sequence[Step]) -> None:
    """Add what the readings that lie in a quarter-hour say, with the steps that they settled."""
    measured.readings += len(steps)
    if kind == "power":
        amounts = [reading.amount for reading in settled_by]
        measured.take(round(max(amounts) * 1_000), round(min(amounts) * 1_000))
        return
    powers_mw = [
        step.energy_mj * 1_000 // (step.end_ms - step.start_ms)
        for step in steps
        if (step.mark is _PLAIN or step.mark not in _NOT_MEASURED) and step.end_ms > step.start_ms
    ]
    if powers_mw:
        measured.take(max(powers_mw), min(powers_mw))
    if kind == "register":
        measured.fell_mj += sum([_fall_of(step) for step in steps])


def _fall_of(step: Step) -> int:
    """Return by how many mJ a register went back."""
    before, after = step.amount_before, step.amount
    if before is None or after is None or after >= before or step.mark in _NO_FALL:
        return 0
    return kwh_to_millijoules(before) - kwh_to_millijoules(after)
