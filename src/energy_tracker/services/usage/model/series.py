"""Adding up quarter-hours into the buckets of a series, per device and for a home."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from energy_tracker.services.usage.model.homes import Period
from energy_tracker.services.usage.model.rollups import BucketSum


@dataclass(frozen=True, slots=True)
class Column:
    """What was measured, one entry for each span of time: energies in mJ (None: nothing was), covered time in ms."""

    import_mj: list[int | None]
    export_mj: list[int | None]
    estimated_mj: list[int]
    covered_ms: list[int]


def blank_column(length: int) -> Column:
    """Return a column in which nothing was measured."""
    return Column([None] * length, [None] * length, [0] * length, [0] * length)


@dataclass(frozen=True, slots=True)
class Grid:
    """Spans of time fine enough that each lies in one bucket and in one period of the home."""

    boundaries_ms: list[int]
    """The edges of the buckets, in ms since 1970."""
    cuts_ms: list[int]
    """The edges of the spans: those of the buckets, and the home's changes."""
    bucket_of: list[int]
    """The bucket of each span."""
    period_of: list[Period]
    """The home of each span."""
    periods: Sequence[Period]

    @property
    def buckets_ms(self) -> list[int]:
        """The length of each bucket."""
        return [end - start for start, end in pairwise(self.boundaries_ms)]


def lay_grid(boundaries_ms: list[int], periods: Sequence[Period]) -> Grid:
    """Lay the buckets over the periods of a home; both begin and end at the same instants."""
    cuts = sorted({*boundaries_ms, *(period.start_ms for period in periods)})
    starts = [period.start_ms for period in periods]
    return Grid(
        boundaries_ms,
        cuts,
        [bisect_right(boundaries_ms, cut) - 1 for cut in cuts[:-1]],
        [periods[bisect_right(starts, cut) - 1] for cut in cuts[:-1]],
        periods,
    )


def columns_by_device(sums: Iterable[BucketSum], grid: Grid) -> dict[int, Column]:
    """Put the sums of streams together, per device and span; what does not belong to the home is left out.

    Directions are kept apart and channels added up; a device covers what the best of its streams covers.
    """
    columns: dict[int, Column] = {}
    owned = [period.owned for period in grid.period_of]
    for device_id, span, direction, _, energy_mj, estimated_mj, covered_ms in sums:
        if device_id not in owned[span] or not (energy_mj or covered_ms):
            continue
        column = columns.get(device_id)
        if column is None:
            column = columns[device_id] = blank_column(len(owned))
        energies = column.import_mj if direction == "import" else column.export_mj
        energies[span] = (energies[span] or 0) + energy_mj
        if estimated_mj:
            column.estimated_mj[span] += estimated_mj
        column.covered_ms[span] = max(column.covered_ms[span], covered_ms)
    return columns


def total_column(columns: Mapping[int, Column], grid: Grid) -> Column:
    """Add up the devices that count, span by span."""
    total = blank_column(len(grid.period_of))
    imports, exports, estimates, covers = total.import_mj, total.export_mj, total.estimated_mj, total.covered_ms
    counted = [period.counted for period in grid.period_of]
    for device_id, column in columns.items():
        rows = zip(column.import_mj, column.export_mj, column.estimated_mj, column.covered_ms, counted, strict=True)
        for span, (imported, exported, estimated, covered, counts) in enumerate(rows):
            if device_id not in counts:
                continue
            if imported is not None:
                imports[span] = (imports[span] or 0) + imported
            if exported is not None:
                exports[span] = (exports[span] or 0) + exported
            estimates[span] += estimated
            covers[span] += covered
    return total


def by_bucket(column: Column, grid: Grid) -> Column:
    """Add up the spans of each bucket."""
    count = len(grid.boundaries_ms) - 1
    if len(grid.bucket_of) == count:
        return column
    result = blank_column(count)
    for span, bucket in enumerate(grid.bucket_of):
        for parts, sums in ((column.import_mj, result.import_mj), (column.export_mj, result.export_mj)):
            part = parts[span]
            if part is not None:
                sums[bucket] = (sums[bucket] or 0) + part
        result.estimated_mj[bucket] += column.estimated_mj[span]
        result.covered_ms[bucket] += column.covered_ms[span]
    return result


def expected_ms(grid: Grid) -> list[int]:
    """Return, per bucket, the time that all counted devices together could have covered, in ms."""
    result = [0] * (len(grid.boundaries_ms) - 1)
    spans = zip(pairwise(grid.cuts_ms), grid.bucket_of, grid.period_of, strict=True)
    for (start, end), bucket, period in spans:
        result[bucket] += (end - start) * len(period.counted & period.in_use)
    return result


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a home over a grid: a column of spans for each device that has any figure."""

    grid: Grid
    columns: Mapping[int, Column]

    def of_device(self, device_id: int) -> Column:
        """Return what was measured of a device, by bucket."""
        column = self.columns.get(device_id)
        return by_bucket(column, self.grid) if column else blank_column(len(self.grid.boundaries_ms) - 1)

    def shows(self, device_id: int) -> bool:
        """Tell whether a device belongs into an answer that names none: it has figures in it, or is in use."""
        return device_id in self.columns or any(device_id in period.in_use for period in self.grid.periods)
