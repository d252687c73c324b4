"""Wakes the consumers of a topic when it has grown; no polling."""

import asyncio
from collections import defaultdict


class Arrivals:
    """Counts announcements per topic and lets tasks of the same event loop wait for the next one."""

    def __init__(self) -> None:
        self._announced: defaultdict[str, int] = defaultdict(int)
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def announced(self, topic: str) -> int:
        """Return how often the topic has been announced: take it BEFORE looking for records."""
        return self._announced[topic]

    def announce(self, topic: str) -> None:
        """Wake everybody who waits for the topic."""
        self._announced[topic] += 1
        waiting = self._waiting.pop(topic, ())
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def beyond(self, topic: str, announced: int) -> None:
        """Return as soon as the topic has been announced more than `announced` times."""
        if self._announced[topic] > announced:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting[topic].add(future)
        try:
            await future
        finally:
            self._waiting[topic].discard(future)
