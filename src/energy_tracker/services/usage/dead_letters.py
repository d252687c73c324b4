"""Dead letters of `energy-usage`: listing them, and sending them through the log again once their cause is gone."""

from collections.abc import Collection
from dataclasses import dataclass

from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.contracts.usage import DeadLetterBody, DeadLettersAnswer, ReplayAnswer
from energy_tracker.eventlog.dead_letter import DeadLetter, list_dead_letters, replay_dead_letters
from energy_tracker.eventlog.port import EventLog
from energy_tracker.kit.instants import to_iso
from energy_tracker.kit.principal import Principal


@dataclass(frozen=True, slots=True)
class DeadLetterService:
    """What a person does about readings that could not be kept."""

    eventlog: EventLog

    async def page(self, *, principal: Principal, after: int, limit: int) -> DeadLettersAnswer:
        """Return dead letters above an offset, oldest first. Raises `TemporarilyUnavailable`."""
        del principal
        letters = await list_dead_letters(self.eventlog, ENERGY_USAGE, after=after, limit=limit)
        return DeadLettersAnswer(
            items=tuple(_body(letter) for letter in letters), next=letters[-1].offset if len(letters) == limit else None
        )

    async def replay(self, *, principal: Principal, offsets: Collection[int]) -> ReplayAnswer:
        """Send dead letters through the log again; what cannot be kept this time either becomes one again.

        They stay listed until they expire. Raises `DeadLetterNotFound`, `InvalidRequest`, `TemporarilyUnavailable`.
        """
        del principal
        return ReplayAnswer(replayed=await replay_dead_letters(self.eventlog, ENERGY_USAGE, offsets=offsets))


def _body(letter: DeadLetter) -> DeadLetterBody:
    return DeadLetterBody(
        offset=letter.offset,
        reason=letter.reason,
        dead_since=to_iso(letter.dead_since_ms),
        origin_offset=letter.origin_offset,
        original=letter.value.decode("utf-8", "replace"),
        origin_topic=letter.origin_topic,
        origin_partition=letter.origin_partition,
    )
