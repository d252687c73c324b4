"""Refrigerators, freezers and laboratory freezers: a compressor that cycles."""

from dataclasses import dataclass
from random import Random

from energy_tracker.services.ingestion.simulation.segments import Segment, Timeline
from energy_tracker.services.ingestion.simulation.surroundings import DAY_S, MINUTE_S, Day

_REFERENCE_ROOM_C = 20.0


@dataclass(frozen=True, slots=True)
class CoolingAppliance:
    """A compressor between two temperatures: run and rest times in minutes at a room of 20 °C, powers in W.

    A warmer room lengthens the runs and shortens the rests. Starting draws `start_w` for a moment, then a little
    more than `running_w`, falling. A door that opens lights `lamp_w` and warms the inside. A defrost heater, where
    there is one, runs about every `defrost_every_days`, and the run after it is longer.
    """

    running_w: float = 102.0
    start_w: float = 540.0
    run_min: float = 17.0
    rest_min: float = 36.0
    resting_w: float = 0.3
    lamp_w: float = 15.0
    doors_per_day: float = 18.0
    defrost_w: float = 0.0
    defrost_every_days: float = 1.5
    per_degree: float = 0.03

    def segments(self, day: Day, name: str) -> list[Segment]:
        """Return the power over a day."""
        stream = day.chance(name)
        doors = self._doors(day, stream)
        defrosts = [stream.random() * DAY_S] if self.defrost_w and stream.random() < 1 / self.defrost_every_days else []
        timeline = Timeline(day.start_ms, day.end_ms)
        rest_s = stream.random() * self.rest_min * MINUTE_S
        while not timeline.is_full:
            warmed_s = self._rest(timeline, day, rest_s, doors)
            warmth = 1 + self.per_degree * (day.indoor_c(timeline.now_ms) - _REFERENCE_ROOM_C)
            run_s = self.run_min * MINUTE_S * warmth * stream.lognormvariate(0, 0.14) + warmed_s
            if defrosts and timeline.now_ms >= day.at_ms(defrosts[0]):
                defrosts.pop()
                timeline.hold(self.defrost_w, 11 * MINUTE_S)
                timeline.hold(self.resting_w, 4 * MINUTE_S)
                run_s *= 1.9
            self._run(timeline, run_s, stream)
            rest_s = self.rest_min * MINUTE_S / warmth * stream.lognormvariate(0, 0.07)
        return timeline.finish(self.resting_w)

    def _doors(self, day: Day, stream: Random) -> list[float]:
        """Return when the door is opened, latest first, in seconds since midnight."""
        mean = self.doors_per_day * day.presence.awake_s / DAY_S
        number = round(stream.gauss(mean, mean**0.5)) if mean else 0
        return sorted((day.presence.somewhen(stream) for _ in range(number)), reverse=True)

    def _rest(self, timeline: Timeline, day: Day, rest_s: float, doors: list[float]) -> float:
        """Rest until the inside is warm; return by how much the doors opened meanwhile lengthen the next run, in s."""
        end_ms = timeline.now_ms + round(rest_s) * 1_000
        warmed_s = 0.0
        while doors and day.at_ms(doors[-1]) < end_ms:
            opened_ms = day.at_ms(doors.pop())
            if opened_ms >= timeline.now_ms:
                timeline.hold_until(self.resting_w, opened_ms)
                timeline.hold(self.resting_w + self.lamp_w, 20)
            warmed_s += 20
            end_ms -= 45_000
        timeline.hold_until(self.resting_w, end_ms)
        return warmed_s

    def _run(self, timeline: Timeline, run_s: float, stream: Random) -> None:
        """Run the compressor: a start, a falling draw, and a level that differs a little from run to run."""
        level_w = self.running_w * stream.gauss(1, 0.015)
        timeline.hold(self.start_w, 1)
        timeline.hold(level_w * 1.14, min(120, run_s / 4))
        timeline.hold(level_w * 1.05, run_s / 4)
        timeline.hold(level_w * 0.98, run_s / 2)


REFRIGERATOR = CoolingAppliance()
FREEZER = CoolingAppliance(
    running_w=152.0, start_w=1_250.0, run_min=10.0, rest_min=52.0, resting_w=1.0, doors_per_day=2.0, lamp_w=0.0
)
ULTRA_LOW_FREEZER = CoolingAppliance(
    running_w=760.0,
    start_w=2_400.0,
    run_min=22.0,
    rest_min=15.0,
    resting_w=28.0,
    doors_per_day=9.0,
    lamp_w=0.0,
    per_degree=0.04,
)
