"""Which devices make up a home, and when: a device may change hands, become a sub-meter, or retire."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from energy_tracker.contracts.directory import Assignment, DirectoryDevice

_FOR_EVER_MS = 2**62


class Period(NamedTuple):
    """A span `[start_ms, end_ms)` in which a home stays as it is; the sets hold device ids."""

    start_ms: int
    end_ms: int
    owned: frozenset[int]
    """What belongs to the home."""
    counted: frozenset[int]
    """What the home's total is made of: what is owned, without the sub-meters of what is owned."""
    in_use: frozenset[int]
    """What is owned and not retired: readings are to be expected of it."""


@dataclass(frozen=True, slots=True)
class Home:
    """The devices that a user has or had, and which of them are asked about."""

    user_id: int
    devices: Sequence[DirectoryDevice]
    chosen_ids: frozenset[int]

    @property
    def chosen(self) -> list[DirectoryDevice]:
        """The devices that are asked about."""
        return [device for device in self.devices if device.id in self.chosen_ids]

    def periods(self, *, start_ms: int, end_ms: int, grid_ms: int = 1) -> list[Period]:
        """Return what the home was made of over `[start_ms, end_ms)`, in order of time, without gaps.

        Only what is asked about is in it: there, a sub-meter counts whose parents are not. A change counts from the
        start of the span of `grid_ms` that it falls into.
        """
        edges = {start_ms, end_ms}
        for device in self.devices:
            for instant_ms in (device.retired_at_ms, *(assignment.from_ms for assignment in device.assignments)):
                if instant_ms is not None and start_ms < (floored_ms := _floored(instant_ms, grid_ms)) < end_ms:
                    edges.add(floored_ms)
        return [self._period(start, end, grid_ms) for start, end in pairwise(sorted(edges))]

    def _period(self, start_ms: int, end_ms: int, grid_ms: int) -> Period:
        parents: dict[int, int | None] = {}
        retired: set[int] = set()
        for device in self.devices:
            assignment = _assignment_at(device, start_ms, grid_ms)
            if assignment.user_id == self.user_id:
                parents[device.id] = assignment.parent_id
            if device.retired_at_ms is not None and _floored(device.retired_at_ms, grid_ms) <= start_ms:
                retired.add(device.id)
        owned = self.chosen_ids & parents.keys()
        in_use = owned - retired
        counted = frozenset(device_id for device_id in owned if not _is_below(device_id, in_use, parents))
        return Period(start_ms, end_ms, owned, counted, in_use)


def _assignment_at(device: DirectoryDevice, instant_ms: int, grid_ms: int) -> Assignment:
    """Return who owns a device at an instant; the first assignment holds since ever."""
    assignments: Sequence[Assignment] = device.assignments
    if not assignments:
        return Assignment(user_id=device.user_id, parent_id=device.parent_id)
    for assignment in reversed(assignments):
        if assignment.from_ms is None or _floored(assignment.from_ms, grid_ms) <= instant_ms:
            return assignment
    return assignments[0]


def _is_below(device_id: int, others: Collection[int], parents: Mapping[int, int | None]) -> bool:
    """Tell whether a device is a sub-meter of one of the others, over any number of steps; a circle ends the search."""
    seen = {device_id}
    parent = parents.get(device_id)
    while parent is not None and parent not in seen:
        if parent in others:
            return True
        seen.add(parent)
        parent = parents.get(parent)
    return False


def _floored(instant_ms: int, grid_ms: int) -> int:
    return instant_ms - instant_ms % grid_ms


def owned_spans(device: DirectoryDevice, user_id: int) -> list[tuple[int, int]]:
    """Return the stretches of time, `[from, to)` in ms since 1970, in which a device was a user's."""
    begins = [0 if assignment.from_ms is None else assignment.from_ms for assignment in device.assignments]
    ends = [*begins[1:], _FOR_EVER_MS]
    return [
        (begin, end)
        for begin, end, assignment in zip(begins, ends, device.assignments, strict=True)
        if assignment.user_id == user_id and begin < end
    ]
