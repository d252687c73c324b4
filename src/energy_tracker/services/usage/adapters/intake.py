"""Ingestion's part of the ledger, asked of ingestion-service."""

from energy_tracker.clients.ingestion import IngestionClient
from energy_tracker.eventlog.port import BEFORE_ALL
from energy_tracker.services.usage.adapters.embedded import EMBEDDED_PLACE
from energy_tracker.services.usage.model.ledger import Holdings, Intake


class IngestionIntake:
    """`IntakeLedger` over ingestion-service's own count."""

    def __init__(self, ingestion: IngestionClient) -> None:
        self._ingestion = ingestion

    async def intake(self, *, beyond: Holdings) -> Intake:
        """Return the counts, `queued` being what lies in the log beyond the position of the holdings."""
        after = beyond.positions.get(EMBEDDED_PLACE, BEFORE_ALL)
        ledger = await self._ingestion.ledger(after=max(0, after))
        return Intake(ledger.received, ledger.accepted, ledger.duplicate, ledger.rejected, ledger.queued)
