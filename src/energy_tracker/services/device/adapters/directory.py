"""The owners of devices, from a copy of user-service's directory."""

from collections.abc import Set as AbstractSet

from energy_tracker.clients.directory import Feed
from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.services.device.ports import Standing


class DirectoryOwners:
    """Answers from the copy, and asks user-service once more before it calls a user unknown."""

    def __init__(self, users: Feed[DirectoryUser]) -> None:
        self._users = users

    async def standing(self, user_id: int) -> Standing:
        """Say whether there is such a user; `UNREACHABLE` where user-service does not answer."""
        if self._lives(user_id):
            return Standing.KNOWN
        if user_id not in self._users.entries:
            await self._users.pull()
            if self._lives(user_id):
                return Standing.KNOWN
            if self._users.stale and user_id not in self._users.entries:
                return Standing.UNREACHABLE
        return Standing.UNKNOWN

    async def refresh(self) -> None:
        """Learn what has changed; where user-service cannot be reached, what is known stays."""
        await self._users.pull()

    def deleted(self) -> AbstractSet[int]:
        """Return the ids of all users that were deleted."""
        return {user.id for user in self._users.entries.values() if user.deleted}

    def _lives(self, user_id: int) -> bool:
        user = self._users.entries.get(user_id)
        return user is not None and not user.deleted
