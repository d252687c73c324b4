"""One consumer of a Kafka group, in a thread of its own: it offers one batch at a time to the event loop."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from energy_tracker.eventlog.kafka_batch import CommitOrder, KafkaBatch
from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_errors import PARTITIONS_MOVED, Complaints
from energy_tracker.eventlog.kafka_hearing import Hearing
from energy_tracker.eventlog.kafka_leaving import leave_behind
from energy_tracker.eventlog.kafka_records import CONSUMER_CONFIG, Fetched
from energy_tracker.eventlog.port import LogUnavailable
from energy_tracker.kit.problems import Problem

log = logging.getLogger(__name__)

SESSION_S = 10.0
_LOOK_S = 0.2
_WINDOW_S = 0.005
_PORTION = 100
_BATCH_BYTES = 4_000_000
_BUSY_S = 1.0
_DRAIN_S = 60.0
_ANSWER_S = 10.0


class KafkaConsumer:
    """A member of a group that consumes one topic. Its public methods belong to the event loop.

    The thread keeps polling while a batch is long under way, with its partitions paused, so that the group does not
    take it for dead. Partitions are given up only once the batch under way is done, or after a minute.
    """

    def __init__(self, options: KafkaOptions, topic: str, *, group: str, after: int | None, limit: int) -> None:
        self.topic = topic
        self._broker_topic = options.topic(topic)
        self._own_next = None if after is None else after + 1
        self._limit = limit
        self._complaints = Complaints(options.bootstrap_servers)
        self._config: dict[str, Any] = {
            **options.client_config(),
            **CONSUMER_CONFIG,
            "group.id": options.group(group),
            "partition.assignment.strategy": "range",
            "session.timeout.ms": int(SESSION_S * 1_000),
            "error_cb": self._complaints.note,
        }
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"consumer of {topic}", daemon=True)
        # Shared by the thread and the event loop, under `_turn`:
        self._turn = threading.Condition()
        self._offer: KafkaBatch | None = None
        self._under_way = False
        self._orders: deque[CommitOrder] = deque()
        self._stopping = False
        self._ended: Exception | None = None
        self._committed: Mapping[int, int] = {}
        # The thread's own:
        self._generation = 0
        self._fetched = Fetched(topic)
        self._handed: dict[int, int] = {}
        self._paused = False
        self._hearing = Hearing(self._broker_topic)

    @property
    def committed(self) -> Mapping[int, int]:
        """The partitions that this consumer has now, and behind what the group goes on in each."""
        with self._turn:
            return dict(self._committed)

    def start(self) -> None:
        """Join the group. Raises `LogMisconfigured`."""
        with self._complaints.about_settings():
            self._consumer = Consumer(self._config)
        self._thread.start()

    async def next_batch(self) -> KafkaBatch:
        """Wait for the next records; with this call the batch before it is done. Raises `LogUnavailable`."""
        with self._turn:
            self._under_way = False
            self._turn.notify_all()
        while True:
            self._news.clear()
            with self._turn:
                if self._ended is not None:
                    raise self._ended
                if self._offer is not None:
                    batch, self._offer = self._offer, None
                    self._under_way = True
                    return batch
            await self._news.wait()

    async def commit(self, generation: int, next_offsets: Mapping[int, int]) -> None:
        """Commit offsets, unless the partitions went elsewhere meanwhile; never backwards. Raises `LogUnavailable`."""
        order = CommitOrder(generation, next_offsets, self._loop.create_future())
        with self._turn:
            if self._ended is not None:
                raise self._ended
            self._orders.append(order)
            self._turn.notify_all()
        try:
            async with asyncio.timeout(_ANSWER_S):
                await order.done
        except TimeoutError:  # librdkafka itself waits for ever for a broker that hangs
            raise self._complaints.problem() from None

    async def close(self) -> None:
        """Leave the group; where a broker hangs, the thread is left behind to do so."""
        with self._turn:
            self._stopping = True
            self._under_way = False
            self._turn.notify_all()
        await asyncio.to_thread(self._thread.join, _ANSWER_S)
        if self._thread.is_alive():
            log.warning("the consumer of %s could not leave its group yet: no broker answers", self.topic)

    def _run(self) -> None:
        ended: Exception = LogUnavailable(f"The consumer of {self.topic} has ended.")
        try:
            self._subscribe()
            while not self._stopping:
                self._step()
        except KafkaException as error:
            ended = self._complaints.problem(error)
        except Exception as error:  # this thread's outermost loop: whoever waits for a batch is told
            log.exception("the consumer of %s failed", self.topic)
            ended = error
        self._consumer.close()
        with self._turn:
            self._ended = ended
            left, self._orders = self._orders, deque()
        for order in left:
            self._loop.call_soon_threadsafe(order.settle, ended)
        self._loop.call_soon_threadsafe(self._news.set)

    def _subscribe(self) -> None:
        self._consumer.subscribe(
            [self._broker_topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _begin_with_another_client(self) -> None:
        log.warning("nothing of %s comes any more: another client goes on", self.topic)
        lost, self._consumer = self._consumer, Consumer(self._config)
        self._let_go()
        self._paused = False
        self._subscribe()
        leave_behind(lost)

    def _step(self) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._orders or self._is_free(), _BUSY_S)
            ordered, free = bool(self._orders), self._is_free()
        self._carry_out()
        if not free:
            if not ordered:
                self._stay_a_member()
            return
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False
        if not self._fetched:
            self._fetch()
        if self._fetched:
            self._hand_over()

    def _is_free(self) -> bool:
        return self._stopping or (self._offer is None and not self._under_way)

    def _stay_a_member(self) -> None:
        if not self._paused:
            self._consumer.pause(self._consumer.assignment())
            self._paused = True
        message = self._consumer.poll(_LOOK_S)
        self._fetched.add([] if message is None else [message])

    def _carry_out(self) -> None:
        """Do the commits that were ordered: in this thread, since no other may commit while partitions are moving."""
        while self._orders:
            order = self._orders.popleft()
            error: Exception | None = None
            try:
                self._commit(order.generation, order.next_offsets)
            except Problem as problem:
                error = problem
            self._loop.call_soon_threadsafe(order.settle, error)

    def _commit(self, generation: int, next_offsets: Mapping[int, int]) -> None:
        if generation != self._generation:
            log.info("partitions of %s went to another consumer: their records come again there", self.topic)
            return
        due = {place: offset for place, offset in next_offsets.items() if offset > self._committed[place]}
        if self._own_next is not None:
            self._own_next = max(self._own_next, *next_offsets.values())
        if not due:
            return
        places = [TopicPartition(self._broker_topic, place, offset) for place, offset in due.items()]
        try:
            _check(self._consumer.commit(offsets=places, asynchronous=False))
        except KafkaException as error:
            if error.args[0].code() not in PARTITIONS_MOVED:
                raise self._complaints.problem(error) from error
            log.info("partitions of %s are moving: their last records come again", self.topic)
            return
        with self._turn:
            self._committed = {**self._committed, **due}

    def _fetch(self) -> None:
        first = self._consumer.poll(_LOOK_S)
        if first is None:
            if self._hearing.is_deaf(self._consumer, self._committed):
                self._begin_with_another_client()
            return
        self._fetched.add([first])
        if self._fetched:
            self._complaints.forget()
        size, more = 0, _PORTION
        while more == _PORTION and len(self._fetched) < self._limit and size < _BATCH_BYTES:
            messages = self._consumer.consume(_PORTION, timeout=_WINDOW_S)
            self._fetched.add(messages)
            more = len(messages)
            size += sum(map(len, messages))

    def _hand_over(self) -> None:
        records, next_offsets = self._fetched.take(self._limit)
        if not records:
            self._pass_over(next_offsets)
            return
        self._handed.update(next_offsets)
        self._offer = KafkaBatch(self, self._generation, records, next_offsets)
        self._loop.call_soon_threadsafe(self._news.set)

    def _pass_over(self, ends: Mapping[int, int]) -> None:
        """Commit the ends of partitions behind which nothing but marks of transactions lies: they are no lag."""
        due = {place: end for place, end in ends.items() if self._handed.get(place, 0) <= self._committed[place]}
        try:
            self._commit(self._generation, due)
        except Problem as problem:
            log.info("the end of %s was not committed: %s", self.topic, problem.detail)

    def _on_assign(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if consumer is not self._consumer:
            return  # it was left behind
        if self._own_next is not None:
            for place in places:
                place.offset = self._own_next
        consumer.assign(places)
        if self._paused:
            consumer.pause(places)
        asked = [TopicPartition(place.topic, place.partition) for place in places]
        committed = consumer.committed(asked, timeout=_ANSWER_S) if asked else []
        with self._turn:
            self._generation += 1
            self._committed = {place.partition: max(place.offset, 0) for place in committed}

    def _on_revoke(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if consumer is not self._consumer:
            return  # it was left behind, and is closed in a thread of its own
        deadline = time.monotonic() + _DRAIN_S
        with self._turn:
            self._offer = None
        while self._under_way and (left_s := deadline - time.monotonic()) > 0:
            with self._turn:
                self._turn.wait_for(lambda: self._orders or not self._under_way, left_s)
            self._carry_out()
        if self._under_way:
            log.warning("%d partitions of %s go although their last batch is not done", len(places), self.topic)
        self._let_go()

    def _on_lost(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        if consumer is not self._consumer:
            return
        log.warning("%d partitions of %s were taken away: this consumer was silent too long", len(places), self.topic)
        self._let_go()

    def _let_go(self) -> None:
        with self._turn:
            self._offer = None
            self._generation += 1
            self._committed = {}
        self._fetched.clear()
        self._handed.clear()


def _check(places: Sequence[TopicPartition]) -> None:
    for place in places:
        if place.error is not None:
            raise KafkaException(place.error)
