"""Ingestion's part of the ledger, asked of ingestion-service."""

from energy_tracker.clients.ingestion import IngestionClient
from energy_tracker.services.usage.model.ledger import Intake


class IngestionIntake:
    """`IntakeLedger` over ingestion-service's own count."""

    def __init__(self, ingestion: IngestionClient) -> None:
        self._ingestion = ingestion

    async def intake(self, *, after: int) -> Intake:
        """Return the counts, `queued` being what lies in the log beyond the position `after`."""
        ledger = await self._ingestion.ledger(after=after)
        return Intake(ledger.received, ledger.accepted, ledger.duplicate, ledger.rejected, ledger.queued)
