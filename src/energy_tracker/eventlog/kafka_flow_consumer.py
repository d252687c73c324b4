"""The consumer of a flow: made, and joined to its group."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from energy_tracker.eventlog.kafka_flow_orders import FlowOptions
from energy_tracker.eventlog.kafka_records import CONSUMER_CONFIG

_FLOW_CONFIG: Final[Mapping[str, object]] = {
    "partition.assignment.strategy": "range",
    "max.poll.interval.ms": 900_000,
    "fetch.max.bytes": 1_000_000,  # as compressed, in memory several times that; the client takes no less
    "fetch.wait.max.ms": 250,
    "queued.min.messages": 4_000,  # of a partition; a small message takes several times its bytes while it waits
}

OnPartitions = Callable[[Consumer, Sequence[TopicPartition]], None]


def join_group(
    options: FlowOptions, *, on_assign: OnPartitions, on_revoke: OnPartitions, make: type[Consumer] = Consumer
) -> Consumer:
    """Return a consumer that joins the group with the first poll."""
    consumer = make(
        {
            **options.kafka.client_config(),
            **CONSUMER_CONFIG,
            **_FLOW_CONFIG,
            "group.id": options.kafka.group(options.group),
            "session.timeout.ms": options.session_timeout_ms,
        }
    )
    consumer.subscribe(
        [options.kafka.topic(topic) for topic in options.topics],
        on_assign=on_assign,
        on_revoke=on_revoke,
        on_lost=on_revoke,
    )
    return consumer
