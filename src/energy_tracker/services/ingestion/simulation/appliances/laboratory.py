"""What a laboratory has that a home has not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from energy_tracker.services.ingestion.simulation.appliances.base import Run, UsedAppliance, alternating
from energy_tracker.services.ingestion.simulation.segments import Segment, Step, Timeline
from energy_tracker.services.ingestion.simulation.surroundings import HOUR_S, MINUTE_S, Day


@dataclass(frozen=True, slots=True)
class ServerRack:
    """Servers: a high base, jobs of some hours by day and night, a backup at 2 h."""

    idle_w: float = 1_850.0
    job_w: float = 780.0
    jobs_per_day: float = 5.0
    backup_w: float = 340.0

    def segments(self, day: Day, name: str) -> list[Segment]:
        """Return the power over a day."""
        stream = day.chance(name)
        starts = [stream.uniform(0, 24) for _ in range(round(stream.gauss(self.jobs_per_day, 1.5)))]
        jobs = [(start_h, start_h + stream.uniform(0.3, 4)) for start_h in starts]
        timeline = Timeline(day.start_ms, day.end_ms)
        while not timeline.is_full:
            hour = (timeline.now_ms - day.start_ms) / 3_600_000
            running = sum(start <= hour < end for start, end in jobs)
            backup_w = self.backup_w if 2 <= hour < 2.8 else 0.0  # noqa: PLR2004 - the nightly backup
            level_w = self.idle_w + self.job_w * min(running, 3) + backup_w
            timeline.hold(level_w * stream.gauss(1, 0.012), 2 * MINUTE_S)
        return timeline.finish(self.idle_w)


@dataclass(frozen=True, slots=True)
class FumeHood(UsedAppliance):
    """A fan that runs high while somebody works at it and low otherwise, day and night."""

    high_w: float = 640.0
    standby_w: float = 185.0
    sessions_per_day: float = 3.0

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the sessions of a day."""
        stream = day.chance(name)
        if not day.presence.awake:
            return
        for _ in range(max(0, round(stream.gauss(self.sessions_per_day, 1)))):
            level = Step(stream.uniform(0.4, 2.2) * HOUR_S, self.high_w * stream.gauss(1, 0.02))
            yield Run(day.presence.somewhen(stream), (level,))


@dataclass(frozen=True, slots=True)
class Furnace(UsedAppliance):
    """A tube furnace: a ramp at full power, then a soak in pulses, then nothing but its controller."""

    heater_w: float = 3_000.0
    share_of_days: float = 0.6
    standby_w: float = 14.0

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the firing of a day, if there is one; it may last into the night."""
        stream = day.chance(name)
        if day.presence.awake and stream.random() < self.share_of_days:
            yield Run(day.presence.somewhen(stream), tuple(self._firing(stream)))

    def _firing(self, stream: Random) -> Iterator[Step]:
        yield Step(stream.uniform(45, 100) * MINUTE_S, self.heater_w * stream.gauss(1, 0.01))
        duty = stream.uniform(0.3, 0.55)
        pulse, pause = Step(60 * duty, self.heater_w), Step(60 * (1 - duty), self.standby_w)
        yield from alternating(stream.uniform(1, 6) * HOUR_S, pulse, pause)


@dataclass(frozen=True, slots=True)
class VacuumPump(UsedAppliance):
    """A pump that is started for hours: a heavy start, then a level that falls with the pressure."""

    power_w: float = 410.0
    share_of_days: float = 0.7
    standby_w: float = 0.0

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the pumping of a day, if there is any."""
        stream = day.chance(name)
        if day.presence.awake and stream.random() < self.share_of_days:
            level_w = self.power_w * stream.gauss(1, 0.02)
            steps = (Step(3, level_w * 2.6), Step(300, level_w * 1.35), Step(stream.uniform(1.5, 9) * HOUR_S, level_w))
            yield Run(day.presence.somewhen(stream), steps)
