"""High usage: the energy of the last hour of a home, on event time, against a threshold.

The sum is exact: every step counts with the part of it that lies in the hour. It is judged at every full minute that
the readings pass, and at the newest reading. A device whose next reading is due has not stopped: an episode does not
end before the devices would have to use less than they did (`expected`).
"""

from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from energy_tracker.services.usage.model.episodes import ENDS_BELOW
from energy_tracker.services.usage.model.readings import Stream
from energy_tracker.services.usage.model.steps import Mark, Step


@dataclass(frozen=True, slots=True)
class Crossing:
    """The sum went above the threshold (`above`) or fell below the lower mark, at an instant of event time."""

    at_ms: int
    above: bool
    energy_mj: int


@dataclass(slots=True)
class _RecentSteps:
    """The settled steps of one stream that can lie in the hour, by their end, and the tail."""

    by_end: list[Step] = field(default_factory=list)
    total_mj: int = 0
    longest_ms: int = 0
    tail: tuple[Step, ...] = ()

    def add(self, step: Step) -> None:
        if self.by_end and step.end_ms < self.by_end[-1].end_ms:
            insort(self.by_end, step, key=_end)
        else:
            self.by_end.append(step)
        self.total_mj += step.energy_mj
        self.longest_ms = max(self.longest_ms, step.end_ms - step.start_ms)

    def take_back(self, step: Step) -> None:
        if step in self.by_end:
            self.by_end.remove(step)
            self.total_mj -= step.energy_mj

    def last_hour(self, to_ms: int) -> int:
        """Return the energy in mJ of the hour before an instant, and forget what ended before that hour."""
        from_ms = to_ms - MS_PER_HOUR
        gone = bisect_right(self.by_end, from_ms, key=_end)
        if gone:
            self.total_mj -= sum(step.energy_mj for step in self.by_end[:gone])
            del self.by_end[:gone]
        energy_mj = self.total_mj
        for step in self.by_end:
            if step.end_ms >= from_ms + self.longest_ms:
                break
            if step.start_ms < from_ms:
                energy_mj -= step.energy_within(step.start_ms, from_ms)
        for step in reversed(self.by_end):
            if step.end_ms <= to_ms:
                break
            energy_mj -= step.energy_within(to_ms, step.end_ms)
        return energy_mj + sum(step.energy_within(from_ms, to_ms) for step in self.tail)

    def expected(self, at_ms: int) -> int:
        """Return the energy in mJ since the last step, if it goes on as it was, for twice as long again at most."""
        if self.tail or not self.by_end:
            return 0
        last = self.by_end[-1]
        length_ms, since_ms = last.end_ms - last.start_ms, at_ms - last.end_ms
        if not 0 < since_ms <= 2 * length_ms:
            return 0
        return last.energy_mj * min(since_ms, MS_PER_HOUR) // length_ms


def _end(step: Step) -> int:
    return step.end_ms


