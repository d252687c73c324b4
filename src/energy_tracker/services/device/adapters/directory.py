"""The owners of devices, from a copy of user-service's directory."""

from collections.abc import Set as AbstractSet

from energy_tracker.clients.directory import Feed
from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.services.device.ports import Standing


class DirectoryOwners:
    """Asks user-service what has changed before it answers; where that is known to be away, the copy has to do."""

    def __init__(self, users: Feed[DirectoryUser]) -> None:
        self._users = users

    async def standing(self, user_id: int) -> Standing:
        """Say whether there is such a user; `UNREACHABLE` where user-service does not answer."""
        if not self._users.stale or user_id not in self._users.entries:
            await self._users.pull()
        user = self._users.entries.get(user_id)
        if user is None:
            return Standing.UNREACHABLE if self._users.stale else Standing.UNKNOWN
        return Standing.UNKNOWN if user.deleted else Standing.KNOWN

    async def refresh(self) -> None:
        """Learn what has changed; where user-service cannot be reached, what is known stays."""
        await self._users.pull()

    def deleted(self) -> AbstractSet[int]:
        """Return the ids of all users that were deleted."""
        return {user.id for user in self._users.entries.values() if user.deleted}
