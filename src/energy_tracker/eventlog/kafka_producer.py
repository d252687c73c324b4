"""Appends messages to Kafka: a call returns once every one of its messages is in all in-sync replicas."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_errors import MESSAGE_TIMED_OUT, Complaints
from energy_tracker.eventlog.port import LogUnavailable, Message
from energy_tracker.kit.problems import Overloaded, Problem

log = logging.getLogger(__name__)

READINGS_HEADER = "readings"
"""Says how many readings a message packs; a foreign producer does not send it."""

DELIVERY_TIMEOUT_S = 10.0
WAITING_BYTES = 64 * 1_048_576
WAITING_MESSAGES = 200_000

_LINGER_MS = 3
_POLL_S = 0.2
_SPARE_S = 1.0
_MESSAGE_BYTES = 4_000_000
_BESIDE_BYTES = 100
"""About what librdkafka and this module keep with a message, beside its value."""

_RETRY_AFTER = {"Retry-After": "1"}

MakeProducer = Callable[[Mapping[str, Any]], Producer]


class TooManyWaiting(Overloaded):
    """More waits for the brokers than fits in memory."""

    title = "Too many messages are waiting"


class _Call:
    """The messages of one `send`. `report` runs in the polling thread; the rest belongs to the event loop."""

    __slots__ = ("arrived", "count", "done", "error", "expected", "reported", "size")

    def __init__(self, messages: Sequence[Message], arrived: "list[_Call]", done: asyncio.Future[None]) -> None:
        self.count = self.expected = len(messages)
        self.size = sum(len(message.value) + _BESIDE_BYTES for message in messages)
        self.arrived = arrived
        self.done = done
        self.reported = 0
        self.error: BaseException | KafkaError | None = None

    def report(self, error: KafkaError | None, _: object) -> None:
        """Take a delivery report."""
        if error is not None and self.error is None:
            self.error = error
        self.reported += 1
        if self.reported == self.expected:
            self.arrived.append(self)


class KafkaProducer:
    """An idempotent producer that waits for all in-sync replicas. Make it with `open`.

    A thread fetches the delivery reports and hands those of one fetch to the event loop together. A message that no
    broker has confirmed within the delivery time-out makes its call fail; it may have arrived all the same. Then a new
    client takes the next messages, since one that was told that nobody leads a partition may stay with that for ever.
    """

    def __init__(self, options: KafkaOptions, *, delivery_timeout_s: float, make: MakeProducer) -> None:
        self._options = options
        self._make = make
        self._complaints = Complaints(options.bootstrap_servers)
        self._timeout_s = delivery_timeout_s
        self._loop = asyncio.get_running_loop()
        self._arrived: list[_Call] = []
        self._waiting_bytes = 0
        self._waiting_messages = 0
        self._closing = False
        self._broken = False
        self._is_late = False
        self._retired: list[Producer] = []
        self._exchange = threading.Lock()
        self._producer = self._new()
        self._thread = threading.Thread(target=self._run, name="kafka producer", daemon=True)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        options: KafkaOptions,
        *,
        delivery_timeout_s: float = DELIVERY_TIMEOUT_S,
        make: MakeProducer = lambda config: Producer(dict(config)),
    ) -> AsyncIterator["KafkaProducer"]:
        """Give a producer; when the block ends, what is under way is delivered, or has failed, first.

        The broker need not be there yet. Raises `LogMisconfigured`.
        """
        producer = cls(options, delivery_timeout_s=delivery_timeout_s, make=make)
        producer._thread.start()
        try:
            yield producer
        finally:
            producer._closing = True
            await asyncio.to_thread(producer._thread.join)

    async def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Append messages and wait for them; those of one key (or of a topic with one partition) keep their order.

        Raises `LogUnavailable`, `Overloaded` and `MessageTooLarge`; see `EventLog.append` for what has arrived then.
        """
        if not messages:
            return
        if self._closing:
            raise LogUnavailable("The process is about to end and appends nothing more.")
        call = _Call(messages, self._arrived, self._loop.create_future())
        if self._waiting_messages and (
            self._waiting_bytes + call.size > WAITING_BYTES or self._waiting_messages + call.count > WAITING_MESSAGES
        ):
            raise TooManyWaiting("The log cannot keep up; send this again later.", headers=_RETRY_AFTER)
        self._waiting_bytes += call.size
        self._waiting_messages += call.count
        self._produce(call, self._options.topic(topic), messages)
        await call.done
        if call.error is not None:
            raise self._problem(call.error)

    def _produce(self, call: _Call, topic: str, messages: Sequence[Message]) -> None:
        with self._exchange:
            produce, report = self._producer.produce, call.report
            for index, message in enumerate(messages):
                key = None if message.key is None else message.key.encode()
                try:
                    produce(topic, message.value, key, on_delivery=report, headers=_headers(message))
                except (BufferError, KafkaException) as error:
                    call.error = error
                    call.expected = index  # the reports of those before it are waited for
                    if call.reported == index:
                        self._settle([call])
                    return

    def _problem(self, error: BaseException | KafkaError) -> Problem:
        if isinstance(error, BufferError):
            return TooManyWaiting("The log cannot keep up; send this again later.", headers=_RETRY_AFTER)
        return self._complaints.problem(error)

    def _settle(self, calls: Sequence[_Call]) -> None:
        for call in calls:
            if call.size:
                self._waiting_bytes -= call.size
                self._waiting_messages -= call.count
                call.size = 0  # it may come twice, where its last report and the failure to produce more meet
            if not call.done.done():
                call.done.set_result(None)

    def _new(self) -> Producer:
        config = self._options.client_config() | {
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": _LINGER_MS,
            "compression.type": "lz4",
            "message.max.bytes": _MESSAGE_BYTES,
            "message.timeout.ms": int(self._timeout_s * 1_000),
            "queue.buffering.max.messages": 2 * WAITING_MESSAGES,
            "error_cb": self._note,
        }
        self._made_at = time.monotonic()
        with self._complaints.about_settings():
            return self._make(config)

    def _note(self, error: KafkaError) -> None:
        self._broken = self._broken or error.fatal()
        self._complaints.note(error)

    def _run(self) -> None:
        while not self._closing:
            self._producer.poll(_POLL_S)
            self._poll_retired()
            self._hand_over()
            if self._broken:
                self._replace()
            elif self._is_late and time.monotonic() - self._made_at > self._timeout_s:
                self._retire()
        for producer in (self._producer, *self._retired):
            producer.flush(self._timeout_s + _SPARE_S)
            self._give_up(producer)

    def _poll_retired(self) -> None:
        for producer in self._retired:
            producer.poll(0)
        self._retired = [producer for producer in self._retired if len(producer)]

    def _retire(self) -> None:
        """Go on with a new producer; what the old one has not delivered yet stays with it."""
        log.info("Kafka has not confirmed messages in time; a new producer takes the next ones")
        self._is_late = False
        try:
            following = self._new()
        except Problem as problem:  # as while its certificate is changed: the old one is better than none
            log.warning("there is no new producer: %s", problem.detail)
            return
        with self._exchange:
            self._retired.append(self._producer)
            self._producer = following

    def _replace(self) -> None:
        """Go on with a new producer where the old one can send nothing any more."""
        log.error("Kafka's producer has failed for good; a new one takes its place")
        with self._exchange:
            self._broken = self._is_late = False
            old, self._producer = self._producer, self._new()
        self._give_up(old)

    def _give_up(self, producer: Producer) -> None:
        producer.purge()
        producer.flush(_SPARE_S)
        self._hand_over()

    def _hand_over(self) -> None:
        if self._arrived:
            calls = self._arrived[:]
            del self._arrived[: len(calls)]  # in place: `report` appends to this list
            self._is_late |= any(_code(call.error) == MESSAGE_TIMED_OUT for call in calls)
            if any(call.error is None for call in calls):
                self._complaints.forget()
            self._loop.call_soon_threadsafe(self._settle, calls)


def _code(error: object) -> int | None:
    return error.code() if isinstance(error, KafkaError) else None


def _headers(message: Message) -> list[tuple[str, str | bytes | None]]:
    headers: list[tuple[str, str | bytes | None]] = list(message.headers.items())
    if message.readings:
        headers.append((READINGS_HEADER, str(message.readings)))
    return headers