@dataclass(slots=True)
class HomeHour:
    """The last hour of one home; `head_ms` is the newest event time judged, `above` whether an episode is open."""

    head_ms: int = 0
    above: bool = False
    streams: dict[Stream, _RecentSteps] = field(default_factory=dict)

    def energy_mj(self, at_ms: int) -> int:
        """Return the energy of the hour before an instant that is not before any that was asked for."""
        return sum(recent.last_hour(at_ms) for recent in self.streams.values())

    def replace(self, stream: Stream, *, settled: Iterable[Step], taken_back: Iterable[Step]) -> None:
        """Correct the steps of a stream by what late readings changed, as far as they lie in the hour."""
        recent = self.streams.setdefault(stream, _RecentSteps())
        horizon_ms = self.head_ms - MS_PER_HOUR
        for step in taken_back:
            if step.end_ms > horizon_ms:
                recent.take_back(_at_its_time(step))
        for step in settled:
            if step.end_ms > horizon_ms:
                recent.add(_at_its_time(step))

    def pass_over(
        self,
        news: Iterable[tuple[Stream, Step]],
        *,
        tails: Iterable[tuple[Stream, tuple[Step, ...]]],
        head_ms: int,
        threshold_mj: int | None,
    ) -> list[Crossing]:
        """Take settled steps of the home, the tails behind them, up to the newest reading; return what was crossed."""
        crossings: list[Crossing] = []
        waiting: list[tuple[Stream, tuple[Step, ...], bool]] = [
            (stream, (_at_its_time(step),), False) for stream, step in news
        ]
        for stream, tail in tails:
            if tail:
                waiting.append((stream, tail, True))
            else:
                self.streams.setdefault(stream, _RecentSteps()).tail = ()
        for stream, steps, is_tail in sorted(waiting, key=lambda one: one[1][0].start_ms):
            self._judge_minutes(min(steps[0].start_ms, head_ms), threshold_mj, crossings)
            recent = self.streams.setdefault(stream, _RecentSteps())
            recent.tail = steps if is_tail else ()
            if not is_tail:
                recent.add(steps[0])
        self._judge_minutes(head_ms, threshold_mj, crossings)
        self.head_ms = max(self.head_ms, head_ms)
        self._judge(self.head_ms, threshold_mj, crossings)
        self._tell_what_is_known(crossings)
        return crossings

    def _tell_what_is_known(self, crossings: list[Crossing]) -> None:
        """Let an opening within the last hour tell the sum up to the newest reading, where that is more.

        It is found only now, and its first minute holds no more than the threshold and a little.
        """
        if crossings and crossings[-1].above and self.head_ms - crossings[-1].at_ms <= MS_PER_HOUR:
            energy_mj = max(crossings[-1].energy_mj, self.energy_mj(self.head_ms))
            crossings[-1] = Crossing(crossings[-1].at_ms, above=True, energy_mj=energy_mj)

    def grow_older(self, now_ms: int, threshold_mj: int | None) -> list[Crossing]:
        """Return the end of an open episode once the readings are older than the hour."""
        crossings: list[Crossing] = []
        if self.above and now_ms - self.head_ms > MS_PER_HOUR:
            self.head_ms += MS_PER_HOUR
            self._judge(self.head_ms, threshold_mj, crossings)
            if self.above:
                self.above = False
                crossings.append(Crossing(self.head_ms, above=False, energy_mj=0))
        return crossings

    def _judge_minutes(self, until_ms: int, threshold_mj: int | None, crossings: list[Crossing]) -> None:
        """Judge at the full minutes between the newest time and `until_ms`, before which no step begins.

        An hour after the last beginning the sum rises no more; how it falls is followed for two days.
        """
        if self.head_ms:
            minute = self.head_ms - self.head_ms % MS_PER_MINUTE + MS_PER_MINUTE
            rising_ms, falling_ms = minute + MS_PER_HOUR, minute + 2 * MS_PER_DAY
            while minute < until_ms and minute <= (falling_ms if self.above else rising_ms):
                self._judge(minute, threshold_mj, crossings)
                minute += MS_PER_MINUTE
        self.head_ms = max(self.head_ms, until_ms - 1)

    def _judge(self, at_ms: int, threshold_mj: int | None, crossings: list[Crossing]) -> None:
        energy_mj = self.energy_mj(at_ms)
        if self.above:
            if threshold_mj is None or self._is_below(energy_mj, at_ms, ENDS_BELOW * threshold_mj):
                self.above = False
                crossings.append(Crossing(at_ms, above=False, energy_mj=energy_mj))
        elif threshold_mj is not None and energy_mj > threshold_mj:
            self.above = True
            crossings.append(Crossing(at_ms, above=True, energy_mj=energy_mj))

    def _is_below(self, energy_mj: int, at_ms: int, mark_mj: float) -> bool:
        if energy_mj >= mark_mj:
            return False
        return energy_mj + sum(recent.expected(at_ms) for recent in self.streams.values()) < mark_mj


def _at_its_time(step: Step) -> Step:
    """Return a step as high usage counts it: a first interval, of a length that nobody said, in one piece."""
    if step.mark is not Mark.FIRST:
        return step
    return Step(step.start_ms, step.start_ms, step.energy_mj, step.start_ms, step.mark)
