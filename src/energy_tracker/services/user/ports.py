"""What user-service needs from outside: a place where users are kept."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from energy_tracker.kit.problems import FieldError, Problem
from energy_tracker.services.user.model import User, UserDetails


class EmailAlreadyInUse(Problem):
    """Another user has this e-mail address, in this or another spelling."""

    status = 409
    title = "The e-mail address is already in use"

    def __init__(self) -> None:
        detail = "Another user has this e-mail address."
        super().__init__(detail, errors=[FieldError("/email", "is already in use by another user")])


class UserChange(Protocol):
    """One change of the users that happens as a whole or not at all; changes follow each other."""

    async def find(self, user_id: int) -> User | None:
        """Return the user or the tombstone with this id."""

    async def add(self, details: UserDetails) -> User:
        """Store a new user under a new id and version. Raises `EmailAlreadyInUse`."""

    async def save(self, user: User) -> User:
        """Store a changed user under a new version; a tombstone's address is free again. Raises `EmailAlreadyInUse`."""


class UserRepository(Protocol):
    """The users. Versions count up over all of them, in the order in which changes become visible."""

    def change(self) -> AbstractAsyncContextManager[UserChange]:
        """Begin a change, which is durable once the block ends, and undone when it raises."""

    async def find(self, user_id: int) -> User | None:
        """Return the user or the tombstone with this id."""

    async def page(self, *, after_id: int, limit: int, text: str) -> Sequence[User]:
        """Return at most `limit` users above an id, in its order, whose search key holds `text` (already folded)."""

    async def changes(self, *, after: int, limit: int) -> tuple[Sequence[User], int]:
        """Return at most `limit` users and tombstones above a version, in its order, and the newest version of all."""
