"""Washing machine and dryer; what is washed is dried after it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from energy_tracker.services.ingestion.simulation.appliances.base import Run, UsedAppliance, alternating
from energy_tracker.services.ingestion.simulation.segments import Step
from energy_tracker.services.ingestion.simulation.surroundings import HOUR_S, MINUTE_S, Day

_WASHING_S = 105 * MINUTE_S


def washings(day: Day, share_of_days: float) -> list[float]:
    """Return when washing begins on a day, in seconds since midnight: more on weekends, never without anybody there.

    Washing machine and dryer ask with the same day, and so agree.
    """
    stream = day.chance("laundry")
    if not day.presence.awake:
        return []
    loads = (1 if day.is_working_day else 2) + round(stream.random()) if stream.random() < share_of_days else 0
    first_s = day.presence.awake[-1][0] + stream.uniform(0.2, 1.5) * HOUR_S
    pause_s = stream.uniform(20, 210) * MINUTE_S
    return [first_s + load * (_WASHING_S + pause_s) for load in range(loads)]


@dataclass(frozen=True, slots=True)
class WashingMachine(UsedAppliance):
    """Fills, heats while the drum turns, washes, rinses three times, spins."""

    heater_w: float = 2_030.0
    drum_w: float = 172.0
    share_of_days: float = 0.35
    standby_w: float = 0.3

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the programmes of a day."""
        for number, start_s in enumerate(washings(day, self.share_of_days)):
            yield Run(start_s, tuple(self._programme(day.chance(name, number))))

    def _programme(self, stream: Random) -> Iterator[Step]:
        drum_w = self.drum_w * stream.gauss(1, 0.06)
        turning, resting = Step(16, drum_w), Step(12, 22.0)
        heating_s = stream.choice((7, 11, 13, 16, 20)) * MINUTE_S
        yield Step(100, 16.0)
        yield from alternating(
            heating_s, Step(16, self.heater_w + drum_w), Step(12, self.heater_w * stream.gauss(1, 0.008))
        )
        yield from alternating(stream.uniform(22, 50) * MINUTE_S, turning, resting)
        for _ in range(3):
            yield Step(90, 24.0)
            yield from alternating(stream.uniform(3.5, 6) * MINUTE_S, turning, resting)
            yield Step(70, 330.0)
        for share in (0.6, 0.8, 1.0, 0.9):
            yield Step(90, 520.0 * share)
        yield Step(60, 40.0)
        yield Step(stream.uniform(2, 8) * MINUTE_S, 4.0)


@dataclass(frozen=True, slots=True)
class Dryer(UsedAppliance):
    """Heats while the drum turns; towards the end a thermostat switches the heater; then it cools down."""

    heater_w: float = 2_120.0
    drum_w: float = 225.0
    share_of_days: float = 0.35
    dried_share: float = 0.8
    standby_w: float = 0.6

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the programmes of a day: most of what was washed, once it is done."""
        for number, washed_s in enumerate(washings(day, self.share_of_days)):
            stream = day.chance(name, number)
            if stream.random() < self.dried_share:
                yield Run(washed_s + _WASHING_S + stream.uniform(300, 1_800), tuple(self._programme(stream)))

    def _programme(self, stream: Random) -> Iterator[Step]:
        drum_w = self.drum_w * stream.gauss(1, 0.03)
        heating_w = self.heater_w * stream.gauss(1, 0.02) + drum_w
        for _ in range(round(stream.uniform(5, 9))):
            yield Step(4 * MINUTE_S, heating_w * stream.gauss(1, 0.01))
        yield from alternating(stream.uniform(10, 24) * MINUTE_S, Step(150, heating_w), Step(100, drum_w))
        yield Step(stream.uniform(5, 9) * MINUTE_S, drum_w)
