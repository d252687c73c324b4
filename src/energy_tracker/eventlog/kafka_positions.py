"""Where consumer groups stand, as their coordinators know it.

A consumer that never joins is asked. The admin client has the same question, and with librdkafka 2.16 it ends the whole
process where the coordinator is not ready, as on a broker that has just started (librdkafka #5040).
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

_OF_ITS_OWN: Mapping[str, Any] = {"enable.auto.commit": False, "enable.auto.offset.store": False}


class GroupPositions:
    """Asks for the committed offsets of groups. What it keeps open is made by the first question.

    The client's call waits, at most for the time that a broker has to answer: it does so in one thread of its own, so
    that questions about a broker that hangs do not take up those of others. A question that is cancelled before its
    turn is not asked.
    """

    def __init__(self, config: Mapping[str, Any], *, answer_s: float) -> None:
        self._config = config
        self._answer_s = answer_s
        self._consumers: dict[str, Consumer] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka positions")

    async def committed(self, group: str, places: Sequence[TopicPartition]) -> Mapping[int, int]:
        """Return the next offset of a group by partition of one topic, where it has one. Raises `KafkaException`."""
        if not places:
            return {}
        return await asyncio.wrap_future(self._thread.submit(self._committed, group, places))

    def _committed(self, group: str, places: Sequence[TopicPartition]) -> Mapping[int, int]:
        consumer = self._consumers.get(group)
        if consumer is None:
            consumer = self._consumers[group] = Consumer({**self._config, **_OF_ITS_OWN, "group.id": group})
        consumer.poll(0)  # fetches what the connection complains of
        found = consumer.committed(list(places), self._answer_s)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return {place.partition: place.offset for place in found if place.offset >= 0}

    async def close(self) -> None:
        """Let go of the connections."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._consumers.clear()  # no member of a group: there is nothing to leave, which might wait for a broker
