"""What usage-service needs of the log: records to take, and how many there are."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from energy_tracker.eventlog.port import Batch
from energy_tracker.services.usage.model.ledger import Holdings, Intake
from energy_tracker.services.usage.model.readings import Place


class IntakeLedger(Protocol):
    """The log's part of the ledger."""

    async def intake(self, *, beyond: Holdings) -> Intake:
        """Return the counts, `queued` being what lies in the log beyond the positions of the holdings.

        Raises `TemporarilyUnavailable`.
        """


class UsageStream(Protocol):
    """`energy-usage` as this process reads it: all of it, or its share of the homes."""

    def batches(self, *, after: Mapping[Place, int]) -> AsyncIterator[Batch]:
        """Yield batches behind these positions, waiting for new ones.

        Ends where this process is given other homes to look after: what it knows of them is to be taken up anew.
        Raises `TemporarilyUnavailable` where the log cannot be read.
        """

    async def lag(self) -> int:
        """Return how many records wait that are this process's to take."""
