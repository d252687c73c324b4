"""Faults of content: they decide what can be known from what is delivered."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import msgspec

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_SECOND
from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.ingestion.simulation.deliveries import Delivery
from energy_tracker.services.ingestion.simulation.readings import SimulatedReading
from energy_tracker.services.ingestion.simulation.surroundings import chance

_LEAST_TO_RESET_KWH = 50.0


@dataclass(frozen=True, slots=True)
class Lost:
    """A share of the readings never arrives."""

    share: float = 0.01
    name: ClassVar[str] = "lost"
    changes_content: ClassVar[bool] = True

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield those that are not lost."""
        stream = chance(seed, self.name)
        return (delivery for delivery in deliveries if stream.random() >= self.share)


@dataclass(frozen=True, slots=True)
class Gap:
    """A device is offline for hours, so often a day; nothing of that time arrives later."""

    per_day: float = 0.15
    least_hours: float = 0.5
    most_hours: float = 9.0
    name: ClassVar[str] = "gap"
    changes_content: ClassVar[bool] = True

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield what comes while the device is online."""

        @lru_cache(maxsize=4_096)
        def offline(device: str, day: int) -> tuple[float, float]:
            stream = chance(seed, self.name, device, day)
            start_ms = day * MS_PER_DAY + stream.random() * MS_PER_DAY
            hours = stream.uniform(self.least_hours, self.most_hours) if stream.random() < self.per_day else 0.0
            return start_ms, start_ms + hours * MS_PER_HOUR

        for delivery in deliveries:
            at_ms = delivery.reading.at_ms
            days = (at_ms // MS_PER_DAY - 1, at_ms // MS_PER_DAY)
            spans = (offline(delivery.reading.device, day) for day in days)
            if not any(start <= at_ms < end for start, end in spans):
                yield delivery


@dataclass(frozen=True, slots=True)
class RegisterReset:
    """A register begins again at 0, so often a week; it counts from 0 what came after its last reading.

    One that shows less than 50 kWh is left alone: soon after, nobody could tell the reset from a value that came
    back.
    """

    per_week: float = 1.0
    name: ClassVar[str] = "reset"
    changes_content: ClassVar[bool] = True

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield the deliveries, registers less what they showed when they began again."""

        @lru_cache(maxsize=4_096)
        def due_ms(device: str, day: int) -> float | None:
            stream = chance(seed, self.name, device, day)
            return (day + stream.random()) * MS_PER_DAY if stream.random() < self.per_week / 7 else None

        zero_mj: dict[str, int] = {}
        before: dict[str, SimulatedReading] = {}
        for delivery in deliveries:
            reading = delivery.reading
            if reading.register_kwh is None or reading.counter_mj is None:
                yield delivery
                continue
            device, last = reading.device, before.get(reading.device)
            if last is not None and last.counter_mj is not None and (last.register_kwh or 0.0) >= _LEAST_TO_RESET_KWH:
                due = due_ms(device, reading.at_ms // MS_PER_DAY)
                if due is not None and last.at_ms < due <= reading.at_ms:
                    zero_mj[device] = last.counter_mj
            shown = delivery
            if device in zero_mj:
                shown = _showing(delivery, millijoules_to_kwh(reading.counter_mj - zero_mj[device]))
            before[device] = shown.reading
            yield shown


@dataclass(frozen=True, slots=True)
class GlitchToZero:
    """A share of the readings says 0. A register comes back with the next; of others nobody can know it."""

    share: float = 0.002
    name: ClassVar[str] = "glitch"
    changes_content: ClassVar[bool] = True

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield the deliveries, some with 0; never the first of a device, and never two of it on end."""
        stream = chance(seed, self.name)
        could_be: dict[str, bool] = {}
        for delivery in deliveries:
            reading = delivery.reading
            hit = stream.random() < self.share and could_be.get(reading.device, False) and not reading.is_false
            could_be[reading.device] = not hit
            if not hit:
                yield delivery
            elif reading.register_kwh is not None:
                yield _showing(delivery, 0.0, is_false=True)
            elif reading.power_w is not None:
                yield delivery._replace(reading=msgspec.structs.replace(reading, power_w=0.0))
            else:
                yield delivery._replace(reading=msgspec.structs.replace(reading, energy_kwh=0.0))


@dataclass(frozen=True, slots=True)
class Jitter:
    """A share of the readings of registers falls back by a few Wh, and is taken back by the next."""

    share: float = 0.01
    most_wh: int = 5
    name: ClassVar[str] = "jitter"
    changes_content: ClassVar[bool] = True

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield the deliveries, some registers lower by 1 to `most_wh` Wh; never the first of a device."""
        stream = chance(seed, self.name)
        seen: set[str] = set()
        for delivery in deliveries:
            reading = delivery.reading
            hit = stream.random() < self.share and reading.device in seen and not reading.is_false
            seen.add(reading.device)
            fall_kwh = (1 + int(stream.random() * self.most_wh)) / 1_000
            if hit and reading.register_kwh is not None and reading.register_kwh > fall_kwh:
                yield _showing(delivery, reading.register_kwh - fall_kwh, is_false=True)
            else:
                yield delivery


@dataclass(frozen=True, slots=True)
class Rollover:
    """Registers have too few digits: they begin so many kWh below `digits_kwh`, and go on at 0 above it."""

    after_kwh: float = 4.0
    digits_kwh: float = 10_000.0
    name: ClassVar[str] = "rollover"
    changes_content: ClassVar[bool] = True

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:  # noqa: ARG002 - nothing to chance
        """Yield the deliveries, registers modulo their digits."""
        first_kwh: dict[str, float] = {}
        for delivery in deliveries:
            reading = delivery.reading
            if reading.register_kwh is None:
                yield delivery
                continue
            counted_kwh = reading.register_kwh - first_kwh.setdefault(reading.device, reading.register_kwh)
            yield _showing(delivery, (self.digits_kwh - self.after_kwh + counted_kwh) % self.digits_kwh)


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """Each device's clock is wrong, by at most so many seconds: what it says is true of another time."""

    most_seconds: float = 20.0
    name: ClassVar[str] = "skew"
    changes_content: ClassVar[bool] = True

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield the deliveries at the same instant, with timestamps of the wrong clocks."""

        @lru_cache(maxsize=4_096)
        def skew_ms(device: str) -> int:
            return round(chance(seed, self.name, device).uniform(-1, 1) * self.most_seconds) * MS_PER_SECOND

        for delivery in deliveries:
            reading = delivery.reading
            by_ms = skew_ms(reading.device)
            since_ms = None if reading.since_ms is None else reading.since_ms + by_ms
            skewed = msgspec.structs.replace(reading, at_ms=reading.at_ms + by_ms, since_ms=since_ms)
            yield delivery._replace(reading=skewed)


def _showing(delivery: Delivery, register_kwh: float, *, is_false: bool = False) -> Delivery:
    """Return the delivery with another register, to the mWh, which only its display has."""
    reading = delivery.reading
    shown = msgspec.structs.replace(reading, register_kwh=round(register_kwh, 6), is_false=reading.is_false or is_false)
    return delivery._replace(reading=shown)
