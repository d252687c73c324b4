"""Readings and true energies of a household over any span of time."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import assert_never

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_QUARTER_HOUR, MS_PER_SECOND
from energy_tracker.services.ingestion.simulation.appliances.base import Appliance
from energy_tracker.services.ingestion.simulation.households import Household, household
from energy_tracker.services.ingestion.simulation.meters import Meter
from energy_tracker.services.ingestion.simulation.readings import SimulatedDevice, SimulatedReading
from energy_tracker.services.ingestion.simulation.segments import Segment, add_up, clip, total_energy_mj
from energy_tracker.services.ingestion.simulation.surroundings import Day, day_after, day_of

_KEPT_DAYS = 3
_BY_INSTANT = attrgetter("at_ms")


class BeforeTheEpoch(ValueError):
    """A simulation was asked about a time before its epoch, when its registers did not exist."""


@dataclass(frozen=True, slots=True)
class CounterMark:
    """What the registers had counted since the epoch, in mJ by device, when a local day began."""

    day_start_ms: int
    counted_mj: Mapping[str, int]


class Simulation:
    """A household, a seed and an epoch (ms since 1970): the same three give the same readings for ever.

    Registers show the energy since the epoch on top of their base, so nothing can be asked before the epoch. Any
    later span can; what was counted until then is worked out day by day once, unless a `mark` of an earlier
    simulation says it.
    """

    def __init__(self, *, household: Household, seed: int, epoch_ms: int, mark: CounterMark | None = None) -> None:
        self.household = household
        self.seed = seed
        self.epoch_ms = epoch_ms - epoch_ms % MS_PER_SECOND
        self._meters = {device.name: Meter(device, seed=seed) for device in household.devices}
        self._segments: dict[tuple[int, str], list[Segment]] = {}
        self._registers = [device for device in household.devices if device.kind == "register"]
        first_day = self._day(self.epoch_ms)
        self._counted_mj: dict[int, Mapping[str, int]] = {
            first_day.start_ms: {
                device.name: -total_energy_mj(clip(self._power(device, first_day), first_day.start_ms, self.epoch_ms))
                for device in self._registers
            }
        }
        if mark is not None:
            self._counted_mj[mark.day_start_ms] = mark.counted_mj

    def readings(self, from_ms: int, to_ms: int) -> Iterator[SimulatedReading]:
        """Yield the readings of all devices in `[from_ms, to_ms)` in order of time, holding one day in memory.

        Raises `BeforeTheEpoch`.
        """
        if from_ms < self.epoch_ms:
            message = f"the simulation begins at {self.epoch_ms} ms, later than {from_ms} ms"
            raise BeforeTheEpoch(message)
        day = self._day(from_ms)
        while day.start_ms < to_ms:
            of_day = [reading for device in self.household.devices for reading in self._readings(device, day)]
            of_day.sort(key=_BY_INSTANT)
            if day.start_ms >= from_ms and day.end_ms <= to_ms:
                yield from of_day
            else:
                yield from (reading for reading in of_day if from_ms <= reading.at_ms < to_ms)
            day = day_after(day)

    def quarter_hours(self, device_name: str, from_ms: int, to_ms: int) -> dict[int, int]:
        """Return a device's true energy in mJ by the start of each UTC quarter-hour in `[from_ms, to_ms)`."""
        device = self.household.device(device_name)
        energies_mj = dict.fromkeys(range(from_ms - from_ms % MS_PER_QUARTER_HOUR, to_ms, MS_PER_QUARTER_HOUR), 0)
        day = self._day(from_ms)
        while day.start_ms < to_ms:
            for segment in clip(self._power(device, day), from_ms, to_ms):
                start_ms = segment.start_ms
                while start_ms < segment.end_ms:
                    quarter_ms = start_ms - start_ms % MS_PER_QUARTER_HOUR
                    end_ms = min(quarter_ms + MS_PER_QUARTER_HOUR, segment.end_ms)
                    energies_mj[quarter_ms] += round(segment.power_w * (end_ms - start_ms))
                    start_ms = end_ms
            day = day_after(day)
        return energies_mj

    def power(self, device_name: str, from_ms: int, to_ms: int) -> Iterator[Segment]:
        """Yield the power of a device over `[from_ms, to_ms)`."""
        device, day = self.household.device(device_name), self._day(from_ms)
        while day.start_ms < to_ms:
            yield from clip(self._power(device, day), from_ms, to_ms)
            day = day_after(day)

    def counted_mj(self, device_name: str, at_ms: int) -> int:
        """Return the energy in mJ that a device with a register has counted since the epoch, 0 before it."""
        if at_ms <= self.epoch_ms:
            return 0
        day, device = self._day(at_ms), self.household.device(device_name)
        today = clip(self._power(device, day), day.start_ms, at_ms)
        return self._counted_until(day)[device_name] + total_energy_mj(today)

    def mark(self, at_ms: int) -> CounterMark:
        """Return what the registers had counted when an instant's day began: a later simulation can go on from it."""
        day = self._day(at_ms)
        return CounterMark(day.start_ms, dict(self._counted_until(day)))

    def _day(self, at_ms: int) -> Day:
        return day_of(seed=self.seed, at_ms=at_ms, place=self.household.place, habits=self.household.habits)

    def _readings(self, device: SimulatedDevice, day: Day) -> list[SimulatedReading]:
        """Return the readings of a device on a local day."""
        meter, power = self._meters[device.name], self._power(device, day)
        match device.kind:
            case "power":
                return meter.powers(power)
            case "register":
                return meter.registers(power, self._counted_until(day)[device.name])
            case "interval":
                return meter.intervals([*self._power(device, day.before), *power], day.start_ms)
            case _:
                assert_never(device.kind)

    def _power(self, device: SimulatedDevice, day: Day) -> list[Segment]:
        """Return the power of a device on a day; of a meter without an appliance, of all that is behind it."""
        if device.appliance is not None:
            return self._appliance_power(device.name, device.appliance, day)
        key = (day.start_ms, device.name)
        if key not in self._segments:
            below = [self._power(child, day) for child in self.household.devices if child.parent == device.name]
            rest = [self._appliance_power(name, appliance, day) for name, appliance in self.household.unmetered]
            self._keep(key, add_up([*below, *rest]))
        return self._segments[key]

    def _appliance_power(self, name: str, appliance: Appliance, day: Day) -> list[Segment]:
        key = (day.start_ms, name)
        if key not in self._segments:
            self._keep(key, appliance.segments(day, name))
        return self._segments[key]

    def _keep(self, key: tuple[int, str], segments: list[Segment]) -> None:
        """Remember segments that will be asked for again soon, and forget those of other days."""
        day_start_ms = key[0]
        for old in [old for old in self._segments if abs(old[0] - day_start_ms) > _KEPT_DAYS * MS_PER_DAY]:
            del self._segments[old]
        self._segments[key] = segments

    def _counted_until(self, day: Day) -> Mapping[str, int]:
        """Return what each register had counted since the epoch when a day began, in mJ."""
        if day.start_ms not in self._counted_mj:
            known_ms = max(start_ms for start_ms in self._counted_mj if start_ms < day.start_ms)
            walked = self._day(known_ms)
            while walked.start_ms < day.start_ms:
                counted = self._counted_mj[walked.start_ms]
                walked_after = day_after(walked)
                self._counted_mj[walked_after.start_ms] = {
                    device.name: counted[device.name] + total_energy_mj(self._power(device, walked))
                    for device in self._registers
                }
                walked = walked_after
        return self._counted_mj[day.start_ms]


def generate(
    profile: str, seed: int, from_ms: int, to_ms: int, *, epoch_ms: int | None = None
) -> Iterator[SimulatedReading]:
    """Yield the readings of a profile (`home` or `lab`) in `[from_ms, to_ms)`, in order of time across devices.

    Without an epoch the registers begin at `from_ms`. Raises `UnknownProfile` and `BeforeTheEpoch`.
    """
    simulation = Simulation(household=household(profile), seed=seed, epoch_ms=from_ms if epoch_ms is None else epoch_ms)
    return simulation.readings(from_ms, to_ms)


async def live(simulation: Simulation, *, from_ms: int, clock: Clock) -> AsyncIterator[SimulatedReading]:
    """Yield the readings from an instant on, each when it is due; those that lie in the past at once.

    Begun again at any instant it yields the same as if it had never stopped.
    """
    while True:
        to_ms = from_ms + MS_PER_DAY
        for reading in simulation.readings(from_ms, to_ms):
            ahead_ms = reading.at_ms - clock.now_ms()
            if ahead_ms > 0:
                await clock.sleep(ahead_ms / MS_PER_SECOND)
            yield reading
        from_ms = to_ms
