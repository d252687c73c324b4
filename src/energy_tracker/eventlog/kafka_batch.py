"""What a consumer's thread and the event loop hand to each other: batches, and commits that are ordered."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from energy_tracker.eventlog.port import Record


class Commits(Protocol):
    """Whose batches are committed."""

    async def commit(self, generation: int, next_offsets: Mapping[int, int]) -> None:
        """Commit offsets, unless the partitions went elsewhere meanwhile. Raises `LogUnavailable`."""


@dataclass(frozen=True, slots=True)
class KafkaBatch:
    """Records of one assignment, and where their partitions go on behind them."""

    consumer: Commits
    generation: int
    records: Sequence[Record]
    next_offsets: Mapping[int, int]

    async def commit(self) -> None:
        """Commit the partitions that this consumer still has; see `Batch.commit`."""
        await self.consumer.commit(self.generation, self.next_offsets)


class CommitOrder(NamedTuple):
    """A commit that the event loop wants of the thread."""

    generation: int
    next_offsets: Mapping[int, int]
    done: asyncio.Future[None]

    def settle(self, error: Exception | None) -> None:
        """Answer it, in the event loop."""
        if not self.done.done():
            self.done.set_exception(error) if error is not None else self.done.set_result(None)
