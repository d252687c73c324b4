"""What is usual: made from the days that are kept, whenever one ends."""

from collections.abc import Iterable, Sequence

from energy_tracker.services.usage.model.detection.medians import median
from energy_tracker.services.usage.model.detection.schedule import use_limit
from energy_tracker.services.usage.model.detection.state import NO_WINDOW, WINDOWS, Day, Reference

ON_SHARE_PERCENT = 35
"""On begins this far above the floor, between it and the usual peak."""

ALWAYS_ON_PERCENT = 60
"""A device whose floor is above this share of its peak is never off."""

ODD_DAYS = 14
LEAST_ON_MW = 1_000


def make_reference(history: Sequence[Day]) -> Reference:
    """Return what the days say is usual."""
    days = [day for day in history if day.floor != NO_WINDOW]
    if not days:
        return Reference(days=0)
    floor, peak = median([day.floor for day in days]), median([day.peak for day in days])
    peaks = sorted(day.peak for day in days)
    peak = max(peak, peaks[len(peaks) * 3 // 4])
    on_mw = floor + max((peak - floor) * ON_SHARE_PERCENT // 100, LEAST_ON_MW)
    if floor * 100 >= peak * ALWAYS_ON_PERCENT:
        on_mw = floor // 2
    highest = [day.highest for day in days]
    levels = [day.level for day in days if day.level > 0]
    return Reference(
        days=len(days),
        on_mw=on_mw,
        use_mw=use_limit(days, floor, peak),
        idle_mw=min(on_mw, floor + LEAST_ON_MW),
        floor=floor,
        level=median(levels),
        most=tuple(max(day.most[index] for day in days) for index in range(len(WINDOWS))),
        most_usual=tuple(median(_known(day.most[index] for day in days)) for index in range(len(WINDOWS))),
        least=tuple(min(_known(day.least[index] for day in days), default=0) for index in range(len(WINDOWS))),
        least_usual=tuple(median(_known(day.least[index] for day in days)) for index in range(len(WINDOWS))),
        highest=max(highest),
        highest_usual=median(highest),
        run=max(day.longest_run for day in days),
        rest=max(day.longest_rest for day in days),
        rest_usual=median([day.longest_rest for day in days]),
        gap=_longest([day.longest_gap for day in days]),
        flats=(_longest([day.flats[0] for day in days]), _longest([day.flats[1] for day in days])),
    )


def _longest(lengths: list[int]) -> int:
    """Return the longest but one in a fortnight: an outage is told again, what happens each week is not."""
    return sorted(lengths)[-1 - len(lengths) // ODD_DAYS]


def _known(values: Iterable[int]) -> list[int]:
    return [value for value in values if value != NO_WINDOW]
