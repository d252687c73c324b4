"""What all ingestion-services together have turned away, summed over the messages of `energy-intake`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaException

from energy_tracker.contracts.intake import IntakeCounts
from energy_tracker.contracts.topics import ENERGY_INTAKE
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_errors import Complaints
from energy_tracker.eventlog.kafka_leaving import leave_behind
from energy_tracker.eventlog.kafka_records import PartitionReader
from energy_tracker.eventlog.port import BEFORE_ALL, Record

log = logging.getLogger(__name__)

_PAGE = 1_000


class TurnedAway(NamedTuple):
    """Readings that are not in the log, ever since the topic was made."""

    duplicate: int
    rejected: int


class KafkaIntakeCounts:
    """Sums the counts of all processes, made by `open`. It remembers what it has read: a later call reads the rest."""

    def __init__(self, options: KafkaOptions) -> None:
        self._complaints = Complaints(options.bootstrap_servers)
        self._options = options
        self._reader: PartitionReader | None = None
        self._latest: dict[str, IntakeCounts] = {}
        self._after = BEFORE_ALL
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, options: KafkaOptions) -> AsyncIterator["KafkaIntakeCounts"]:
        """Give it; the broker is asked with the first call."""
        counts = cls(options)
        try:
            yield counts
        finally:
            if counts._reader is not None:
                await asyncio.to_thread(counts._reader.close)

    async def totals(self) -> TurnedAway:
        """Return how many readings all doors have counted as duplicates and as rejected. Raises `LogUnavailable`."""
        async with self._one_at_a_time:
            while records := await self._read():
                for record in records:
                    self._take(record)
                self._after = records[-1].offset
        latest = self._latest.values()
        return TurnedAway(sum(counts.duplicate for counts in latest), sum(counts.rejected for counts in latest))

    async def _read(self) -> Sequence[Record]:
        try:
            return await asyncio.to_thread(self._reading().read, after=self._after, limit=_PAGE)
        except KafkaException as error:
            if self._reader is not None:
                leave_behind(self._reader)  # it may not find its way again where a broker went away
                self._reader = None
            raise self._complaints.problem(error) from error

    def _reading(self) -> PartitionReader:
        if self._reader is None:
            with self._complaints.about_settings():
                config = {**self._options.client_config(), "error_cb": self._complaints.note}
                self._reader = PartitionReader(config, self._options.topic(ENERGY_INTAKE), ENERGY_INTAKE)
        return self._reader

    def _take(self, record: Record) -> None:
        try:
            counts = msgspec.json.decode(record.value, type=IntakeCounts)
        except msgspec.MsgspecError as error:
            log.warning("%s holds something else at %d: %s", ENERGY_INTAKE, record.offset, error)
            return
        self._latest[record.key or ""] = counts
