"""Kafka for tests: topics of their own on the broker that ENERGY_TEST_KAFKA names."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from confluent_kafka.admin import AdminClient

from energy_tracker.eventlog.kafka import KafkaEventLog
from energy_tracker.eventlog.kafka_client import KafkaOptions, create_topics, topic_plan
from energy_tracker.kit.clock import Clock, SystemClock


def kafka_options(**changes: Any) -> KafkaOptions:
    """Return options whose topics and groups nobody else has."""
    given: dict[str, Any] = {
        "bootstrap_servers": os.environ["ENERGY_TEST_KAFKA"],
        "topic_prefix": f"test-{secrets.token_hex(6)}-",
    }
    return KafkaOptions(**(given | changes))


@asynccontextmanager
async def kafka_topics(options: KafkaOptions, partitions: Mapping[str, int]) -> AsyncIterator[KafkaOptions]:
    """Make topics with so many partitions each; in the end delete all topics of the options."""
    await create_topics(options, [topic_plan(options, name, count, {}) for name, count in partitions.items()])
    try:
        yield options
    finally:
        await asyncio.to_thread(delete_topics, options)


def delete_topics(options: KafkaOptions) -> None:
    """Delete every topic that begins with the options' prefix."""
    admin = AdminClient(options.client_config())
    names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(options.topic_prefix)]
    for future in admin.delete_topics(names).values() if names else ():
        future.result(10)


def members_of(options: KafkaOptions, group: str) -> dict[str, int]:
    """Return how many partitions each member of a group has."""
    admin = AdminClient(options.client_config())
    name = options.group(group)
    described = admin.describe_consumer_groups([name], request_timeout=10)[name].result(10)
    return {
        member.member_id: len({place.partition for place in member.assignment.topic_partitions})
        for member in described.members
    }


@asynccontextmanager
async def kafka_log(
    partitions: Mapping[str, int], *, options: KafkaOptions | None = None, clock: Clock | None = None
) -> AsyncIterator[KafkaEventLog]:
    """Give a log with topics of its own."""
    async with (
        kafka_topics(options or kafka_options(), partitions) as made,
        KafkaEventLog.open(options=made, clock=clock or SystemClock()) as log,
    ):
        yield log
