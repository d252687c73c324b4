"""How far a day lies above the weeks before, hour by hour: many small differences that point the same way."""

from collections.abc import Sequence
from typing import Final

from energy_tracker.services.usage.model.detection.quarter_hours import NOTHING
from energy_tracker.services.usage.model.detection.state import Day

HOURS: Final = 24
LEAST_PAST: Final = 7
LEAST_HOURS: Final = 18
CLIPPED: Final = 300
"""No hour says more than three spreads."""

LEAST_SPREAD_MW: Final = 1_000


def lift(hours: Sequence[int], past: Sequence[Day]) -> int:
    """Return how far the hours lie above their medians, as a mean in hundredths of their spread.

    Below the median it is 0, not known -1. The spread is the median absolute deviation, at least a twentieth
    of the median.
    """
    total = known = 0
    for mean, column in zip(hours, zip(*[day.hours for day in past], strict=True), strict=False):
        if mean == NOTHING:
            continue
        usual = sorted([each for each in column if each != NOTHING])
        if len(usual) < LEAST_PAST:
            continue
        middle = usual[len(usual) // 2]
        deviations = sorted([abs(each - middle) for each in usual])
        spread = max(deviations[len(deviations) // 2], middle // 20, LEAST_SPREAD_MW)
        total += max(-CLIPPED, min(CLIPPED, (mean - middle) * 100 // spread))
        known += 1
    return max(total // known, 0) if known >= LEAST_HOURS else NOTHING
