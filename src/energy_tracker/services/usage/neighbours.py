"""Questions about a home that another usage-service looks after: who does answers them, whoever was asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from energy_tracker.kit.problems import TemporarilyUnavailable


class LookedAfterElsewhere(TemporarilyUnavailable):
    """What is asked about a home is known to the usage-service that looks after it, and to nobody else."""

    def __init__(self, user_id: int) -> None:
        super().__init__("Another usage-service looks after this home; ask again.", retry_after_s=1)
        self.user_id = user_id


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it came: `target` is its path and its query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered to it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Neighbours(Protocol):
    """The other usage-services."""

    async def ask(self, user_id: int, question: Question) -> Answer | None:
        """Let whoever looks after a home answer; None where that is not known, or does not answer."""
