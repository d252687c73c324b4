"""What numbers in time look like: a counter, single intervals; how far apart they are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import gcd
from typing import Final

from energy_tracker.contracts.readings import Kind

Points = Sequence[tuple[int, float]]

_JUDGED_STEPS: Final = 8
_COUNTER_RATIO: Final = 10.0
_FALLS_ALLOWED: Final = 0.02
_MIN_SPACINGS: Final = 2


class KindCannotBeTold(ValueError):
    """The numbers may be a counter's as well as single intervals'."""


def group_points(points: Iterable[tuple[str, int, float]]) -> dict[str, list[tuple[int, float]]]:
    """Return (device, µs, number) as points per device in order of time, whatever the order in the file."""
    grouped: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for device, instant_us, amount in points:
        grouped[device].append((instant_us, amount))
    return {device: sorted(set(found)) for device, found in grouped.items()}


def kind_of_energy(devices: Mapping[str, Points]) -> Kind:
    """Tell a register (only rises, and stands high over its steps) from intervals. Raises `KindCannotBeTold`."""
    verdicts = {verdict for points in devices.values() if (verdict := _verdict(points)) is not None}
    if not verdicts:
        return "interval"
    if len(verdicts) > 1 or "unclear" in verdicts:
        message = "the values rise like a counter's, but may be single intervals: declare --kind register or interval"
        raise KindCannotBeTold(message)
    return "register" if verdicts == {"register"} else "interval"


def _verdict(points: Points) -> str | None:
    steps = [later - earlier for (_, earlier), (_, later) in pairwise(points)]
    rises = sorted(step for step in steps if step > 0)
    falls = sum(step < 0 for step in steps)
    if not rises and not falls:
        return None
    if falls > _FALLS_ALLOWED * len(steps):
        return "interval"
    high = max(amount for _, amount in points) > _COUNTER_RATIO * rises[len(rises) // 2]
    if len(rises) < _JUDGED_STEPS:
        return "unclear" if not high or falls else "register"
    return "register" if high else "unclear"


def common_period_us(devices: Mapping[str, Points]) -> int | None:
    """Return the spacing in µs that every distance of times is a multiple of, and that occurs; None if there is none.

    It does not depend on the order of the rows, nor on gaps.
    """
    spacings = [
        later - earlier
        for points in devices.values()
        for (earlier, _), (later, _) in pairwise(points)
        if later != earlier
    ]
    if len(spacings) < _MIN_SPACINGS:
        return None
    common = gcd(*spacings)
    return common if common == min(spacings) else None
