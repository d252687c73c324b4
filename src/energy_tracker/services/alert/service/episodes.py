"""Use cases about episodes: recorded from the log, listed, acknowledged, erased."""

import asyncio
from collections.abc import Mapping, Sequence

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import Problem
from energy_tracker.services.alert.model.episodes import Episode, State
from energy_tracker.services.alert.model.mails import Mail, MailPolicy, MailState
from energy_tracker.services.alert.model.rules import REMINDER_NOT_NEEDED, changes_of
from energy_tracker.services.alert.model.transitions import Transition
from energy_tracker.services.alert.ports import AlertRepository, Directory, EpisodeQuery, MailOutbox

USERS_PER_PAGE = 500


class EpisodeNotFound(Problem):
    """There is no episode with this id."""

    status = 404
    title = "There is no such alert"


class AlertService:
    """Episodes of alerts, and what people do about them."""

    def __init__(
        self,
        *,
        repository: AlertRepository,
        outbox: MailOutbox,
        directory: Directory,
        clock: Clock,
        policy: MailPolicy,
    ) -> None:
        self._repository = repository
        self._outbox = outbox
        self._directory = directory
        self._clock = clock
        self._policy = policy
        self._recording = asyncio.Lock()

    async def record_transitions(self, *, transitions: Sequence[Transition], positions: Mapping[int, int]) -> int:
        """Store what the transitions change, the mails they cause and the consumer's positions, at once.

        Returns how many were new. Transitions of users that are deleted are left out.
        """
        async with self._recording:  # so that no erasure comes between the look into the directory and the storing
            kept = [transition for transition in transitions if not self._directory.user_is_deleted(transition.user_id)]
            known = await self._repository.known_episodes({transition.episode_id for transition in kept})
            changes = changes_of(kept, known, policy=self._policy, now_ms=self._clock.now_ms())
            await self._repository.store(changes, positions)
            return len(changes)

    async def list_episodes(self, *, principal: Principal, query: EpisodeQuery) -> Sequence[Episode]:
        """Return episodes, newest first."""
        del principal
        return await self._repository.episodes(query)

    async def count_episodes(self, *, principal: Principal, user_id: int, states: frozenset[State]) -> int:
        """Return how many episodes a user has had, ended ones too; with `states`, only those in them."""
        del principal
        return await self._repository.count_episodes(user_id=user_id, states=states)

    async def read_episode(self, *, principal: Principal, episode_id: str) -> Episode:
        """Return an episode. Raises `EpisodeNotFound`."""
        del principal
        return _found(await self._repository.episode(episode_id), episode_id)

    async def acknowledge_episode(self, *, principal: Principal, episode_id: str) -> Episode:
        """Note that somebody has seen an episode; once more, or after its end, changes nothing else.

        Raises `EpisodeNotFound`.
        """
        del principal
        episode = await self._repository.acknowledge(
            episode_id, at_ms=self._clock.now_ms(), reminder=REMINDER_NOT_NEEDED
        )
        return _found(episode, episode_id)

    async def list_mails(
        self, *, principal: Principal, states: frozenset[MailState], before: int | None, limit: int
    ) -> Sequence[Mail]:
        """Return the mails of the outbox, newest first, sent ones too."""
        del principal
        return await self._outbox.mails(states=states, before=before, limit=limit)

    async def erase_deleted_users(self) -> int:
        """Erase episodes and mails of every user that is deleted, and return how many users had any."""
        erased = 0
        after = -1
        while users := await self._repository.user_ids(after=after, limit=USERS_PER_PAGE):
            for user_id in users:
                async with self._recording:
                    if self._directory.user_is_deleted(user_id):
                        await self._repository.erase_user(user_id)
                        erased += 1
            after = users[-1]
        return erased


def _found(episode: Episode | None, episode_id: str) -> Episode:
    if episode is None:
        message = f"There is no alert with the id {episode_id[:128]!r}."
        raise EpisodeNotFound(message)
    return episode
