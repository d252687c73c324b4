"""Who consumes as a member of a group, as the brokers know it."""

import asyncio
from typing import Final

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from energy_tracker.eventlog.kafka_client import KafkaOptions
from energy_tracker.eventlog.port import LogUnavailable

_LOOK_AGAIN_S: Final = 1.0


async def members_of(options: KafkaOptions, group: str, *, patience_s: float = 0.0) -> int:
    """Return how many consumers a group has, after waiting up to `patience_s` for them to go.

    A member that was killed counts until its session has expired. Raises `LogUnavailable`.
    """
    client = AdminClient(options.client_config())
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_s
    while True:
        try:
            asked = client.describe_consumer_groups([options.group(group)], request_timeout=options.answer_s)
            found = await asyncio.wrap_future(asked[options.group(group)])
        except KafkaException as error:
            raise LogUnavailable(f"Kafka could not be asked about {group}: {error.args[0].str()}") from error
        members = 0 if found.state is ConsumerGroupState.DEAD else len(found.members)
        if not members or loop.time() > deadline:
            return members
        await asyncio.sleep(_LOOK_AGAIN_S)
