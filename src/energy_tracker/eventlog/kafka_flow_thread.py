"""The thread of a flow: all calls of the Kafka client, one after the other."""

import logging
import queue
import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from energy_tracker.eventlog.kafka_flow_consumer import join_group
from energy_tracker.eventlog.kafka_flow_health import FlowHealth
from energy_tracker.eventlog.kafka_flow_orders import (
    Assignment,
    FlowCommit,
    FlowOptions,
    Order,
    PartitionsMoved,
    settle,
    settle_all,
)
from energy_tracker.eventlog.kafka_gathering import Gathering
from energy_tracker.eventlog.kafka_hearing import Unheard
from energy_tracker.eventlog.kafka_leaving import leave_behind
from energy_tracker.eventlog.kafka_progress import Progress
from energy_tracker.eventlog.kafka_records import record_of
from energy_tracker.eventlog.kafka_state import NOTE_KEY, PartitionState, StateLoader, encode_note
from energy_tracker.eventlog.kafka_transactions import Appended, Transactions
from energy_tracker.eventlog.port import LogUnavailable
from energy_tracker.kit.health import PartHealth

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.25
_SOON_S: Final = 0.005
_JOINING_S: Final = 0.05
_LIVELY_S: Final = 1.0
_BUSY_S: Final = 3.0
_RETRY_S: Final = 1.0
_TIRED_AFTER: Final = 3
"""Failures in a row after which another client takes the place of the consumer: it may have lost the group for good."""


