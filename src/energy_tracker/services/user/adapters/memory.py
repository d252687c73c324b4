"""Users in memory, gone with the process: for tests and for trying things out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from energy_tracker.services.user.model import User, UserDetails, email_key, search_key
from energy_tracker.services.user.ports import EmailAlreadyInUse


class MemoryUserChange:
    """A change on a copy, which the repository takes over when it is whole."""

    def __init__(self, users: dict[int, User], version: int) -> None:
        self.users = users
        self.version = version

    async def find(self, user_id: int) -> User | None:
        """Return the user or the tombstone with this id."""
        return self.users.get(user_id)

    async def add(self, details: UserDetails) -> User:
        """Store a new user under a new id and version. Raises `EmailAlreadyInUse`."""
        return await self.save(User(id=len(self.users) + 1, version=0, details=details))

    async def save(self, user: User) -> User:
        """Store a changed user under a new version. Raises `EmailAlreadyInUse`."""
        if user.deleted_at_ms is None:
            key = email_key(user.details.email)
            others = (other for other in self.users.values() if other.id != user.id and other.deleted_at_ms is None)
            if any(email_key(other.details.email) == key for other in others):
                raise EmailAlreadyInUse
        self.version += 1
        self.users[user.id] = replace(user, version=self.version)
        return self.users[user.id]


class MemoryUserRepository:
    """The users in a dictionary."""

    def __init__(self) -> None:
        self._users: dict[int, User] = {}
        self._version = 0
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def change(self) -> AsyncIterator[MemoryUserChange]:
        """Begin a change, which counts once the block ends, and not when it raises."""
        async with self._lock:
            change = MemoryUserChange(dict(self._users), self._version)
            yield change
            self._users, self._version = change.users, change.version

    async def find(self, user_id: int) -> User | None:
        """Return the user or the tombstone with this id."""
        return self._users.get(user_id)

    async def page(self, *, after_id: int, limit: int, text: str) -> Sequence[User]:
        """Return at most `limit` users above an id, in its order, whose search key holds `text` (already folded)."""
        living = (user for _, user in sorted(self._users.items()) if user.id > after_id and user.deleted_at_ms is None)
        return [user for user in living if text in search_key(user.details)][:limit]

    async def changes(self, *, after: int, limit: int) -> tuple[Sequence[User], int]:
        """Return at most `limit` users and tombstones above a version, in its order, and the newest version of all."""
        changed = sorted((user for user in self._users.values() if user.version > after), key=lambda user: user.version)
        return changed[:limit], self._version
