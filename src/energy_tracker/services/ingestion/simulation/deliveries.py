"""Readings on their way, and what a fault does to them."""

from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple, Protocol

from energy_tracker.services.ingestion.simulation.readings import SimulatedReading


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
