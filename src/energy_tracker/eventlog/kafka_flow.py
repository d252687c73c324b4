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
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_errors import END_OF_PARTITION
from energy_tracker.eventlog.kafka_records import record_of
from energy_tracker.eventlog.kafka_state import NOTE_KEY, PartitionState, StateLoader, encode_note
from energy_tracker.eventlog.kafka_transactions import Appended, Transactions
from energy_tracker.eventlog.port import LogUnavailable, Record
from energy_tracker.kit.health import PartHealth

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 2_000_000
BATCH_RECORDS: Final = 20_000
WINDOW_S: Final = 0.01
"""How long a batch waits for more once it has something."""
_LOOK_S: Final = 0.1
_BUSY_S: Final = 3.0
_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions:
    """Which topics, all of the same number of partitions, are consumed by which group with which state."""

    kafka: KafkaOptions
    group: str
    topics: tuple[str, ...]
    state_topic: str
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
class _Order:
    """Something that the event loop wants of the thread."""

    number: int
    future: asyncio.Future[Any]
    commit: FlowCommit | None = None
    rewind: bool = False


class KafkaFlow:
    """The flow of one process, made by `open`. Its methods belong to the event loop."""

    def __init__(self, options: FlowOptions) -> None:
        self.options = options
        self._loop = asyncio.get_running_loop()
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._assignment: Assignment | None = None
        self._changed = asyncio.Event()
        self._worker = _FlowThread(options, self._orders, self._tell)
        self._thread = threading.Thread(target=self._worker.run, name=f"flow of {options.group}", daemon=True)

    @classmethod
    @asynccontextmanager
    async def open(cls, options: FlowOptions) -> AsyncIterator["KafkaFlow"]:
        """Join the group; leave it when the block ends. The broker need not be there yet."""
        flow = cls(options)
        flow._thread.start()
        try:
            yield flow
        finally:
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
            records: Sequence[Record] | None = await self._order(_Order(number, self._loop.create_future()))
        except asyncio.CancelledError:  # what was fetched meanwhile is to come again
            self._orders.put(_Order(number, self._loop.create_future(), rewind=True))
            raise
        return records

    async def rewind(self, number: int) -> bool:
        """Go back behind what is committed; False: assignment `number` holds no longer."""
        return bool(await self._order(_Order(number, self._loop.create_future(), rewind=True)))

    async def commit(self, number: int, commit: FlowCommit) -> None:
        """Make a step durable, in one transaction.

        Raises `PartitionsMoved` or `LogUnavailable`; the assignment is a new one then, read anew from the state topic.
        """
        await self._order(_Order(number, self._loop.create_future(), commit=commit))

    def lag(self) -> int:
        """Return how many records wait in the partitions of this process, as of the last fetch."""
        return self._worker.lag()

    async def health(self) -> PartHealth:
        """DOWN while it is not known which partitions this process has, or there is lag and nothing moves."""
        return self._worker.health()

    async def _order(self, order: _Order) -> Any:
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


