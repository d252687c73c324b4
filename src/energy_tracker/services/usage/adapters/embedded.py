"""The embedded log, as usage-service reads it: one partition, all homes."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from energy_tracker.contracts.topics import ENERGY_USAGE, USAGE_GROUP
from energy_tracker.eventlog.port import BEFORE_ALL, Batch, EventLog
from energy_tracker.services.usage.model.readings import Place

EMBEDDED_PLACE: Final = Place(ENERGY_USAGE, 0)


class EmbeddedStream:
    """`UsageStream` over an event log of one partition."""

    def __init__(self, eventlog: EventLog) -> None:
        self._log = eventlog

    async def batches(self, *, after: Mapping[Place, int]) -> AsyncIterator[Batch]:
        """Yield batches behind the position, or behind what the log knows where that is less."""
        committed = await self._log.committed(ENERGY_USAGE, group=USAGE_GROUP)
        start = min(after.get(EMBEDDED_PLACE, BEFORE_ALL), committed)
        async for batch in self._log.consume(ENERGY_USAGE, group=USAGE_GROUP, after=start):
            yield batch

    async def lag(self) -> int:
        """Return how many records wait."""
        return await self._log.lag(ENERGY_USAGE, group=USAGE_GROUP)
