"""Consume, derive, commit: a consumer of co-partitioned topics whose state lives in a compacted topic.

Whoever is given a partition reads its state from the state topic, goes on behind the positions noted there, and commits
changes of the state, messages that follow from it, and positions in one transaction. The broker checks with each commit
that the partitions still belong to this process; one that was stopped and comes back commits nothing.

All calls of the Kafka client happen in one thread, so that no partition changes hands in the middle of a commit.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from confluent_kafka import KafkaException

from energy_tracker.eventlog.kafka_admin import KafkaAdmin
from energy_tracker.eventlog.kafka_flow_orders import Assignment, FlowCommit, FlowOptions, Order, PartitionsMoved
from energy_tracker.eventlog.kafka_flow_thread import FlowThread
from energy_tracker.eventlog.port import LogUnavailable, Record
from energy_tracker.kit.health import PartHealth
from energy_tracker.kit.problems import Problem

log = logging.getLogger(__name__)

__all__ = ["Assignment", "FlowCommit", "FlowOptions", "KafkaFlow", "PartitionsMoved"]

_LOOK_AGAIN_S: Final = 2.0
_LOOK_IDLE_S: Final = 20.0
"""So often, too, where nothing is known to wait."""


class KafkaFlow:
    """The flow of one process, made by `open`. Its methods belong to the event loop."""

    def __init__(self, options: FlowOptions) -> None:
        self.options = options
        self._loop = asyncio.get_running_loop()
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._assignment: Assignment | None = None
        self._changed = asyncio.Event()
        self._worker = FlowThread(options, self._orders, self._tell)
        self._thread = threading.Thread(target=self._worker.run, name=f"flow of {options.group}", daemon=True)

    @classmethod
    @asynccontextmanager
    async def open(cls, options: FlowOptions) -> AsyncIterator["KafkaFlow"]:
        """Join the group; leave it when the block ends. The broker need not be there yet."""
        flow = cls(options)
        flow._thread.start()
        looking = asyncio.create_task(flow._look_how_far_it_goes(), name=f"ends of {options.group}")
        try:
            yield flow
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            flow._orders.put(None)
            await asyncio.to_thread(flow._thread.join)

    @property
    def assignment(self) -> Assignment | None:
        """What this process has now; None while that is not known."""
        return self._assignment

    async def assigned(self) -> Assignment:
        """Wait until it is known which partitions this process has; it may have none."""
        while self._assignment is None:
            self._changed.clear()
            await self._changed.wait()
        return self._assignment

    async def next_batch(self, number: int) -> Sequence[Record] | None:
        """Wait for records that follow those given before; None: assignment `number` holds no longer."""
        try:
            records: Sequence[Record] | None = await self._order(Order(number, self._loop.create_future()))
        except asyncio.CancelledError:  # what was fetched meanwhile is to come again
            self._orders.put(Order(number, self._loop.create_future(), rewind=True))
            raise
        return records

    async def rewind(self, number: int) -> bool:
        """Go back behind what is committed; False: assignment `number` holds no longer."""
        return bool(await self._order(Order(number, self._loop.create_future(), rewind=True)))

    async def commit(self, number: int, commit: FlowCommit) -> None:
        """Make a step durable, in one transaction.

        Raises `PartitionsMoved` or `LogUnavailable`; the assignment is a new one then, read anew from the state topic.
        """
        await self._order(Order(number, self._loop.create_future(), commit=commit))

    async def _look_how_far_it_goes(self) -> None:
        """Ask where the partitions end: again and again while something waits, else now and then.

        A consumer to which nothing comes any more may take itself to be at the end. A client of its own asks: the
        answer to the consumer would wait behind the records that it waits for.
        """
        kafka = self.options.kafka
        looked_at = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_AGAIN_S)
            if self._assignment is None or (not self._worker.lag() and time.monotonic() - looked_at < _LOOK_IDLE_S):
                continue
            try:
                async with KafkaAdmin(kafka.client_config(), answer_s=kafka.answer_s) as admin:
                    await self._look(admin, self._assignment)
                    while self._worker.lag() and self._assignment is not None:
                        await asyncio.sleep(_LOOK_AGAIN_S)
                        await self._look(admin, self._assignment)
            except Problem as problem:
                log.warning("nobody can ask how far it goes: %s", problem.detail)
            looked_at = time.monotonic()

    async def _look(self, admin: KafkaAdmin, assignment: Assignment) -> None:
        for topic in map(self.options.kafka.topic, self.options.topics):
            try:
                ends = await admin.ends(topic, assignment.partitions)
            except KafkaException as error:
                admin.problem(error)  # it is asked again; whom it asks may have to change
            else:
                self._worker.progress.learn({(topic, partition): end for partition, end in ends.items()})

    def lag(self) -> int:
        """Return how many records wait in the partitions of this process, as of the last fetch."""
        return self._worker.lag()

    async def health(self) -> PartHealth:
        """DOWN while it is not known which partitions this process has, or there is lag and nothing moves."""
        return self._worker.health()

    async def _order(self, order: Order) -> Any:
        if not self._thread.is_alive():
            raise LogUnavailable("The consumer has ended.")
        self._orders.put(order)
        return await order.future

    def _tell(self, assignment: Assignment | None) -> None:
        """Take over what the thread says about its partitions (called in the thread)."""

        def take_over() -> None:
            self._assignment = assignment
            self._changed.set()

        self._loop.call_soon_threadsafe(take_over)
