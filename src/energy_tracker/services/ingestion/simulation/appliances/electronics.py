"""What people switch on for a while, and what is always on."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Literal

from energy_tracker.services.ingestion.simulation.appliances.base import Run, UsedAppliance
from energy_tracker.services.ingestion.simulation.segments import Segment, Step, Timeline
from energy_tracker.services.ingestion.simulation.surroundings import HOUR_S, MINUTE_S, Day


@dataclass(frozen=True, slots=True)
class SessionAppliance(UsedAppliance):
    """Something switched on for sessions: power in W with its share of fluctuation, session in minutes (median).

    `busy_w` comes on top in a `busy_share` of the time, such as a computer that works. A share `again` of the
    sessions is followed by another one after a pause.
    """

    power_w: float
    session_min: float
    sessions_per_day: float
    when: Literal["evening", "any"] = "any"
    spread: float = 0.7
    fluctuation: float = 0.015
    busy_w: float = 0.0
    busy_share: float = 0.12
    again: float = 0.0
    standby_w: float = 0.5

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the sessions of a day; they end at the latest half an hour after people have gone to bed."""
        stream = day.chance(name)
        presence = day.presence
        if not presence.awake:
            return
        for _ in range(round(stream.gauss(self.sessions_per_day, 0.8))):
            start_s = presence.somewhen(stream)
            if self.when == "evening" and presence.evening_s is not None:
                start_s = stream.uniform(*presence.evening_s)
            latest_s = presence.awake[-1][1] + HOUR_S / 2
            duration_s = min(stream.lognormvariate(0, self.spread) * self.session_min * MINUTE_S, latest_s - start_s)
            yield Run(start_s, tuple(self._steps(stream, duration_s)))
            while stream.random() < self.again and start_s + duration_s < latest_s:
                start_s += duration_s + stream.uniform(10, 240) * MINUTE_S
                duration_s = stream.lognormvariate(0, self.spread) * self.session_min * MINUTE_S / 2
                yield Run(start_s, tuple(self._steps(stream, duration_s)))

    def _steps(self, stream: Random, duration_s: float) -> Iterable[Step]:
        while duration_s > 0:
            step_s = min(stream.uniform(3, 12) * MINUTE_S, duration_s)
            busy_w = self.busy_w if stream.random() < self.busy_share else 0.0
            yield Step(step_s, self.power_w * stream.gauss(1, self.fluctuation) + busy_w)
            duration_s -= step_s


@dataclass(frozen=True, slots=True)
class AlwaysOn:
    """A draw that never ends: `power_w` with a share of fluctuation, more while people are there (`awake_w`)."""

    power_w: float
    fluctuation: float = 0.03
    awake_w: float = 0.0
    step_min: float = 20.0

    def segments(self, day: Day, name: str) -> list[Segment]:
        """Return the power over a day."""
        stream = day.chance(name)
        timeline = Timeline(day.start_ms, day.end_ms)
        while not timeline.is_full:
            now_s = (timeline.now_ms - day.start_ms) / 1_000
            awake = any(start <= now_s < end for start, end in day.presence.awake)
            power_w = (self.power_w + (self.awake_w if awake else 0.0)) * stream.gauss(1, self.fluctuation)
            timeline.hold(power_w, self.step_min * MINUTE_S * stream.uniform(0.5, 1.5))
        return timeline.finish(self.power_w)


@dataclass(frozen=True, slots=True)
class ScheduledLights:
    """Lights on a schedule: fully on while somebody is there, a remainder at night."""

    power_w: float = 860.0
    night_w: float = 35.0

    def segments(self, day: Day, name: str) -> list[Segment]:
        """Return the power over a day."""
        stream = day.chance(name)
        timeline = Timeline(day.start_ms, day.end_ms)
        for start_s, end_s in day.presence.awake:
            timeline.hold_until(self.night_w, day.at_ms(start_s + stream.uniform(-600, 600)))
            timeline.hold_until(self.power_w, day.at_ms(end_s))
        return timeline.finish(self.night_w)


TELEVISION = SessionAppliance(power_w=132.0, session_min=62.0, sessions_per_day=1.3, again=0.5, standby_w=0.5)
DESK_COMPUTER = SessionAppliance(
    power_w=99.0, session_min=265.0, sessions_per_day=2.0, fluctuation=0.03, busy_w=42.0, standby_w=2.3
)
LAPTOP = SessionAppliance(power_w=19.0, session_min=75.0, sessions_per_day=2.6, fluctuation=0.06, busy_w=23.0)
MONITOR = SessionAppliance(power_w=34.5, session_min=55.0, sessions_per_day=4.0, fluctuation=0.01)
LAMPS = SessionAppliance(
    power_w=43.0, session_min=105.0, sessions_per_day=2.0, when="evening", fluctuation=0.004, standby_w=0.0
)
SPEAKER = SessionAppliance(power_w=9.0, session_min=60.0, sessions_per_day=1.2, fluctuation=0.15, standby_w=2.1)
ROUTER = AlwaysOn(power_w=8.4)
