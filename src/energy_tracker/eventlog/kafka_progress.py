"""How far a consumer has come in its partitions, and how far they go."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import Message

from energy_tracker.eventlog.kafka_errors import END_OF_PARTITION

log = logging.getLogger(__name__)

BrokerPlace = tuple[str, int]
"""A topic, as the broker names it, and a partition."""


def place_of(message: Message) -> BrokerPlace:
    """Return where a message, or the end of a partition, lies."""
    return message.topic() or "", message.partition() or 0


class Progress:
    """Knows the lag without asking the broker while nothing waits; positions are (place, last offset processed).

    The end of a partition that a consumer reaches is told by its own event: behind the last record there may be marks
    of transactions, which count as offsets and are nothing to process. What the client has in memory is not asked
    either: that call keeps the interpreter's lock, and waits for a thread that may need it to write a line of the log.
    """

    def __init__(self, ends: Mapping[BrokerPlace, int] | None = None) -> None:
        self._high = dict(ends or {})
        self._next: dict[BrokerPlace, int] = {}
        self._ended: dict[BrokerPlace, int] = {}

    def usable(self, polled: Iterable[Message], *, group: str) -> list[Message]:
        """Return what of a poll are records, and take note of them and of the ends of partitions among them."""
        found: list[Message] = []
        for message in polled:
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == END_OF_PARTITION:
                self.ended(message)
            else:
                log.warning("%s: %s", group, error.str())
        self.fetched(found)
        return found

    def fetched(self, messages: Iterable[Message]) -> None:
        """Take note of records."""
        for message in messages:
            self._next[place_of(message)] = (message.offset() or 0) + 1

    def ended(self, message: Message) -> None:
        """Take note of the end of a partition, at which the consumer has arrived."""
        self._ended[place_of(message)] = message.offset() or 0

    def lag(self, positions: Sequence[tuple[BrokerPlace, int]]) -> int:
        """Return how many records wait behind the positions, as far as is known."""
        total = 0
        for place, position in positions:
            following = max(self._next.get(place, 0), position + 1)
            if following > position + 1 or self._ended.get(place, -1) < following:
                total += max(self._high.get(place, 0), following) - position - 1
        return total

    def not_fetched(self, positions: Sequence[tuple[BrokerPlace, int]]) -> dict[BrokerPlace, int]:
        """Return the partitions in which something waits that was not fetched, each with the offset that comes next."""
        waiting: dict[BrokerPlace, int] = {}
        for place, position in positions:
            following = max(self._next.get(place, 0), position + 1)
            if self._ended.get(place, -1) < following < self._high.get(place, 0):
                waiting[place] = following
        return waiting

    def learn(self, ends: Mapping[BrokerPlace, int]) -> None:
        """Take note of where partitions end."""
        self._high = {**self._high, **ends}