class _FlowThread:
    """What happens in the thread."""

    def __init__(
        self,
        options: FlowOptions,
        orders: "queue.SimpleQueue[_Order | None]",
        tell: Callable[[Assignment | None], None],
    ) -> None:
        self._options = options
        self._orders = orders
        self._tell = tell
        self._number = 0
        self._states: dict[int, PartitionState] = {}
        self._owned: list[int] | None = None
        self._to_take: list[int] | None = None
        self._request: _Order | None = None
        self._held: list[Message] = []
        self._idle_since = time.monotonic()
        self._is_paused = False
        self._ends: dict[tuple[str, int], int] = {}
        self._fetched: dict[tuple[str, int], int] = {}
        self._moved_at = time.monotonic()
        self._error: str | None = "it has not joined the group yet"
        self._mean_bytes = 200.0

    def run(self) -> None:
        options = self._options
        config = options.kafka.client_config()
        self._consumer = Consumer(
            {
                **config,
                "group.id": options.kafka.group(options.group),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "range",
                "session.timeout.ms": options.session_timeout_ms,
                "max.poll.interval.ms": 900_000,
                "queued.max.messages.kbytes": 16_384,
                "fetch.max.bytes": 8_000_000,
                "fetch.wait.max.ms": 100,
            }
        )
        self._transactions = Transactions(config, group=options.kafka.group(options.group))
        self._loader = StateLoader(options.kafka, options.state_topic)
        self._consumer.subscribe(
            [options.kafka.topic(topic) for topic in options.topics],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_revoke,
        )
        try:
            while self._turn():
                pass
        finally:
            self._fail_orders()
            self._transactions.close()
            self._consumer.close()

    def _turn(self) -> bool:
        """Do what is to be done next; False: the flow is to end."""
        waits = self._request is None and self._to_take is None and self._owned is not None
        try:
            order = self._orders.get(timeout=_LOOK_S) if waits else self._orders.get_nowait()
        except queue.Empty:
            pass
        else:
            if order is None:
                return False
            self._take_order(order)
            return True
        try:
            if self._to_take is not None:
                self._take_partitions(self._to_take)
            elif self._request is not None:
                self._fetch(self._request)
            elif self._owned is None or time.monotonic() - self._idle_since > _BUSY_S:
                self._stay_in_the_group()
        except (KafkaException, LogUnavailable) as error:
            self._error = str(error)[:300]
            log.warning("the flow of %s waits: %s", self._options.group, self._error)
            time.sleep(_RETRY_S)
        return True

    def _take_order(self, order: _Order) -> None:
        if order.number != self._number:
            moved = PartitionsMoved("The partitions were given anew meanwhile.")
            _settle(order, moved if order.commit is not None else None)
        elif order.commit is not None:
            self._commit(order, order.commit)
        elif order.rewind:
            self._request = None
            self._held.clear()
            self._go_to_positions()
            _settle(order, True)
        else:
            self._request = order

    def _commit(self, order: _Order, commit: FlowCommit) -> None:
        for (topic, partition), offset in commit.positions.items():
            self._states[partition].ahead[topic] = offset
        named = self._options.kafka.topic
        state_topic = named(self._options.state_topic)
        entries = [Appended(state_topic, key, value, {}, partition) for partition, key, value in commit.entries]
        notes = [
            Appended(state_topic, NOTE_KEY, encode_note(state, commit.notes.get(number)), {}, number)
            for number, state in self._states.items()
        ]
        messages = [message._replace(topic=named(message.topic)) for message in commit.messages]
        offsets = [
            TopicPartition(named(topic), number, offset + 1, metadata=commit.notes.get(number, state.note))
            for number, state in self._states.items()
            for topic, offset in state.ahead.items()
        ]
        try:
            self._transactions.commit([*entries, *messages, *notes], offsets, self._consumer.consumer_group_metadata())
        except LogUnavailable as error:
            self._void()
            self._to_take = self._owned
            _settle(order, error)
            return
        for number, state in self._states.items():
            state.positions.update(state.ahead)
            state.note = commit.notes.get(number, state.note)
        self._moved_at = time.monotonic()
        self._error = None
        _settle(order, None)

    def _fetch(self, request: _Order) -> None:
        self._resume()
        messages, self._held = self._held, []
        size = sum(len(message) for message in messages)
        timeout = _LOOK_S
        while size < BATCH_BYTES and len(messages) < BATCH_RECORDS:
            wanted = min(BATCH_RECORDS - len(messages), int((BATCH_BYTES - size) / self._mean_bytes) + 1)
            found = self._usable(self._consumer.consume(wanted, timeout))
            if self._request is None or request.number != self._number:
                return  # the partitions were taken away meanwhile; whoever has them reads these again
            if not found:
                break
            size += sum(len(message) for message in found)
            messages += found
            timeout = WINDOW_S
        if messages:
            self._mean_bytes = max(size / len(messages), 20.0)
            self._request = None
            self._idle_since = time.monotonic()
            prefix = len(self._options.kafka.topic_prefix)
            _settle(request, [record_of(message, (message.topic() or "")[prefix:]) for message in messages])

    def _usable(self, polled: Iterable[Message]) -> list[Message]:
        found: list[Message] = []
        for message in polled:
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == END_OF_PARTITION:
                self._ends[_place(message)] = message.offset() or 0
            else:
                log.warning("%s: %s", self._options.group, error.str())
        for message in found:
            self._fetched[_place(message)] = (message.offset() or 0) + 1
        return found

    def _stay_in_the_group(self) -> None:
        """Poll without taking anything, while a batch is under way for long or no partition is known yet."""
        if self._owned and not self._is_paused:
            self._consumer.pause(self._consumer.assignment())
            self._is_paused = True
        message = self._consumer.poll(_LOOK_S)
        if message is not None:
            self._held += self._usable([message])

    def _resume(self) -> None:
        if self._is_paused:
            self._consumer.resume(self._consumer.assignment())
            self._is_paused = False

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._void()
        consumer.assign([])  # what to read, and from where, is known once the state is
        self._owned = self._to_take = sorted({partition.partition for partition in partitions})

    def _on_revoke(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        del partitions  # eager: all of them
        self._void()
        self._owned = self._to_take = None
        consumer.unassign()

    def _void(self) -> None:
        """Say that what was given holds no longer."""
        self._number += 1
        self._held.clear()
        self._tell(None)
        if self._request is not None:
            _settle(self._request, None)
            self._request = None

    def _take_partitions(self, partitions: list[int]) -> None:
        """Read the state of the partitions that were given, and go on behind it."""
        self._states = self._loader.load(self._consumer, partitions, self._options.topics)
        self._to_take = None
        self._ends.clear()
        self._fetched.clear()
        self._is_paused = False
        self._go_to_positions()
        self._moved_at = self._idle_since = time.monotonic()
        self._error = None
        self._tell(Assignment(self._number, dict(self._states)))
        log.info("%s has the partitions %s", self._options.group, partitions)

    def _go_to_positions(self) -> None:
        for state in self._states.values():
            state.ahead = dict(state.positions)
        self._consumer.assign(
            [
                TopicPartition(self._options.kafka.topic(topic), number, offset + 1)
                for number, state in self._states.items()
                for topic, offset in state.positions.items()
            ]
        )
        self._is_paused = False

    def lag(self) -> int:
        total = 0
        for number, state in self._states.items():
            for topic, position in state.positions.items():
                place = (self._options.kafka.topic(topic), number)
                is_drained = self._fetched.get(place, 0) <= position + 1
                reached = max(position + 1, self._ends.get(place, 0) if is_drained else 0)
                total += max(0, self._end_of(place, state.ends[topic]) - reached)
        return total

    def _end_of(self, place: tuple[str, int], known: int) -> int:
        """Return where a partition ends, as the last fetch told; ends of transactions count, too."""
        _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        return max(int(high), known)

    def health(self) -> PartHealth:
        details: dict[str, object] = {"partitions": sorted(self._states)}
        if self._error is not None:
            return PartHealth("DOWN", {"error": self._error})
        lag = self.lag()
        details["lag"] = lag
        stood_s = time.monotonic() - self._moved_at
        if lag and stood_s > 30.0:
            return PartHealth("DOWN", details | {"error": f"nothing was committed for {stood_s:.0f} s"})
        return PartHealth("UP", details)

    def _fail_orders(self) -> None:
        ended = LogUnavailable("The consumer has ended.")
        if self._request is not None:
            _settle(self._request, ended)
        while True:
            try:
                order = self._orders.get_nowait()
            except queue.Empty:
                return
            if order is not None:
                _settle(order, ended)


def _settle(order: _Order, outcome: object) -> None:
    """Give the event loop what came of an order; an exception is raised there."""

    def settle() -> None:
        if order.future.done():
            return
        if isinstance(outcome, BaseException):
            order.future.set_exception(outcome)
        else:
            order.future.set_result(outcome)

    order.future.get_loop().call_soon_threadsafe(settle)


def _place(message: Message) -> tuple[str, int]:
    return message.topic() or "", message.partition() or 0
