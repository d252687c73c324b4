"""How Kafka is reached, and the topics that have to be there."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from confluent_kafka import KafkaException

from energy_tracker.contracts import topics
from energy_tracker.eventlog.kafka_admin import KafkaAdmin, TopicPlan
from energy_tracker.eventlog.kafka_errors import LogMisconfigured
from energy_tracker.eventlog.port import LogUnavailable
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR

log = logging.getLogger(__name__)

Security = Literal["plaintext", "tls", "sasl_plaintext", "sasl_tls"]

_PROTOCOLS = {"plaintext": "PLAINTEXT", "tls": "SSL", "sasl_plaintext": "SASL_PLAINTEXT", "sasl_tls": "SASL_SSL"}
_STARTUP_S = 60.0
_RETRY_S = 0.5
_CRITICAL = 2
_MANY_COPIES = 3
_IN_SYNC_OF_MANY = 2
_WIDE_BYTES = 4_194_304
"""The largest message where those of `energy-usage` (at most 1 MiB, by default) are passed on with something beside."""

_AS_ENERGY_USAGE = (topics.ENERGY_USAGE_BY_OWNER, topics.ENERGY_USAGE_STATE)
"""Topics with as many partitions as `energy-usage`: whoever consumes one partition of it has the same of these."""

_COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": str(16 * 1_048_576),
    "segment.ms": str(6 * MS_PER_HOUR),
    "delete.retention.ms": str(MS_PER_DAY),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaOptions:
    """Where Kafka is, who asks, and how topics are made.

    `answer_s` is how long a broker may take to answer a question, such as that for the lag. `topic_prefix` keeps
    installations, and tests, apart on one cluster.
    """

    bootstrap_servers: str
    security: Security = "plaintext"
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    sasl_mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    partitions: int = 6
    replication: int = 1
    log_retention_ms: int = 7 * MS_PER_DAY
    dead_letter_retention_ms: int = 30 * MS_PER_DAY
    client_id: str = "energy-tracker"
    answer_s: float = 5.0
    topic_prefix: str = ""

    def client_config(self) -> dict[str, Any]:
        """Return what every client of librdkafka is made with.

        Of its own log lines only the gravest are let through: it writes one per attempt to connect. What it complains
        of comes through `Complaints`.
        """
        config: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": self.client_id,
            "security.protocol": self.protocol,
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 2_000,
            "socket.keepalive.enable": True,
            "socket.connection.setup.timeout.ms": 5_000,
            "logger": log,
            "log_level": _CRITICAL,
        }
        files = {
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate_file,
            "ssl.key.location": self.key_file,
        }
        config |= {name: path for name, path in files.items() if path is not None}
        if self.security.startswith("sasl"):
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.username or "",
                "sasl.password": self.password or "",
            }
        return config

    @property
    def protocol(self) -> str:
        """What Kafka calls the way it is reached."""
        return _PROTOCOLS[self.security]

    def topic(self, name: str) -> str:
        """Return the broker's name of a topic."""
        return self.topic_prefix + name

    def group(self, name: str) -> str:
        """Return the broker's name of a consumer group or a transactional id."""
        return self.topic_prefix + name


class PartitionsDiffer(LogMisconfigured):
    """Topics that must have as many partitions as each other have not."""

    title = "Topics of the log do not fit together"


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key among so many, as Java's producer and librdkafka's `murmur2_random` choose it."""
    return (_murmur2(key) & 0x7FFF_FFFF) % partitions


def _murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 (by Austin Appleby) of `data`, with the seed that Kafka uses."""
    mask, m = 0xFFFF_FFFF, 0x5BD1_E995
    h = 0x9747_B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def topic_plans(options: KafkaOptions) -> Sequence[TopicPlan]:
    """Return the product's topics, by their names on the broker; `energy-usage` comes first."""
    many, kept = options.partitions, {"retention.ms": str(options.log_retention_ms)}
    wide = {"max.message.bytes": str(_WIDE_BYTES)}
    dead = wide | {"retention.ms": str(options.dead_letter_retention_ms)}
    planned: tuple[tuple[str, int, dict[str, str]], ...] = (
        (topics.ENERGY_USAGE, many, kept),
        (topics.ENERGY_USAGE_BY_OWNER, many, kept | wide),
        (topics.ENERGY_USAGE_STATE, many, _COMPACTED | wide),
        (topics.dead_letter_topic(topics.ENERGY_USAGE), 1, dead),
        (topics.ENERGY_ALERTS, many, kept),
        (topics.ENERGY_ALERT_EPISODES, many, kept),
        (topics.dead_letter_topic(topics.ENERGY_ALERT_EPISODES), 1, dead),
        (topics.ENERGY_INTAKE, 1, _COMPACTED),
    )
    return [topic_plan(options, name, partitions, config) for name, partitions, config in planned]


def topic_plan(options: KafkaOptions, name: str, partitions: int, config: Mapping[str, str]) -> TopicPlan:
    """Return how one topic is made: with three copies or more, one broker may be down and nothing is lost or stops."""
    in_sync = _IN_SYNC_OF_MANY if options.replication >= _MANY_COPIES else 1
    safe = {"min.insync.replicas": str(in_sync), "message.timestamp.type": "LogAppendTime"}
    return TopicPlan(options.topic(name), partitions, options.replication, {**safe, **config})


async def ensure_topics(options: KafkaOptions, *, timeout_s: float = _STARTUP_S) -> None:
    """Make the product's topics where they are missing; any number of processes may do so at once.

    One that exists keeps its partitions, and gets the retention of the options. Waits up to `timeout_s` for a broker.
    Raises `LogUnavailable`, with what to check, and `PartitionsDiffer`.
    """
    first, *others = topic_plans(options)
    followers = {options.topic(name) for name in _AS_ENERGY_USAGE}
    leading = (await create_topics(options, [first], timeout_s=timeout_s))[first.name]
    plans = [replace(plan, partitions=leading) if plan.name in followers else plan for plan in others]
    counts = await create_topics(options, plans, timeout_s=timeout_s)
    for name in followers:
        if counts[name] != leading:
            message = (
                f"The topic {name} has {counts[name]} partitions and {first.name} has {leading}. They must have "
                "equally many, and for ever: where a home's readings lie follows from the number."
            )
            raise PartitionsDiffer(message)


async def create_topics(
    options: KafkaOptions, plans: Collection[TopicPlan], *, timeout_s: float = _STARTUP_S
) -> Mapping[str, int]:
    """Make these topics where they are missing; return how many partitions each has. See `ensure_topics`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    async with KafkaAdmin(options.client_config(), answer_s=options.answer_s) as admin:
        while True:
            try:
                await admin.create(plans)
                return await admin.partitions([plan.name for plan in plans])
            except KafkaException as error:
                problem = admin.problem(error)
                if loop.time() > deadline or not isinstance(problem, LogUnavailable):
                    raise problem from error
            await asyncio.sleep(_RETRY_S)


async def partitions(options: KafkaOptions, name: str) -> int:
    """Return how many partitions a topic has. Raises `LogUnavailable`, also where it does not exist."""
    async with KafkaAdmin(options.client_config(), answer_s=options.answer_s) as admin:
        try:
            return (await admin.partitions([options.topic(name)]))[options.topic(name)]
        except KafkaException as error:
            raise admin.problem(error) from error
