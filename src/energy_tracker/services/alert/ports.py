"""What alert-service needs from the world."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from energy_tracker.services.alert.model.episodes import Episode, State
from energy_tracker.services.alert.model.mails import Mail, MailState, Outcome, Settlement
from energy_tracker.services.alert.model.rules import Change, KnownEpisode


class EpisodeKey(NamedTuple):
    """Place of an episode in the list, newest first."""

    opened_at_ms: int
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeQuery:
    """Which episodes to list: of one user or all, in these states (none given: all), after a place, newest first."""

    user_id: int | None = None
    states: frozenset[State] = frozenset()
    after: EpisodeKey | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Tally:
    """How many mails and episodes there are in each state, by name of the state."""

    mails: Mapping[MailState, int]
    episodes: Mapping[State, int]


class AlertRepository(Protocol):
    """Keeps episodes. Every call is one transaction; all raise `TemporarilyUnavailable` where the store is down."""

    async def known_episodes(self, episode_ids: Collection[str]) -> Mapping[str, KnownEpisode]:
        """Return those of the episodes that are stored, by id."""

    async def store(self, changes: Sequence[Change], positions: Mapping[int, int]) -> None:
        """Store changes in order, and with them the consumer's offset in each partition, all or nothing.

        A change whose version is not above the stored one is left out; acknowledgements are kept; a mail whose
        Message-ID is known is left as it is.
        """

    async def positions(self) -> Mapping[int, int]:
        """Return the offset of the last record that is stored, by partition."""

    async def episodes(self, query: EpisodeQuery) -> Sequence[Episode]:
        """Return the episodes asked for, newest first."""

    async def count_episodes(self, *, user_id: int | None, states: frozenset[State]) -> int:
        """Return how many episodes there are of a user (or of all) in these states (none given: in any)."""

    async def acknowledge(self, episode_id: str, *, at_ms: int, reminder: str) -> Episode | None:
        """Note the first acknowledgement, suppress a waiting reminder for the reason given, and return the episode."""

    async def episode(self, episode_id: str) -> Episode | None:
        """Return an episode, or None."""

    async def user_ids(self, *, after: int, limit: int) -> Sequence[int]:
        """Return the users that have episodes, in order of id, those above `after`."""

    async def erase_user(self, user_id: int) -> int:
        """Erase a user's episodes and mails, and return how many episodes there were."""

    async def tally(self) -> Tally:
        """Count mails and episodes by state."""


class MailOutbox(Protocol):
    """Keeps mails until they are sent, and the record of them afterwards. Raises as `AlertRepository` does."""

    async def mails(self, *, states: frozenset[MailState], before: int | None, limit: int) -> Sequence[Mail]:
        """Return mails, newest first, in these states (none given: all), those with an id below `before`."""

    async def claim(self, *, now_ms: int, lease_ms: int) -> Mail | None:
        """Begin an attempt: return the mail that is due longest, with the attempt counted, or None.

        Until the attempt is settled, or `lease_ms` have passed, nobody else is given the mail. A mail waits for those
        of its episode that were queued before it.
        """

    async def settle(self, mail: Mail, settlement: Settlement) -> bool:
        """End an attempt. False: it did not go out, and the mail is gone, was withdrawn, or is being tried anew."""

    async def next_attempt_at_ms(self) -> int | None:
        """Return when the next mail that waits for no other is due; None: none waits."""

    async def release_held(self, *, now_ms: int, oldest_ms: int, reason: str) -> int:
        """Queue held mails written at `oldest_ms` or later, suppress the older ones; return how many were queued."""


class Notifier(Protocol):
    """Hands a mail to whoever delivers it."""

    @property
    def delivers(self) -> bool:
        """Whether there is a server at all."""

    async def send(self, mail: Mail) -> Outcome:
        """Try once to hand over a mail. What goes wrong is an outcome, not an exception."""


class DirectoryChange(Protocol):
    """The ids of the users that changed."""

    @property
    def users(self) -> frozenset[int]:
        """Their ids."""


class Directory(Protocol):
    """The local copy of the users that user-service tells of."""

    def user_is_deleted(self, user_id: int) -> bool:
        """Whether there was such a user and it was deleted."""

    def subscribe(self, subscriber: Callable[[DirectoryChange], Awaitable[None]]) -> None:
        """Have `subscriber` awaited after every change of the copy."""