class FlowThread:
    """Carries out the orders of the event loop, and tells it which partitions there are. `run` is the thread."""

    def __init__(
        self,
        options: FlowOptions,
        orders: "queue.SimpleQueue[Order | None]",
        tell: Callable[[Assignment | None], None],
    ) -> None:
        self._options = options
        self._orders = orders
        self._tell = tell
        self._number = 0
        self._states: dict[int, PartitionState] = {}
        self._owned: list[int] | None = None
        self._to_take: list[int] | None = None
        self._request: Order | None = None
        self._held: list[Message] = []
        self._under_way = 0  # batches that were handed out and not committed
        self._idle_since = time.monotonic()
        self._unheard = Unheard()
        self._is_paused = False
        self.progress = Progress()
        self._health = FlowHealth()
        self._gathering = Gathering()
        self._failures, self._patience = 0, _TIRED_AFTER

    def run(self) -> None:
        """Work until told to end."""
        kafka, group = self._options.kafka, self._options.kafka.group(self._options.group)
        self._join_group()
        topics = [*self._options.topics, self._options.state_topic, *self._options.appended]
        self._transactions = Transactions(kafka, group=group, topics=[kafka.topic(topic) for topic in topics])
        self._loader = StateLoader(kafka, self._options.state_topic)
        try:
            while self._turn():
                pass
        finally:
            settle_all(self._request, self._orders, LogUnavailable("The consumer has ended."))
            self._transactions.close()
            self._consumer.close()

    def _join_group(self) -> None:
        self._consumer = join_group(self._options, on_assign=self._on_assign, on_revoke=self._on_revoke, make=Consumer)

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
                self._take_partitions()
            elif self._request is not None:
                self._fetch(self._request)
            elif self._owned is None or time.monotonic() - self._idle_since > _BUSY_S:
                self._stay_in_the_group()
        except (KafkaException, LogUnavailable) as error:
            log.warning("the flow of %s waits: %s", self._options.group, self._health.failed(error))
            self._transactions.may_hang |= self._to_take is not None
            self._failures += isinstance(error, KafkaException)
            if self._failures >= self._patience:
                self._patience *= 2  # where another one does not find it either, it is hardly the client
                self._begin_with_another_consumer()
            time.sleep(_RETRY_S)
        return True

    def _begin_with_another_consumer(self) -> None:
        log.warning("the flow of %s goes on with another client", self._options.group)
        lost, self._failures, self._idle_since = self._consumer, 0, time.monotonic()
        try:
            self._join_group()
        except KafkaException as error:  # as while its certificate is changed: the old one is better than none
            log.warning("there is no other client for %s: %s", self._options.group, error)
            return
        self._void()
        self._owned = self._to_take = None
        leave_behind(lost)

    def _take_order(self, order: Order) -> None:
        if order.number != self._number:
            moved = PartitionsMoved("The partitions were given anew meanwhile.")
            settle(order, moved if order.commit is not None else None)
        elif order.commit is not None:
            self._commit(order, order.commit)
        elif order.rewind:
            self._rewind(order)
        else:
            self._request = order

    def _rewind(self, order: Order) -> None:
        """Go back; whoever waits for records gets those, unless nobody does any more."""
        if self._request is not None and self._request.future.done():
            self._request = None
        self._held.clear()
        self._under_way = 0
        try:
            self._go_to_positions()
            settle(order, True)
        except KafkaException as error:
            self._begin_again(order, LogUnavailable(f"Kafka does not go back: {error.args[0].str()}"))

    def _begin_again(self, order: Order, error: Exception) -> None:
        """Say that an order failed, and read anew what is committed."""
        self._void()
        self._to_take = self._owned
        settle(order, error)

    def _commit(self, order: Order, commit: FlowCommit) -> None:
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
            self._begin_again(order, error)
            return
        for number, state in self._states.items():
            state.positions.update(state.ahead)
            state.note = commit.notes.get(number, state.note)
        self._health.moved()
        self._under_way = max(0, self._under_way - 1)
        settle(order, None)

    def _fetch(self, request: Order) -> None:
        self._resume()
        # While there is something to do the next order is near: it must not wait for records that may not come.
        timeout_s = _SOON_S if time.monotonic() - self._idle_since < _LIVELY_S else _LOOK_S
        gathering = self._gathering
        gathering.begin(self._held, timeout_s=timeout_s, meanwhile=self._under_way > 0)
        goes_on = not gathering.is_full
        while goes_on and self._orders.empty():
            found = self._poll(gathering.wanted, gathering.timeout_s)
            if self._request is None or request.number != self._number:
                return  # the partitions were taken away meanwhile; whoever has them reads these again
            self._held += found  # kept where the next call fails: the consumer does not hand them out again
            goes_on = gathering.add(found)
        messages, self._held = self._held, []
        if messages:
            self._request = None
            self._under_way += 1
            self._idle_since = time.monotonic()
            named = {self._options.kafka.topic(topic): topic for topic in self._options.topics}
            settle(request, [record_of(message, named[message.topic() or ""]) for message in messages])
        if self._unheard.is_deaf(self.progress.not_fetched(self._positions()), others_came=bool(messages)):
            self._begin_with_another_consumer()  # something waits and does not come

    def _poll(self, wanted: int, timeout_s: float) -> list[Message]:
        return self.progress.usable(self._consumer.consume(wanted, timeout_s), group=self._options.group)

    def _stay_in_the_group(self) -> None:
        """Poll without taking anything, while a batch is under way for long or no partition is known yet."""
        if self._owned and not self._is_paused:
            self._consumer.pause(self._consumer.assignment())
            self._is_paused = True
        self._unheard.forget()
        self._held += self._poll(1, _LOOK_S if self._owned else _JOINING_S)

    def _resume(self) -> None:
        if self._is_paused:
            self._consumer.resume(self._consumer.assignment())
            self._is_paused = False

    def _on_assign(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        if consumer is not self._consumer:
            return  # it was left behind
        self._void()
        consumer.assign([])  # what to read, and from where, is known once the state is
        self._owned = self._to_take = sorted({partition.partition for partition in partitions})

    def _on_revoke(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        del partitions  # eager: all of them
        if consumer is not self._consumer:
            return  # it was left behind, and is closed in a thread of its own
        self._void()
        self._owned = self._to_take = None
        consumer.unassign()

    def _void(self) -> None:
        """Say that what was given holds no longer."""
        self._number += 1
        self._health.lost()
        self._unheard.forget()
        self._held.clear()
        self._under_way = 0
        self._tell(None)
        if self._request is not None:
            settle(self._request, None)
            self._request = None

    def _take_partitions(self) -> None:
        """Read the state of the partitions that were given, and go on behind it."""
        self._consumer.assign([])
        self._consumer.poll(0)  # where a commit failed because they are somebody else's by now, this tells it
        if (partitions := self._to_take) is None:
            return
        self._transactions.end_hanging()
        self._states = self._loader.load(self._consumer, partitions, self._options.topics)
        self._to_take = None
        named = self._options.kafka.topic
        self.progress = Progress(
            {(named(topic), number): end for number, state in self._states.items() for topic, end in state.ends.items()}
        )
        self._go_to_positions()
        self._health.taken()
        self._idle_since, self._failures, self._patience = time.monotonic(), 0, _TIRED_AFTER
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
        self._resume()  # a partition that is assigned anew is as paused as it was

    def lag(self) -> int:
        """Return how many records wait, as of the last fetch."""
        return self.progress.lag(self._positions())

    def _positions(self) -> list[tuple[tuple[str, int], int]]:
        named, states = self._options.kafka.topic, list(self._states.items())
        return [((named(topic), number), at) for number, state in states for topic, at in state.positions.items()]

    def health(self) -> PartHealth:
        """Say whether partitions are known, and whether what waits moves."""
        return self._health.health(sorted(self._states), self.lag())
