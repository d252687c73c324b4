"""Appending messages and committing offsets in one Kafka transaction: all of it, or nothing of it."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.kafka_errors import GONE, TIMED_OUT
from energy_tracker.eventlog.kafka_hanging import end_hanging_transactions
from energy_tracker.eventlog.port import LogUnavailable

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0
TRANSACTION_TIMEOUT_MS: Final = 15_000
"""After this the broker gives up a transaction whose producer has gone, and others may go on."""
_SUSPICIOUS_S: Final = 2.0
"""A commit that took so long may have outlived its broker, and some partitions may not have been told of it."""
_LOOK_AGAIN_S: Final = 10.0
_LOOKS: Final = 6
"""So often hanging transactions are looked for in vain, as where that is not allowed, until the next suspicion."""
_HANGS_S: Final = 20.0
"""A call that should have returned after `TIMEOUT_S` never will."""


class Appended(NamedTuple):
    """A message of a transaction; without a partition its key decides. A value of None deletes the key."""

    topic: str
    key: str | None
    value: bytes | None
    headers: Mapping[str, str]
    partition: int | None = None


class Transactions:
    """A producer that commits in transactions. Synchronous: it belongs to one thread.

    Each of its clients has a transactional id of its own: starting a second process never ends the
    transactions of the first, and what became of the last transaction of a client that was given up stays to be asked.
    Who may commit is decided by the consumer group, whose generation goes with the offsets.
    """

    def __init__(self, options: KafkaOptions, *, group: str, topics: Sequence[str]) -> None:
        """Begin with a group, and with all topics, named as on the broker, that transactions append to."""
        self._options = options
        self._group = group
        self._topics = topics
        self._name = ""
        self.may_hang = False
        self._look_again_at = 0.0
        self._looks = 0
        self._config = {
            **options.client_config(),
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "delivery.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "partitioner": "murmur2_random",
            "linger.ms": 0,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
            "error_cb": self._on_error,
        }
        self._producer: Producer | None = None

    def commit(self, messages: Iterable[Appended], offsets: Sequence[TopicPartition], group_metadata: Any) -> None:
        """Append the messages and commit the offsets, in one transaction.

        Raises `LogUnavailable`. Whether the transaction happened is not known then: read what is committed, after
        `end_hanging`.
        """
        began = time.monotonic()
        try:
            producer = self._ready()
            producer.poll(0)  # what became of its brokers since the last one
            producer.begin_transaction()
            for message in messages:
                _produce(producer, message)
            _returns(lambda: producer.send_offsets_to_transaction(list(offsets), group_metadata, TIMEOUT_S))
            _returns(lambda: producer.commit_transaction(TIMEOUT_S))
            self.may_hang |= time.monotonic() - began > _SUSPICIOUS_S
            self.end_hanging()
        except KafkaException as error:
            self._give_up()
            raise LogUnavailable(f"Kafka did not take the transaction: {error.args[0].str()}") from error
        except BufferError as error:
            self._give_up()
            raise LogUnavailable("Kafka takes messages more slowly than they are made.") from error

    def end_hanging(self) -> None:
        """Where it `may_hang`, have those marks written that a broker passed over: readers wait for them for ever."""
        now = time.monotonic()
        if self.may_hang and now >= self._look_again_at:
            prefix = f"{self._group}-"
            is_done = end_hanging_transactions(self._options, self._topics, prefix=prefix, own=[self._name])
            self._looks = 0 if is_done else self._looks + 1
            self.may_hang, self._look_again_at = 0 < self._looks < _LOOKS, now + _LOOK_AGAIN_S

    def _on_error(self, error: KafkaError) -> None:
        """Take note of a broker that went away: its last mark may be missing, though the commit succeeded."""
        self.may_hang |= error.code() in GONE

    def close(self) -> None:
        """Let go of the producer."""
        self._producer = None

    def _ready(self) -> Producer:
        if self._producer is None:
            self._name = f"{self._group}-{uuid4()}"
            producer = Producer({**self._config, "transactional.id": self._name})
            _returns(lambda: producer.init_transactions(TIMEOUT_S))
            self._producer = producer
        return self._producer

    def _give_up(self) -> None:
        """Abort what is open, and go on with a new producer: one that timed out once may hang in the next transaction.

        What this one cannot abort, the broker does after `TRANSACTION_TIMEOUT_MS`.
        """
        producer = self._producer
        if producer is None:
            return
        self.may_hang = True
        try:
            _returns(lambda: producer.abort_transaction(TIMEOUT_S))
        except KafkaException as error:
            log.warning("a transaction was left to the broker to end: %s", error.args[0].str())
        self._producer = None


def _returns(call: Callable[[], object]) -> None:
    """Return, or fail, as a call does; where it does neither, leave it behind and raise `KafkaException`.

    The client may wait for ever, whatever its time-out, where a coordinator went away and has come back.
    """
    outcome: queue.SimpleQueue[KafkaException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            call()
        except KafkaException as error:
            outcome.put(error)
        else:
            outcome.put(None)

    threading.Thread(target=run, name="offsets of a transaction", daemon=True).start()
    try:
        error = outcome.get(timeout=_HANGS_S)
    except queue.Empty:
        raise KafkaException(KafkaError(TIMED_OUT, "The client hangs; it is left behind.")) from None
    if error is not None:
        raise error


def _produce(producer: Producer, message: Appended) -> None:
    partition = -1 if message.partition is None else message.partition  # -1: the key decides
    headers: Any = list(message.headers.items()) or None
    while True:
        try:
            producer.produce(message.topic, message.value, message.key, partition=partition, headers=headers)
        except BufferError:
            if not producer.poll(1.0):
                raise
        else:
            return
