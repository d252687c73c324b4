"""Which devices make up a home, and when: a device may change hands, become a sub-meter, or retire."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from energy_tracker.contracts.directory import Assignment, DirectoryDevice


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


def periods_of_home(
    devices: Collection[DirectoryDevice], user_id: int, *, start_ms: int, end_ms: int, grid_ms: int = 1
) -> list[Period]:
    """Return how a home is made up over `[start_ms, end_ms)`, in order of time, without gaps.

    `devices` are those in question; a parent among them covers its sub-meters, also over several steps. A change
    counts from the start of the span of `grid_ms` that it falls into.
    """
    changes = {start_ms, end_ms}
    for device in devices:
        for instant_ms in (device.retired_at_ms, *(assignment.from_ms for assignment in device.assignments)):
            if instant_ms is not None and start_ms < (floored_ms := _floored(instant_ms, grid_ms)) < end_ms:
                changes.add(floored_ms)
    edges = sorted(changes)
    return [_period(devices, user_id, start, end, grid_ms) for start, end in pairwise(edges)]


def _period(devices: Collection[DirectoryDevice], user_id: int, start_ms: int, end_ms: int, grid_ms: int) -> Period:
    owned: dict[int, int | None] = {}
    retired: set[int] = set()
    for device in devices:
        assignment = _assignment_at(device, start_ms, grid_ms)
        if assignment.user_id == user_id:
            owned[device.id] = assignment.parent_id
        if device.retired_at_ms is not None and _floored(device.retired_at_ms, grid_ms) <= start_ms:
            retired.add(device.id)
    counted = frozenset(device_id for device_id in owned if not _is_sub_meter(device_id, owned, retired))
    return Period(start_ms, end_ms, frozenset(owned), counted, frozenset(owned) - retired)


def _assignment_at(device: DirectoryDevice, instant_ms: int, grid_ms: int) -> Assignment:
    """Return who owns a device at an instant; the first assignment holds since ever."""
    assignments: Sequence[Assignment] = device.assignments
    if not assignments:
        return Assignment(user_id=device.user_id, parent_id=device.parent_id)
    for assignment in reversed(assignments):
        if assignment.from_ms is None or _floored(assignment.from_ms, grid_ms) <= instant_ms:
            return assignment
    return assignments[0]


def _is_sub_meter(device_id: int, parents: Mapping[int, int | None], retired: Collection[int]) -> bool:
    """Tell whether a device in use stands above this one; a circle of parents ends the search."""
    seen = {device_id}
    parent = parents.get(device_id)
    while parent is not None and parent not in seen:
        if parent in parents and parent not in retired:
            return True
        seen.add(parent)
        parent = parents.get(parent)
    return False


def _floored(instant_ms: int, grid_ms: int) -> int:
    return instant_ms - instant_ms % grid_ms
