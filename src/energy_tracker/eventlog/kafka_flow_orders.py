"""What the event loop and the thread of a flow say to each other."""

import asyncio
import queue
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_state import PartitionState
from energy_tracker.eventlog.kafka_transactions import Appended
from energy_tracker.eventlog.port import LogUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions:
    """Which topics, all of the same number of partitions, are consumed by which group with which state.

    `appended` are other topics to which its transactions append.
    """

    kafka: KafkaOptions
    group: str
    topics: tuple[str, ...]
    state_topic: str
    appended: tuple[str, ...] = ()
    session_timeout_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """The partitions that this process has now; another number is another assignment."""

    number: int
    partitions: Mapping[int, PartitionState]


@dataclass(slots=True)
class FlowCommit:
    """One step of the flow.

    `entries` are (partition, key, value or None) of the state, `positions` the last offset processed by (topic,
    partition), `notes` what goes with the positions of a partition: short texts that anybody can read from the group.
    """

    entries: list[tuple[int, str, bytes | None]] = field(default_factory=list)
    messages: list[Appended] = field(default_factory=list)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    notes: dict[int, str] = field(default_factory=dict)


class PartitionsMoved(LogUnavailable):
    """The partitions of this step belong to somebody else by now; who has them does it."""

    title = "The partitions have moved"


@dataclass(slots=True)
class Order:
    """Something that the event loop wants of the thread."""

    number: int
    future: asyncio.Future[Any]
    commit: FlowCommit | None = None
    rewind: bool = False


def settle(order: Order, outcome: object) -> None:
    """Give the event loop what came of an order; an exception is raised there."""

    def settle() -> None:
        if order.future.done():
            return
        if isinstance(outcome, BaseException):
            order.future.set_exception(outcome)
        else:
            order.future.set_result(outcome)

    order.future.get_loop().call_soon_threadsafe(settle)


def settle_all(first: Order | None, orders: "queue.SimpleQueue[Order | None]", error: Exception) -> None:
    """Let an order, and all that wait, fail."""
    if first is not None:
        settle(first, error)
    while True:
        try:
            order = orders.get_nowait()
        except queue.Empty:
            return
        if order is not None:
            settle(order, error)
