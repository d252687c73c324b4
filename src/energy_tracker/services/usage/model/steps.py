"""A step: what one reading adds to what is known, and how its energy lies over time."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_QUARTER_HOUR
from energy_tracker.kit.quantities import energy_before

ESTIMATED_LONGER_THAN_MS: Final = MS_PER_HOUR
"""Energy that is spread over more than this is an estimate for each part of it."""


class Mark(StrEnum):
    """How a step came about; everything but `plain` is worth a look."""

    PLAIN = "plain"
    FIRST = "first"
    """The first interval of a stream: its energy belongs to the quarter-hour that ends at or after it."""
    BASELINE = "baseline"
    """The first value of a register: no energy."""
    JITTER = "jitter"
    """A fall of less than 10 Wh: no energy, and climbing back adds none."""
    HELD = "held"
    """A fall or jump that the next readings have not judged yet: no energy so far."""
    GLITCH = "glitch"
    """A fall or jump that was taken back: ignored."""
    RESET = "reset"
    """The register started again from 0."""
    ROLLOVER = "rollover"
    """The register passed its greatest value and went on from 0."""
    FAST = "fast"
    """A rise faster than the device should be capable of, that stayed or went on: counted."""
    SWAP = "swap"
    """Another meter, or another count: a new baseline; what was used between is not known."""
    HOLD = "hold"
    """The last power value, held for as long as it may."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """Energy of `[start_ms, end_ms)` in mJ, spread evenly, derived from the amounts of two readings or of one.

    `covered_from_ms` is where it begins to cover time that nothing before it covered; a step whose mark explains why
    nothing was added covers nothing (`covered_from_ms == end_ms`). Amounts are in the unit of the stream's kind.
    """

    start_ms: int
    end_ms: int
    energy_mj: int
    covered_from_ms: int
    mark: Mark = Mark.PLAIN
    amount_before: float | None = None
    amount: float | None = None

    @property
    def estimated(self) -> bool:
        """Whether how the energy lies within the step is an estimate."""
        return self.end_ms - self.start_ms > ESTIMATED_LONGER_THAN_MS

    def energy_within(self, from_ms: int, to_ms: int) -> int:
        """Return the energy in mJ within `[from_ms, to_ms)`; a step without length lies just before its instant."""
        start, end = self.start_ms, self.end_ms
        if start == end:
            return self.energy_mj if from_ms < end <= to_ms else 0
        low, high = max(start, from_ms), min(end, to_ms)
        if high <= low:
            return 0
        length = end - start
        return energy_before(self.energy_mj, high - start, length) - energy_before(self.energy_mj, low - start, length)


class QuarterHours(dict[int, list[int]]):
    """Changes to a stream's quarter-hours: start in ms → [energy mJ, estimated mJ, covered ms]."""

    def add(self, step: Step, sign: int = 1) -> None:
        """Spread a step over the quarter-hours that it touches; `sign` -1 takes it back."""
        start, end, energy_mj = step.start_ms, step.end_ms, step.energy_mj
        quarter = start - start % MS_PER_QUARTER_HOUR
        if end <= quarter + MS_PER_QUARTER_HOUR:
            if start == end:
                if not energy_mj:
                    return
                quarter = (end - 1) - (end - 1) % MS_PER_QUARTER_HOUR
            self._change(quarter, sign * energy_mj, 0, sign * (end - step.covered_from_ms))
            return
        length = end - start
        estimated = length > ESTIMATED_LONGER_THAN_MS
        covered_from, before = step.covered_from_ms, 0
        while quarter < end:
            until = min(quarter + MS_PER_QUARTER_HOUR, end)
            passed = energy_mj * (until - start) // length
            part = sign * (passed - before)
            covered = max(0, until - max(quarter, covered_from))
            self._change(quarter, part, part if estimated else 0, sign * covered)
            before = passed
            quarter += MS_PER_QUARTER_HOUR

    def add_all(self, steps: Iterable[Step]) -> None:
        """Spread steps; of those that follow each other within one quarter-hour, the sums are added."""
        quarter = until = energy_mj = covered_ms = 0
        for step in steps:
            start, end = step.start_ms, step.end_ms
            if quarter <= start < end <= until:
                energy_mj += step.energy_mj
                covered_ms += end - step.covered_from_ms
                continue
            if energy_mj or covered_ms:
                self._change(quarter, energy_mj, 0, covered_ms)
                energy_mj = covered_ms = 0
            self.add(step)
            quarter = end - end % MS_PER_QUARTER_HOUR
            until = quarter + MS_PER_QUARTER_HOUR
        if energy_mj or covered_ms:
            self._change(quarter, energy_mj, 0, covered_ms)

    def _change(self, quarter: int, energy_mj: int, estimated_mj: int, covered_ms: int) -> None:
        sums = self.get(quarter)
        if sums is None:
            self[quarter] = [energy_mj, estimated_mj, covered_ms]
        else:
            sums[0] += energy_mj
            sums[1] += estimated_mj
            sums[2] += covered_ms

    def merge(self, other: "QuarterHours") -> None:
        """Add the changes of another."""
        for quarter, sums in other.items():
            self._change(quarter, *sums)

    def changes(self) -> list[tuple[int, int, int, int]]:
        """Return (start, energy mJ, estimated mJ, covered ms) of what is not zero, in order of time."""
        return [(quarter, *sums) for quarter, sums in sorted(self.items()) if any(sums)]  # type: ignore[misc]  # three integers each
