"""What the detector is given: a closed quarter-hour of one device or home."""

from typing import Final

import msgspec

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR

LEAST_COVERED_MS: Final = MS_PER_QUARTER_HOUR // 3
"""Where less than a third of a quarter-hour was measured, its mean power is not known."""

NOTHING: Final = -1
"""Stands for a mean power that is not known."""


class QuarterHour(msgspec.Struct, frozen=True, gc=False):
    """A quarter-hour that no reading is expected for any more; all of it follows from its readings and rollup.

    `energy_mj` and `covered_ms` are those of the rollup, without what was estimated over more than an hour.
    `highest_mw` and `lowest_mw` are the extreme powers of single readings in mW (a `power` reading, or the mean of
    an interval or register step that ends in the quarter-hour); None where there is no such thing, as for a home:
    then the mean stands for both. `fell_mj` is by how much a register went back, or how much a reading was below
    zero, in mJ; 0 where neither happened. A quarter-hour without readings may be given or left out: it is the same.
    """

    start_ms: int
    energy_mj: int
    covered_ms: int
    highest_mw: int | None = None
    lowest_mw: int | None = None
    readings: int = 1
    fell_mj: int = 0

    @property
    def top_mw(self) -> int:
        """Return the highest single power in mW, where there is none the mean."""
        return self.mean_mw if self.highest_mw is None else self.highest_mw

    @property
    def mean_mw(self) -> int:
        """Return the mean power over the measured part in mW, `NOTHING` where too little was measured."""
        if self.covered_ms < LEAST_COVERED_MS:
            return NOTHING
        return self.energy_mj * 1_000 // self.covered_ms
