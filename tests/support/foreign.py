"""Clients of Kafka that know nothing of this project: a producer in the form of Spring's, and a plain consumer."""

import asyncio
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from tests.support.processes import Stack

JAVA_TYPE = [("__TypeId__", b"com.example.kafka.event.EnergyUsageEvent")]
_ANSWER_S = 10.0
_READ_S = 30.0


@dataclass(frozen=True)
class Found:
    """A record as any consumer sees it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    @property
    def body(self) -> Any:
        return json.loads(self.value or b"null")


class JavaProducer:
    """Sends without a key to one partition after the other, as the original's producers do."""

    def __init__(self, stack: Stack, topic: str = "energy-usage") -> None:
        self._topic = stack.kafka.topic(topic)
        self._partitions = itertools.cycle(range(stack.kafka.partitions))
        # Not idempotent, and patient: what it is not sure of it sends again, so that some arrives twice.
        self._producer = Producer(
            {
                **stack.kafka.client_config(),
                "linger.ms": 5,
                "acks": "all",
                "message.timeout.ms": 2_000,
                "retry.backoff.ms": 50,
            }
        )

    async def send(self, values: Iterable[bytes | None], *, headers: Any = JAVA_TYPE) -> list[Any]:
        """Send values; return for each None, or the error for which it may not have arrived."""
        return await asyncio.to_thread(self._send, list(values), headers)

    async def send_until_taken(self, values: Sequence[bytes]) -> None:
        """Send values again and again until the broker has said of each that it has it."""
        while values:
            errors = await self.send(values)
            values = [value for value, error in zip(values, errors, strict=True) if error is not None]

    def _send(self, values: list[bytes | None], headers: Any) -> list[Any]:
        outcome: list[Any] = [True] * len(values)
        for number, value in enumerate(values):

            def report(error: KafkaError | None, _: Message, number: int = number) -> None:
                outcome[number] = error

            self._producer.produce(
                self._topic, value, partition=next(self._partitions), headers=headers, on_delivery=report
            )
        self._producer.flush(_ANSWER_S)
        return outcome


def java_event(device_id: int, kwh: float, time_ms: int, *, old: bool = True) -> bytes:
    """Return the original's message; an `old` one has the time in decimal seconds with nine places."""
    seconds, ms = divmod(time_ms, 1000)
    if old:
        return f'{{"deviceId":{device_id},"energyConsumed":{kwh!r},"timestamp":{seconds}.{ms:03d}000000}}'.encode()
    from energy_tracker.kit.instants import to_iso

    return json.dumps({"deviceId": device_id, "energyConsumed": kwh, "timestamp": to_iso(time_ms)}).encode()


async def records(stack: Stack, topic: str) -> list[Found]:
    """Return all that a topic holds now, as a consumer sees it who reads only what is committed."""
    return await asyncio.to_thread(_records, stack, topic)


def _records(stack: Stack, topic: str) -> list[Found]:
    consumer = Consumer(
        {
            **stack.kafka.client_config(),
            "group.id": "somebody-else",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    name = stack.kafka.topic(topic)
    try:
        partitions = consumer.list_topics(name, _ANSWER_S).topics[name].partitions
        consumer.assign([TopicPartition(name, partition, 0) for partition in partitions])
        left, found = set(partitions), []
        while left:
            message = consumer.poll(_READ_S)
            assert message is not None, f"{topic} cannot be read to its end"
            error = message.error()
            if error is None:
                headers = dict(message.headers() or ())
                found.append(Found(message.partition(), message.offset(), message.key(), message.value(), headers))
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                left.discard(message.partition())
        return found
    finally:
        consumer.close()
