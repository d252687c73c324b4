"""The large ones: heat pump, charger of an electric car, and panels on the roof."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

from energy_tracker.kit.instants import MS_PER_MINUTE
from energy_tracker.services.ingestion.simulation.appliances.base import Run, UsedAppliance
from energy_tracker.services.ingestion.simulation.segments import Segment, Step, Timeline
from energy_tracker.services.ingestion.simulation.surroundings import HOUR_S, MINUTE_S, Day, sun_on_panel

_HEATED_TO_C = 20.5
_CLOUD_EXPONENT = (
    1.4  # Kasten and Czeplak (1980) have 3.4 for hourly observations; fitted to some 1 050 kWh a year and kW
)


@dataclass(frozen=True, slots=True)
class HeatPump:
    """Heats a house by the outdoor temperature, and water twice a day.

    Heat demand is `loss_w_per_degree` times the difference to the room, less `gains_w` of sun and people; the
    coefficient of performance falls with the temperature outside. Below its least power the pump runs for a part of
    the time.
    """

    loss_w_per_degree: float = 165.0
    gains_w: float = 650.0
    least_w: float = 520.0
    most_w: float = 3_100.0
    water_w: float = 2_150.0
    standby_w: float = 9.0
    step_min: float = 12.0

    def segments(self, day: Day, name: str) -> list[Segment]:
        """Return the power over a day."""
        stream = day.chance(name)
        water = [(stream.gauss(5.2, 0.2) * HOUR_S, 34 * MINUTE_S), (stream.gauss(13.4, 0.4) * HOUR_S, 22 * MINUTE_S)]
        timeline = Timeline(day.start_ms, day.end_ms)
        while not timeline.is_full:
            if water and timeline.now_ms >= day.at_ms(water[0][0]):
                timeline.hold(self.water_w * stream.gauss(1, 0.02), water.pop(0)[1] * stream.uniform(0.7, 1.3))
                continue
            self._heat(timeline, self.electric_w(day.outdoor_c(timeline.now_ms)) * stream.gauss(1, 0.03))
        return timeline.finish(self.standby_w)

    def electric_w(self, outdoor_c: float) -> float:
        """Return the mean electric power that heating needs at an outdoor temperature, in W."""
        heat_w = self.loss_w_per_degree * (_HEATED_TO_C - outdoor_c) - self.gains_w
        coefficient = min(5.5, max(1.6, 3.4 + 0.07 * outdoor_c))
        return min(self.most_w, max(0.0, heat_w / coefficient))

    def _heat(self, timeline: Timeline, power_w: float) -> None:
        """Hold a step of modulated power, or of one run and one rest at the least power."""
        step_s = self.step_min * MINUTE_S
        if power_w >= self.least_w:
            timeline.hold(power_w + self.standby_w, step_s)
            return
        run_s = 3 * step_s * power_w / self.least_w
        if run_s > 3 * MINUTE_S:
            timeline.hold(self.least_w + self.standby_w, run_s)
            timeline.hold(self.standby_w, 3 * step_s - run_s)
        else:
            timeline.hold(self.standby_w, 3 * step_s)


@dataclass(frozen=True, slots=True)
class CarCharger(UsedAppliance):
    """Charges a car in the evening: constant power, at the end in falling steps."""

    power_w: float = 11_040.0
    workday_share: float = 0.45
    least_kwh: float = 5.0
    most_kwh: float = 26.0
    standby_w: float = 2.6

    def runs(self, day: Day, name: str) -> Iterable[Run]:
        """Return the session that begins on a day, if there is one."""
        stream = day.chance(name)
        evening = day.presence.evening_s
        share = self.workday_share if day.is_working_day else self.workday_share / 1.8
        if evening is not None and stream.random() < share:
            energy_kwh = stream.uniform(self.least_kwh, self.most_kwh)
            yield Run(evening[0] + stream.uniform(240, 3_600), tuple(self._session(energy_kwh, stream)))

    def _session(self, energy_kwh: float, stream: Random) -> Iterator[Step]:
        yield Step(12, 1_400.0)
        left_s = energy_kwh * 0.93 * 3.6e6 / self.power_w
        while left_s > 0:
            yield Step(min(left_s, 15 * MINUTE_S), self.power_w * stream.gauss(1, 0.004))
            left_s -= 15 * MINUTE_S
        if stream.random() < 0.6:  # noqa: PLR2004 - the others are unplugged or stop at a chosen limit
            for step in range(1, 9):
                yield Step(2.5 * MINUTE_S, self.power_w * math.exp(-0.32 * step))


@dataclass(frozen=True, slots=True)
class SolarPanels:
    """Panels that face the equator, under a sky with clouds; the power is what the inverter gives."""

    peak_w: float = 7_200.0
    tilt_deg: float = 32.0
    efficiency: float = 0.75
    cloud_passes: float = 0.35

    def segments(self, day: Day, name: str) -> list[Segment]:
        """Return the power given over a day, in steps of a minute while the sun shines."""
        stream = day.chance(name)
        timeline = Timeline(day.start_ms, day.end_ms)
        cover = day.cloudiness
        while not timeline.is_full:
            light = sun_on_panel(at_ms=timeline.now_ms, place=day.place, tilt_deg=self.tilt_deg)
            if light <= 0:
                timeline.hold_until(0.0, timeline.now_ms + MS_PER_MINUTE - timeline.now_ms % MS_PER_MINUTE)
                continue
            if stream.random() < self.cloud_passes:
                pull = day.cloudiness + stream.gauss(0, 0.35 * (1 - abs(2 * day.cloudiness - 1)) + 0.04)
                cover = min(1.0, max(0.0, 0.6 * cover + 0.4 * pull))
            power_w = self.peak_w * self.efficiency * light / 1_000 * (1 - 0.75 * cover**_CLOUD_EXPONENT)
            timeline.hold(min(power_w, self.peak_w * 0.98), MINUTE_S)
        return timeline.finish(0.0)
