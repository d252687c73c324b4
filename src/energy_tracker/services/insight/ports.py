"""What insight-service needs from others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.contracts.forecast import ForecastAnswer
from energy_tracker.contracts.usage import Resolution, SeriesAnswer
from energy_tracker.services.insight.model.advice import ProposedTip, Purpose
from energy_tracker.services.insight.model.facts import FactTable


class Usage(Protocol):
    """What was measured of a home, and what follows from it."""

    async def series(self, user_id: int, *, start_ms: int, end_ms: int, resolution: Resolution) -> SeriesAnswer:
        """Return the buckets of `[start_ms, end_ms)`, ms since 1970.

        Raises a `Problem` of status 404 for an unknown user and `TemporarilyUnavailable` where there is no answer.
        """

    async def forecast(self, user_id: int) -> ForecastAnswer:
        """Return what comes next for a home. Raises as `series` does."""


class Directory(Protocol):
    """Who the users are and which devices they have: a local copy, looked up at once."""

    @property
    def stale(self) -> bool:
        """Whether the copy is not known to be up to date."""

    def user(self, user_id: int) -> DirectoryUser | None:
        """Return a user, or None where there is none."""

    def devices_of(self, user_id: int) -> Sequence[DirectoryDevice]:
        """Return the user's devices, retired ones too."""

    async def refresh(self) -> object:
        """Bring the copy up to date; where that is not possible it turns stale."""


class AdviserUnavailable(Exception):
    """The adviser gave no answer now; the message says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an adviser is asked: `objection` says why its answer before was rejected."""

    purpose: Purpose
    table: FactTable
    objection: str | None = None


class Adviser(Protocol):
    """Chooses what to say about findings. What it proposes is checked before a user sees it, whoever it is."""

    @property
    def name(self) -> str:
        """Who this is, as the answer shows it: `rules` or `ollama:<model>`."""

    async def propose(self, question: Question) -> tuple[ProposedTip, ...]:
        """Return tips that cite the facts. Raises `AdviserUnavailable` and `AnswerRejected`."""
