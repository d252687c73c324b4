"""What goes wrong between a meter and the door: seeded changes of a stream of deliveries, one after another.

Faults of content (lost, gap, reset, glitch, jitter, rollover, skew) decide what can be known; faults of delivery
(duplicate, late, shuffled) must change nothing at all, and come after them.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

import msgspec

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_SECOND
from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.kit.quantities import millijoules_to_kwh
from energy_tracker.services.ingestion.simulation.readings import SimulatedReading
from energy_tracker.services.ingestion.simulation.surroundings import chance
from energy_tracker.services.ingestion.simulation.truth import TruthRecorder

_LEAST_TO_RESET_KWH = 50.0


class UnknownFault(InvalidRequest):
    """There is no fault of that name, or its figure is not a number of 0 or more."""


class Delivery(NamedTuple):
    """A reading, when it left the meter (by a right clock) and when it arrives, in ms since 1970."""

    delivered_ms: int
    sent_ms: int
    reading: SimulatedReading


class Fault(Protocol):
    """Changes what is delivered. `name` is its name on the command line."""

    name: ClassVar[str]
    changes_content: ClassVar[bool]

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield the deliveries with the fault in them, one device's readings still in order of their own time."""


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
            if device in zero_mj:
                delivery = _showing(delivery, millijoules_to_kwh(reading.counter_mj - zero_mj[device]))  # noqa: PLW2901
            before[device] = delivery.reading
            yield delivery


@dataclass(frozen=True, slots=True)
class GlitchToZero:
    """A share of the readings says 0. A register comes back with the next; of power and intervals nobody can know it."""

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


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A share of the readings arrives twice, the second time up to some minutes later."""

    share: float = 0.02
    most_minutes: float = 30.0
    name: ClassVar[str] = "duplicate"
    changes_content: ClassVar[bool] = False

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield the deliveries and their repeats."""
        stream = chance(seed, self.name)
        for delivery in deliveries:
            yield delivery
            if stream.random() < self.share:
                yield _delayed(delivery, stream.random() * self.most_minutes / 60)


@dataclass(frozen=True, slots=True)
class Late:
    """A share of the readings arrives late, by minutes or days (a logarithmic spread)."""

    share: float = 0.03
    most_hours: float = 60.0
    name: ClassVar[str] = "late"
    changes_content: ClassVar[bool] = False

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield the deliveries, some of them later."""
        stream = chance(seed, self.name)
        for delivery in deliveries:
            is_late, exponent = stream.random() < self.share, stream.random()
            yield _delayed(delivery, self.most_hours ** (2 * exponent - 1)) if is_late else delivery


@dataclass(frozen=True, slots=True)
class Shuffled:
    """Everything arrives in any order within so many seconds."""

    window_seconds: float = 120.0
    name: ClassVar[str] = "shuffled"
    changes_content: ClassVar[bool] = False

    def apply(self, deliveries: Iterable[Delivery], *, seed: int) -> Iterator[Delivery]:
        """Yield the deliveries, each up to a window later."""
        stream = chance(seed, self.name)
        for delivery in deliveries:
            yield _delayed(delivery, stream.random() * self.window_seconds / 3_600)


# In the order in which they apply: what is lost first, so that no register is false before its first reading arrives.
_FAULTS: Mapping[str, Callable[..., Fault]] = MappingProxyType(
    {
        fault.name: fault
        for fault in (Lost, Gap, Rollover, RegisterReset, GlitchToZero, Jitter, ClockSkew, Duplicate, Late, Shuffled)
    }
)


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read a list such as `lost=0.01,late,gap=0.5`, and return the faults in the order in which they apply.

    The figure is the fault's first field; `all` means every fault with its defaults. Raises `UnknownFault`.
    """
    chosen: dict[str, Fault] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, figure = item.partition("=")
        if name == "all" and not figure:
            chosen = {each: fault() for each, fault in _FAULTS.items()} | chosen
        elif name in _FAULTS:
            chosen[name] = _FAULTS[name](_figure(item, figure)) if figure else _FAULTS[name]()
        else:
            raise _unknown(f"there is no fault {name[:40]!r}; use all or any of {', '.join(_FAULTS)}")
    return tuple(chosen[name] for name in _FAULTS if name in chosen)


def disturb(
    readings: Iterable[SimulatedReading], faults: Sequence[Fault], *, seed: int, truth: TruthRecorder | None = None
) -> Iterator[Delivery]:
    """Yield what is delivered, in order of delivery; the faults of content first, then those of delivery.

    `truth` is shown every reading that will be delivered. Memory is bounded by what is under way.
    """
    deliveries: Iterator[Delivery] = (Delivery(reading.at_ms, reading.at_ms, reading) for reading in readings)
    for fault in faults:
        if fault.changes_content:
            deliveries = fault.apply(deliveries, seed=seed)
    if truth is not None:
        deliveries = _shown(deliveries, truth)
    for fault in faults:
        if not fault.changes_content:
            deliveries = fault.apply(deliveries, seed=seed)
    return _in_order(deliveries)


def _in_order(deliveries: Iterable[Delivery]) -> Iterator[Delivery]:
    """Yield by instant of delivery: nothing arrives before it is sent, so what is due when the next is sent can go."""
    under_way: list[tuple[int, int, Delivery]] = []
    for number, delivery in enumerate(deliveries):
        while under_way and under_way[0][0] <= delivery.sent_ms:
            yield heapq.heappop(under_way)[2]
        heapq.heappush(under_way, (delivery.delivered_ms, number, delivery))
    while under_way:
        yield heapq.heappop(under_way)[2]


def _shown(deliveries: Iterable[Delivery], truth: TruthRecorder) -> Iterator[Delivery]:
    for delivery in deliveries:
        truth.observe(delivery.reading)
        yield delivery


def _showing(delivery: Delivery, register_kwh: float, *, is_false: bool = False) -> Delivery:
    """Return the delivery with another register, to the mWh, which only its display has."""
    reading = delivery.reading
    shown = msgspec.structs.replace(reading, register_kwh=round(register_kwh, 6), is_false=reading.is_false or is_false)
    return delivery._replace(reading=shown)


def _delayed(delivery: Delivery, hours: float) -> Delivery:
    return delivery._replace(delivered_ms=delivery.delivered_ms + round(hours * MS_PER_HOUR))


def _figure(item: str, text: str) -> float:
    """Return the figure of an item. Raises `UnknownFault`."""
    try:
        figure = float(text)
    except ValueError:
        figure = math.nan
    if not 0 <= figure < math.inf:
        raise _unknown(f"{item[:60]!r} needs a number of 0 or more after the =")
    return figure


def _unknown(sentence: str) -> UnknownFault:
    return UnknownFault(sentence, errors=(FieldError("/faults", sentence),))
