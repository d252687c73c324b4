"""What every appliance model is, and how runs are laid out over a day."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from energy_tracker.services.ingestion.simulation.segments import Segment, Step, Timeline, clip
from energy_tracker.services.ingestion.simulation.surroundings import Day


class Appliance(Protocol):
    """Draws or gives power."""

    def segments(self, day: Day, name: str) -> list[Segment]:
        """Return the power over a local day, without gaps.

        It depends on the day and the name (which stands for the specimen) alone, so any day can be had without
        those before it.
        """


class Run(NamedTuple):
    """A use of an appliance: it begins so many seconds after local midnight and may last over the next midnight."""

    start_s: float
    steps: tuple[Step, ...]


class UsedAppliance(ABC):
    """An appliance that runs when somebody uses it, and draws `standby_w` otherwise."""

    __slots__ = ()
    standby_w: float

    @abstractmethod
    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the runs that begin on a day."""

    def segments(self, day: Day, name: str) -> list[Segment]:
        """Return the power over a day: a run that lasts over midnight goes on, one that would overlap another waits."""
        timeline = Timeline(day.before.start_ms, day.end_ms)
        for which in (day.before, day):
            for run in sorted(self.runs(which, name)):
                timeline.hold_until(self.standby_w, which.at_ms(run.start_s))
                timeline.play(run.steps)
        return list(clip(timeline.finish(self.standby_w), day.start_ms, day.end_ms))


def alternating(total_s: float, first: Step, second: Step) -> Iterator[Step]:
    """Yield two steps in turn for a time, such as a drum that turns and rests."""
    while total_s > 0:
        for step in (first, second):
            duration_s = min(step.duration_s, total_s)
            if duration_s > 0:
                yield Step(duration_s, step.power_w)
                total_s -= duration_s
