"""The event log in memory: for tests, and for trying things out. It ends with its process."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass

from energy_tracker.contracts.topics import DEAD_LETTER_SUFFIX
from energy_tracker.eventlog.arrivals import Arrivals
from energy_tracker.eventlog.port import (
    BEFORE_ALL,
    READINGS_PER_BATCH,
    Batch,
    Message,
    Record,
    Retention,
)
from energy_tracker.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class _MemoryBatch:
    log: "MemoryEventLog"
    topic: str
    group: str
    records: Sequence[Record]

    async def commit(self) -> None:
        self.log.set_committed(self.topic, self.group, self.records[-1].offset)


class MemoryEventLog:
    """An `EventLog` of lists. `groups` names the consumer groups that a topic waits for before its records expire."""

    def __init__(
        self,
        *,
        clock: Clock,
        groups: Mapping[str, Collection[str]] | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._clock = clock
        self._retention = retention or Retention()
        self._groups = dict(groups or {})
        self._records: defaultdict[str, list[Record]] = defaultdict(list)
        self._committed: dict[tuple[str, str], int] = {}
        self._next_offset = 1
        self._arrivals = Arrivals()

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        """Append messages, in order."""
        now_ms = self._clock.now_ms()
        for message in messages:
            headers = json.loads(json.dumps(dict(message.headers)))
            self._records[topic].append(
                Record(
                    topic, 0, self._next_offset, message.key, bytes(message.value), headers, now_ms, message.readings
                )
            )
            self._next_offset += 1
        self._arrivals.announce(topic)

    async def consume(
        self, topic: str, *, group: str, after: int | None = None, limit: int = 1000
    ) -> AsyncIterator[Batch]:
        """Yield batches for ever; see `EventLog.consume`."""
        position = self._committed.get((topic, group), BEFORE_ALL) if after is None else after
        while True:
            announced = self._arrivals.announced(topic)
            records = await self.read(topic, after=position, limit=limit)
            if not records:
                await self._arrivals.beyond(topic, announced)
                continue
            position = records[-1].offset
            yield _MemoryBatch(self, topic, group, records)

    async def read(self, topic: str, *, after: int = BEFORE_ALL, limit: int = 1000) -> Sequence[Record]:
        """Return the records that follow an offset."""
        following = [record for record in self._records[topic] if record.offset > after][:limit]
        readings = 0
        for index, record in enumerate(following):
            readings += record.readings
            if readings > READINGS_PER_BATCH:
                return following[: max(index, 1)]
        return following

    async def lag(self, topic: str, *, group: str) -> int:
        """Return how many records of a topic the group has not committed."""
        committed = self._committed.get((topic, group), BEFORE_ALL)
        return sum(1 for record in self._records[topic] if record.offset > committed)

    async def committed(self, topic: str, *, group: str) -> int:
        """Return the greatest offset that the group has committed."""
        return self._committed.get((topic, group), BEFORE_ALL)

    async def partitions(self, topic: str) -> int:  # noqa: ARG002 - the port's
        """Return 1, of any topic."""
        return 1

    def set_committed(self, topic: str, group: str, offset: int) -> None:
        """Move the group forward; never back."""
        self._committed[topic, group] = max(offset, self._committed.get((topic, group), BEFORE_ALL))

    async def expire(self, *, now_ms: int) -> int:
        """Drop what is past its time."""
        dropped = 0
        for topic, records in self._records.items():
            if topic.endswith(DEAD_LETTER_SUFFIX):
                horizon_ms, floor = now_ms - self._retention.dead_letters_ms, self._next_offset
            else:
                horizon_ms, floor = now_ms - self._retention.log_ms, self._floor(topic)
            kept = [record for record in records if record.appended_ms >= horizon_ms or record.offset > floor]
            dropped += len(records) - len(kept)
            records[:] = kept
        return dropped

    def _floor(self, topic: str) -> int:
        groups = {*self._groups.get(topic, ()), *(group for name, group in self._committed if name == topic)}
        return min((self._committed.get((topic, group), BEFORE_ALL) for group in groups), default=self._next_offset)
