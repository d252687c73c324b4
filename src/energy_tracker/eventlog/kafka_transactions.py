"""Appending messages and committing offsets in one Kafka transaction: all of it, or nothing of it."""

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from energy_tracker.eventlog.kafka_errors import TIMED_OUT
from energy_tracker.eventlog.port import LogUnavailable

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0
TRANSACTION_TIMEOUT_MS: Final = 15_000
"""After this the broker gives up a transaction whose producer has gone, and others may go on."""
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

    It has an identity of its own, so that starting a second process never ends the transactions of the first; who may
    commit is decided by the consumer group, whose generation goes with the offsets.
    """

    def __init__(self, config: Mapping[str, Any], *, group: str) -> None:
        self._config = {
            **config,
            "transactional.id": f"{group}-{uuid4()}",
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "delivery.timeout.ms": TRANSACTION_TIMEOUT_MS,
            "partitioner": "murmur2_random",
            "linger.ms": 0,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
        }
        self._producer: Producer | None = None

    def commit(self, messages: Iterable[Appended], offsets: Sequence[TopicPartition], group_metadata: Any) -> None:
        """Append the messages and commit the offsets, in one transaction.

        Raises `LogUnavailable`. Whether the transaction happened is not known then: read what is committed.
        """
        try:
            producer = self._ready()
            producer.begin_transaction()
            for message in messages:
                _produce(producer, message)
            _returns(lambda: producer.send_offsets_to_transaction(list(offsets), group_metadata, TIMEOUT_S))
            _returns(lambda: producer.commit_transaction(TIMEOUT_S))
        except KafkaException as error:
            self._give_up()
            raise LogUnavailable(f"Kafka did not take the transaction: {error.args[0].str()}") from error
        except BufferError as error:
            self._give_up()
            raise LogUnavailable("Kafka takes messages more slowly than they are made.") from error

    def close(self) -> None:
        """Let go of the producer."""
        self._producer = None

    def _ready(self) -> Producer:
        if self._producer is None:
            producer = Producer(self._config)
            _returns(lambda: producer.init_transactions(TIMEOUT_S))
            self._producer = producer
        return self._producer

    def _give_up(self) -> None:
        """Abort what is open, and go on with a new producer: one that timed out once may hang in the next transaction.

        The new one aborts what this one could not.
        """
        producer = self._producer
        if producer is None:
            return
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
