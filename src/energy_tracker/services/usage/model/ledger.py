"""The ledger: every reading that was ever received is somewhere (promise 6)."""

from collections.abc import Mapping
from dataclasses import dataclass

from energy_tracker.services.usage.model.readings import Place


@dataclass(frozen=True, slots=True)
class Intake:
    """The log's part; `queued` counts accepted readings beyond the positions of the holdings that it goes with."""

    received: int
    accepted: int
    duplicate: int
    rejected: int
    queued: int


@dataclass(frozen=True, slots=True)
class Holdings:
    """Usage's part, from one snapshot: what has become of the readings up to the `positions` in the log.

    `parked` readings wait for their device to be registered; `repeated` ones were found to be stored already.
    Those `on_the_way` were taken from one partition and wait in another, that of their home.
    `consumed` is how many readings the log held up to there, where that is counted apart.
    """

    positions: Mapping[Place, int]
    stored: int
    dead_lettered: int
    repeated: int
    parked: int
    consumed: int = 0
    on_the_way: int = 0

    @property
    def waiting(self) -> int:
        """How many readings were taken from the log and are not stored yet."""
        return self.parked + self.on_the_way


@dataclass(frozen=True, slots=True)
class Ledger:
    """Both parts together, in numbers of readings since the beginning of the data folder."""

    received: int
    accepted: int
    duplicate: int
    rejected: int
    stored: int
    queued: int
    dead_lettered: int

    @property
    def balanced(self) -> bool:
        """Whether nothing is lost and nothing is counted twice."""
        return (
            self.received == self.accepted + self.duplicate + self.rejected
            and self.accepted == self.stored + self.queued + self.dead_lettered
        )


def balance(intake: Intake, holdings: Holdings) -> Ledger:
    """Put the parts together; what was found to be a repeat late moves from accepted to duplicate."""
    return Ledger(
        received=intake.received,
        accepted=intake.accepted - holdings.repeated,
        duplicate=intake.duplicate + holdings.repeated,
        rejected=intake.rejected,
        stored=holdings.stored,
        queued=intake.queued + holdings.waiting,
        dead_lettered=holdings.dead_lettered,
    )
