"""What is asked of Kafka's brokers beside records: topics, and where logs and groups stand."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are exported, but not marked so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from energy_tracker.eventlog.kafka_errors import LOST, Complaints
from energy_tracker.eventlog.kafka_positions import GroupPositions
from energy_tracker.kit.problems import Problem

_RULED = ("retention.ms", "cleanup.policy")
"""Settings of a topic that follow the plan for ever; the others belong to whoever runs the broker."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How a topic is made, by its name on the broker."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class KafkaAdmin:
    """Asks brokers, in no consumer group. Every call raises `KafkaException`; `problem` tells what to raise then."""

    def __init__(self, config: Mapping[str, Any], *, answer_s: float) -> None:
        """Begin with what `KafkaOptions.client_config` returns; a broker has `answer_s` to answer a call.

        Raises `LogMisconfigured`.
        """
        self._answer_s = answer_s
        self._complaints = Complaints(config["bootstrap.servers"])
        with self._complaints.about_settings():
            self._settings: dict[str, Any] = {**config, "error_cb": self._complaints.note}
            self._client = AdminClient(self._settings)
        self._positions = GroupPositions(self._settings, answer_s=answer_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._positions.close()
        await asyncio.to_thread(self.__dict__.pop, "_client")  # letting go of it joins its threads

    def problem(self, error: KafkaException) -> Problem:
        """Return the problem to raise for an error of a call."""
        self._client.poll(0)  # fetches what the connection complains of
        if error.args[0].code() in LOST:
            # The client keeps whom it believes to lead a partition, and goes on asking those: a new one asks who leads.
            former, self._client = [self._client], AdminClient(self._settings)
            asyncio.get_running_loop().run_in_executor(None, former.clear)  # letting go of it joins its threads
        return self._complaints.problem(error)

    async def create(self, plans: Collection[TopicPlan]) -> None:
        """Make topics; give those that exist the retention of their plan, and leave them alone otherwise."""
        if not plans:
            return
        new = [NewTopic(plan.name, plan.partitions, plan.replication, config=dict(plan.config)) for plan in plans]
        made = self._client.create_topics(new, operation_timeout=self._answer_s, request_timeout=self._answer_s)
        existing = [plan for plan in plans if not await _was_made(made[plan.name])]
        if existing:
            await self._rule(existing)

    async def partitions(self, names: Collection[str]) -> Mapping[str, int]:
        """Return how many partitions topics have."""
        if not names:
            return {}
        asked = self._client.describe_topics(TopicCollection(list(names)), request_timeout=self._answer_s)
        return {name: len((await asyncio.wrap_future(future)).partitions) for name, future in asked.items()}

    async def settings(self, topic: str) -> Mapping[str, str]:
        """Return how a topic is set up."""
        resource = ConfigResource(ResourceType.TOPIC, topic)
        asked = self._client.describe_configs([resource], request_timeout=self._answer_s)
        return {name: str(entry.value) for name, entry in (await asyncio.wrap_future(asked[resource])).items()}

    async def reach(self) -> None:
        """Return once a broker has answered."""
        await asyncio.wrap_future(self._client.describe_cluster(request_timeout=self._answer_s))
        self._complaints.forget()

    async def committed(self, group: str, topic: str, partitions: Iterable[int]) -> Mapping[int, int]:
        """Return the next offset of a group by partition, where it has committed one."""
        return await self._positions.committed(group, [TopicPartition(topic, partition) for partition in partitions])

    async def begins(self, topic: str, partitions: Iterable[int]) -> Mapping[int, int]:
        """Return the first offset that partitions still have."""
        return await self._offsets(topic, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]  # the package leaves it open

    async def ends(self, topic: str, partitions: Iterable[int]) -> Mapping[int, int]:
        """Return the offset after the last one that is readable, by partition."""
        return await self._offsets(topic, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]  # the package leaves it open

    async def _offsets(self, topic: str, partitions: Iterable[int], which: OffsetSpec) -> Mapping[int, int]:
        wanted = {TopicPartition(topic, partition): which for partition in partitions}
        if not wanted:
            return {}
        asked = self._client.list_offsets(
            wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._answer_s
        )
        return {place.partition: (await asyncio.wrap_future(future)).offset for place, future in asked.items()}

    async def _rule(self, plans: Collection[TopicPlan]) -> None:
        changed: list[ConfigResource] = []
        for plan in plans:
            current = await self.settings(plan.name)
            entries = [
                ConfigEntry(name, plan.config[name], incremental_operation=AlterConfigOpType.SET)
                for name in _RULED
                if name in plan.config and current[name] != plan.config[name]
            ]
            if entries:
                changed.append(ConfigResource(ResourceType.TOPIC, plan.name, incremental_configs=entries))
        if changed:
            altered = self._client.incremental_alter_configs(changed, request_timeout=self._answer_s)
            await asyncio.gather(*(asyncio.wrap_future(future) for future in altered.values()))


async def _was_made(future: "Future[None]") -> bool:
    try:
        await asyncio.wrap_future(future)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return False
    return True
