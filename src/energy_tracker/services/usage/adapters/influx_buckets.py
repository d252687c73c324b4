"""Adding up versions of quarter-hours: of each, the newest one, as far as it is committed."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.adapters.influx_rows import NOTHING, NS_PER_QUARTER_HOUR, Sums
from energy_tracker.storage.influx import Series

LastCommitted = Callable[[int, int], int]
"""Tells the last write that is committed, by partition and epoch."""


def sums_by_bucket(
    series: Series, since_epoch: int, boundaries_ms: Sequence[int], last_committed: LastCommitted
) -> Iterator[tuple[int, Sums]]:
    """Yield the sums of the newest versions of quarter-hours, by the number of the bucket that they lie in."""
    totals: dict[int, list[int]] = {}
    newest: dict[int, list[Any]] = {}
    for row in series.values:  # in order of time: a later version replaces an earlier one
        if row[0] % NS_PER_QUARTER_HOUR >= since_epoch:
            newest[row[0] // NS_PER_QUARTER_HOUR] = row
    last: dict[tuple[str, int], int] = {}
    for quarter, (point_ns, energy_mj, estimated_mj, covered_ms, source) in newest.items():
        partition, write, before = source.split(".", 2)
        place = (partition, point_ns % NS_PER_QUARTER_HOUR)
        if place not in last:
            last[place] = last_committed(int(partition), place[1])
        if int(write) > last[place]:
            energy_mj, estimated_mj, covered_ms = map(int, before.split("."))  # noqa: PLW2901 - what it held before
        sums = totals.setdefault(bisect_right(boundaries_ms, quarter * MS_PER_QUARTER_HOUR) - 1, [0, 0, 0])
        sums[0] += energy_mj
        sums[1] += estimated_mj
        sums[2] += covered_ms
    for bucket, (energy_mj, estimated_mj, covered_ms) in totals.items():
        sums_of_bucket = Sums(energy_mj, estimated_mj, covered_ms)
        if sums_of_bucket != NOTHING:
            yield bucket, sums_of_bucket
