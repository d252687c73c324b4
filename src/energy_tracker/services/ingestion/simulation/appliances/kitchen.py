"""Appliances of a kitchen that run when somebody cooks, drinks or has eaten."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from energy_tracker.services.ingestion.simulation.appliances.base import Run, UsedAppliance, alternating
from energy_tracker.services.ingestion.simulation.segments import Step
from energy_tracker.services.ingestion.simulation.surroundings import HOUR_S, MINUTE_S, Day

_AFTER_DINNER_S = 19.4 * HOUR_S


def _times(day: Day, stream: Random, per_day: float, again: tuple[float, float]) -> Iterator[float]:
    """Yield when something is used that is used so often on a day with somebody there all day.

    `again` is the share of uses that are followed by another one, and how many minutes later, on average.
    """
    share, later_min = again
    mean = per_day * (1 - share) * day.presence.awake_s / (13 * HOUR_S)
    for _ in range(max(0, round(stream.gauss(mean, mean**0.5)))):
        start_s = day.presence.somewhen(stream)
        yield start_s
        while stream.random() < share:
            start_s += (2 + stream.expovariate(1 / later_min)) * MINUTE_S
            yield start_s


@dataclass(frozen=True, slots=True)
class Kettle(UsedAppliance):
    """Boils some water at full power; always once when people get up."""

    power_w: float = 1_960.0
    per_day: float = 2.8
    standby_w: float = 0.0

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the boilings of a day."""
        stream = day.chance(name)
        wakes_s = day.presence.wakes_s
        starts = [] if wakes_s is None else [wakes_s + 600 * (1 + stream.random())]
        for start_s in (*starts, *_times(day, stream, self.per_day, (0.55, 45))):
            boiling_s = min(330, stream.lognormvariate(5.0, 0.32))
            yield Run(start_s, (Step(boiling_s, self.power_w * stream.gauss(1, 0.012)),))


@dataclass(frozen=True, slots=True)
class CoffeeMaker(UsedAppliance):
    """Heats up, brews in pulses, then its plate keeps the jug warm."""

    power_w: float = 940.0
    plate_w: float = 62.0
    standby_w: float = 0.4

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the brewings of a day: one in the morning, often one in the afternoon."""
        stream = day.chance(name)
        wakes_s = day.presence.wakes_s
        if wakes_s is None:
            return
        starts = [wakes_s + 900 * (1 + stream.random())]
        if stream.random() < 0.45:  # noqa: PLR2004 - not every afternoon has coffee
            starts.append(max(15.5 * HOUR_S + stream.gauss(0, HOUR_S), starts[0] + HOUR_S))
        for start_s in starts:
            power_w = self.power_w * stream.gauss(1, 0.01)
            heating = Step(stream.uniform(50, 110), power_w)
            brewing = alternating(stream.uniform(60, 230), Step(13, power_w), Step(12, self.plate_w))
            warm = alternating(stream.uniform(8, 30) * MINUTE_S, Step(70, 0.8), Step(35, self.plate_w))
            yield Run(start_s, (heating, *brewing, *warm))


@dataclass(frozen=True, slots=True)
class Microwave(UsedAppliance):
    """Full power for a while, or less of it by switching on and off."""

    power_w: float = 1_380.0
    per_day: float = 2.6
    standby_w: float = 1.4

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the heatings of a day: often two or three in a row."""
        stream = day.chance(name)
        for start_s in _times(day, stream, self.per_day, (0.45, 12)):
            total_s = min(600, stream.lognormvariate(4.55, 0.55))
            if stream.random() < 0.45:  # noqa: PLR2004 - nearly half is warmed at reduced power
                on_s = 30 * stream.uniform(0.35, 0.7)
                yield Run(start_s, tuple(alternating(total_s, Step(on_s, self.power_w), Step(30 - on_s, 60.0))))
            else:
                yield Run(start_s, (Step(total_s, self.power_w * stream.gauss(1, 0.01)),))


@dataclass(frozen=True, slots=True)
class Dishwasher(UsedAppliance):
    """A programme after dinner: rinse, heat, wash, rinse, heat again, dry."""

    heater_w: float = 2_020.0
    pump_w: float = 78.0
    share_of_days: float = 0.6
    standby_w: float = 0.2

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the programme of a day, if there is one."""
        stream = day.chance(name)
        if day.presence.evening_s is None or stream.random() > self.share_of_days:
            return
        pump_w = self.pump_w * stream.gauss(1, 0.03)
        heater_w = self.heater_w * stream.gauss(1, 0.01) + pump_w
        minutes = (
            (stream.uniform(5, 9), pump_w),
            (stream.uniform(16, 23), heater_w),
            (stream.uniform(14, 20), pump_w),
            (2, 4.0),
            (stream.uniform(6, 9), pump_w),
            (stream.uniform(12, 18), heater_w),
            (5, pump_w),
            (stream.uniform(18, 32), 2.5),
            (1, 25.0),
        )
        steps = tuple(Step(duration_min * MINUTE_S, power_w) for duration_min, power_w in minutes)
        yield Run(_AFTER_DINNER_S + stream.gauss(0, 0.8 * HOUR_S), steps)
