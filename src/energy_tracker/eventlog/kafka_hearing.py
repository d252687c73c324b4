"""Whether anything comes to a consumer: librdkafka may fetch nothing any more from a broker that hung and went on."""

import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from energy_tracker.eventlog.kafka_errors import LOST

SILENT_S: Final = 10.0
_ANSWER_S: Final = 1.0


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
