"""What goes wrong between a meter and the door: seeded changes of a stream of deliveries, one after another.

Faults of content (lost, gap, reset, glitch, jitter, rollover, skew) decide what can be known; faults of delivery
(duplicate, late, shuffled) must change nothing at all, and come after them.
"""

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.services.ingestion.simulation.content_faults import (
    ClockSkew,
    Gap,
    GlitchToZero,
    Jitter,
    Lost,
    RegisterReset,
    Rollover,
)
from energy_tracker.services.ingestion.simulation.deliveries import Delivery, Fault
from energy_tracker.services.ingestion.simulation.delivery_faults import Duplicate, Late, Shuffled
from energy_tracker.services.ingestion.simulation.readings import SimulatedReading
from energy_tracker.services.ingestion.simulation.truth import TruthRecorder


class UnknownFault(InvalidRequest):
    """There is no fault of that name, or its figure is not a number of 0 or more."""


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
