"""Power over time as pieces of constant power, whose energy is exact."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from energy_tracker.kit.instants import MS_PER_SECOND


class Segment(NamedTuple):
    """A constant power in W over `[start_ms, end_ms)`.

    Instants are whole seconds and powers whole tenths of a watt, so that the energy is a whole number of millijoules.
    """

    start_ms: int
    end_ms: int
    power_w: float

    @property
    def energy_mj(self) -> int:
        """The energy in mJ (1 W held for 1 ms)."""
        return round(self.power_w * (self.end_ms - self.start_ms))


class Step(NamedTuple):
    """A constant power in W for a number of seconds: a piece of a run, wherever the run begins."""

    duration_s: float
    power_w: float


class Timeline:
    """Builds contiguous segments from left to right; equal neighbours become one."""

    def __init__(self, start_ms: int, end_ms: int) -> None:
        self._now_ms = start_ms
        self._end_ms = end_ms
        self._segments: list[Segment] = []

    @property
    def now_ms(self) -> int:
        """Where the next piece begins."""
        return self._now_ms

    @property
    def is_full(self) -> bool:
        """Whether the end is reached."""
        return self._now_ms >= self._end_ms

    def hold(self, power_w: float, duration_s: float) -> None:
        """Append a piece; what reaches over the end is cut off, what is shorter than a second is left out."""
        self.hold_until(power_w, self._now_ms + round(duration_s) * MS_PER_SECOND)

    def hold_until(self, power_w: float, until_ms: int) -> None:
        """Append a piece up to an instant, cut off at the end."""
        until_ms = min(until_ms, self._end_ms)
        if until_ms <= self._now_ms:
            return
        power_w = round(power_w, 1)
        if self._segments and self._segments[-1].power_w == power_w:
            self._segments[-1] = self._segments[-1]._replace(end_ms=until_ms)
        else:
            self._segments.append(Segment(self._now_ms, until_ms, power_w))
        self._now_ms = until_ms

    def play(self, steps: Iterable[Step]) -> None:
        """Append the steps of a run one after the other."""
        for step in steps:
            self.hold(step.power_w, step.duration_s)

    def finish(self, power_w: float) -> list[Segment]:
        """Fill up to the end with a power, and return the segments."""
        self.hold_until(power_w, self._end_ms)
        return self._segments


def clip(segments: Iterable[Segment], from_ms: int, to_ms: int) -> Iterator[Segment]:
    """Yield what lies in `[from_ms, to_ms)`."""
    for start_ms, end_ms, power_w in segments:
        if start_ms < to_ms and end_ms > from_ms:
            yield Segment(max(start_ms, from_ms), min(end_ms, to_ms), power_w)


def total_energy_mj(segments: Iterable[Segment]) -> int:
    """Return the energy of all segments in mJ."""
    return sum(segment.energy_mj for segment in segments)


def add_up(parts: Sequence[Sequence[Segment]]) -> list[Segment]:
    """Return the sum of several powers over the same span."""
    changes: dict[int, float] = {}
    end_ms = 0
    for segments in parts:
        before_w = 0.0
        for start_ms, segment_end_ms, power_w in segments:
            changes[start_ms] = changes.get(start_ms, 0.0) + power_w - before_w
            before_w = power_w
            end_ms = max(end_ms, segment_end_ms)
    summed: list[Segment] = []
    power_w = 0.0
    instants = sorted(changes)
    for start_ms, until_ms in zip(instants, [*instants[1:], end_ms], strict=True):
        power_w = round(power_w + changes[start_ms], 1)
        summed.append(Segment(start_ms, until_ms, power_w))
    return summed
