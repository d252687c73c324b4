"""What doors have counted elsewhere, taken over where the log moves in: once or again, it counts once."""

from collections.abc import Sequence
from typing import Final

import apsw
import msgspec

from energy_tracker.contracts.ingestion import IngestionLedger
from energy_tracker.contracts.intake import IntakeCounts
from energy_tracker.contracts.topics import ENERGY_INTAKE
from energy_tracker.eventlog.port import EventLog, Message
from energy_tracker.storage.sqlite_writer import SqliteWriter

MOVED_IN: Final = "moved-in"
"""The key on `energy-intake` under which those counts stand that came from elsewhere."""


async def open_intake(log: EventLog, *, duplicate: int, rejected: int) -> None:
    """Count, beside what the doors on Kafka turn away, what was turned away before. Raises `LogUnavailable`."""
    counts = IntakeCounts(duplicate=duplicate, rejected=rejected)
    await log.append(ENERGY_INTAKE, [Message(MOVED_IN, msgspec.json.encode(counts))])


async def open_embedded_ledger(writer: SqliteWriter, ledger: IngestionLedger) -> None:
    """Let the ledger of `log.db` go on from these totals."""
    await writer.run(_set_ledger, ledger)


def _set_ledger(connection: apsw.Connection, ledgers: Sequence[IngestionLedger]) -> list[None]:
    for ledger in ledgers:
        connection.execute(
            "UPDATE ledger SET received = ?, accepted = ?, duplicate = ?, rejected = ?",
            (ledger.received, ledger.accepted, ledger.duplicate, ledger.rejected),
        )
    return [None] * len(ledgers)
