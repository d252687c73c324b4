"""Faults of delivery: what arrives is the same in the end, and nothing may depend on them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from energy_tracker.kit.instants import MS_PER_HOUR
from energy_tracker.services.ingestion.simulation.deliveries import Delivery
from energy_tracker.services.ingestion.simulation.surroundings import chance


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


def _delayed(delivery: Delivery, hours: float) -> Delivery:
    return delivery._replace(delivered_ms=delivery.delivered_ms + round(hours * MS_PER_HOUR))
