"""`energy-usage` on Kafka, as usage-service reads it: the partitions that the group gives to this process."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from energy_tracker.eventlog.kafka_client import partition_of
from energy_tracker.eventlog.kafka_flow import KafkaFlow
from energy_tracker.eventlog.port import Batch, Record
from energy_tracker.services.usage.adapters.influx import InfluxReadingStore
from energy_tracker.services.usage.model.readings import Place


@dataclass(frozen=True, slots=True)
class _FlowBatch:
    """Records that the store commits together with what it derives from them."""

    records: Sequence[Record]

    async def commit(self) -> None:
        """Return at once: the store's own transaction has committed the positions."""


class KafkaStream:
    """`UsageStream` over a flow whose state the store keeps."""

    def __init__(self, flow: KafkaFlow, store: InfluxReadingStore) -> None:
        self._flow = flow
        self._store = store

    async def batches(self, *, after: Mapping[Place, int]) -> AsyncIterator[Batch]:
        """Yield batches behind what the store has taken up, until the partitions move.

        They have moved, too, where the store has taken up others meanwhile, to go on after a failure.
        """
        del after  # the flow goes on behind what was committed with it
        number = self._store.number
        while self._store.number == number and (records := await self._flow.next_batch(number)) is not None:
            yield _FlowBatch(records)

    async def lag(self) -> int:
        """Return how many records wait in this process's partitions."""
        return self._flow.lag()


class KafkaHomes:
    """`Homes` by the partitions of a topic: a home's is that of its user's id as a key."""

    def __init__(self, partitions: int) -> None:
        self._count = partitions
        self._store: InfluxReadingStore | None = None
        self.partition_of = lru_cache(maxsize=1_000_000)(self._partition_of)

    def follow(self, store: InfluxReadingStore) -> None:
        """Tell the partitions that a store has taken up."""
        self._store = store

    @property
    def partitions(self) -> Collection[int]:
        """The partitions that this process has now."""
        return () if self._store is None else self._store.partitions

    def _partition_of(self, user_id: int) -> int:
        return partition_of(str(user_id).encode(), self._count)
