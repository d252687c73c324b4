"""A turn between being prepared and being stored."""

import asyncio
from dataclasses import dataclass

from energy_tracker.services.usage.batches import DecodedRecords


@dataclass(slots=True, eq=False)
class UnderWay:
    """A turn that is prepared and on its way into the store; both results are how many readings were new."""

    decoded: DecodedRecords
    poison_before: int
    task: asyncio.Task[int]
    stored_without: int | None = None
    """Where the store refused some of its readings, and the rest is stored."""

    @property
    def failed(self) -> bool:
        """Whether it has come to its end without being stored as it was prepared."""
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)
