"""Whether anything comes to a consumer: librdkafka may fetch nothing any more from a broker that hung and went on."""

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from energy_tracker.eventlog.kafka_errors import LOST
from energy_tracker.eventlog.kafka_progress import BrokerPlace

SILENT_S: Final = 10.0
"""After so long another client takes the place of one that fetches nothing, though the broker tells of more."""
SILENT_AMONG_OTHERS_S: Final = 180.0
_ANSWER_S: Final = 1.0


class Unheard:
    """Tells since when which partitions bring nothing though something waits, by what somebody else asks."""

    def __init__(self) -> None:
        self._since: dict[BrokerPlace, tuple[int, float]] = {}

    def is_deaf(self, not_fetched: Mapping[BrokerPlace, int], *, others_came: bool) -> bool:
        """Take note of what waits (`Progress.not_fetched`) after a fetch; return whether that was so for too long.

        Where records of other partitions come, those of one may be queued behind them, and it is given more time.
        """
        now, before = time.monotonic(), self._since
        self._since = {
            place: before[place] if place in before and before[place][0] == following else (following, now)
            for place, following in not_fetched.items()
        }
        patience_s = SILENT_AMONG_OTHERS_S if others_came else SILENT_S
        return any(now - since > patience_s for _, since in self._since.values())

    def forget(self) -> None:
        """Begin anew, as after a pause."""
        self._since.clear()


class Hearing:
    """Tells a consumer to which nothing comes of a partition, though something waits, from one that is at its end."""

    def __init__(self, broker_topic: str) -> None:
        self._broker_topic = broker_topic
        self._looked_at = time.monotonic()
        self._waited: Mapping[int, int] = {}

    def is_deaf(self, consumer: Consumer, committed: Mapping[int, int]) -> bool:
        """Look, now and then, whether something waits behind what is committed, and did at the look before, too.

        Called when nothing came just now and nothing is under way. Blocks for a second where no broker answers.
        """
        if time.monotonic() - self._looked_at < SILENT_S:
            return False
        try:
            waits = {partition: at for partition, at in committed.items() if self._waits(consumer, partition, at)}
        except KafkaException:
            waits = {}
        self._looked_at = time.monotonic()
        waited, self._waited = self._waited, waits
        return any(waited.get(partition) == at for partition, at in waits.items())

    def _waits(self, consumer: Consumer, partition: int, at: int) -> bool:
        """Tell whether something lies there; it may, where the client does not know any more whom to ask."""
        try:
            _, end = consumer.get_watermark_offsets(TopicPartition(self._broker_topic, partition), _ANSWER_S)
        except KafkaException as error:
            if error.args[0].code() not in LOST:
                raise
            return True
        return end > at
