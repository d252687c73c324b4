"""What can be done with users."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from energy_tracker.eventlog.port import Retention
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import PreconditionFailed, Problem
from energy_tracker.kit.text import folded
from energy_tracker.services.user.model import NOTHING, Erasure, User, UserDraft, checked_details
from energy_tracker.services.user.ports import UserRepository

log = logging.getLogger(__name__)


class UserNotFound(Problem):
    """There is no user with this id, or no longer."""

    status = 404
    title = "The user does not exist"

    def __init__(self) -> None:
        super().__init__("There is no user with this id.")


@dataclass(frozen=True, slots=True)
class UserPage:
    """Users in order of id; `next_after_id` is where the following page begins, None on the last one."""

    users: Sequence[User]
    next_after_id: int | None


@dataclass(frozen=True, slots=True)
class ChangePage:
    """Users and tombstones in order of version. The next page begins after `version`; `more`: there is one now."""

    users: Sequence[User]
    version: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UserService:
    """The use cases. `default_time_zone` is for users who name none; `time_zones` are the names that are accepted.

    `retention` is how long the event log keeps what other services have read.
    """

    repository: UserRepository
    clock: Clock
    default_time_zone: str
    time_zones: frozenset[str]
    retention: Retention = field(default_factory=Retention)

    async def create_user(self, *, principal: Principal, draft: UserDraft) -> User:
        """Store a new user. Raises `InvalidRequest` and `EmailAlreadyInUse`."""
        details = checked_details(draft, time_zone=self.default_time_zone, time_zones=self.time_zones)
        async with self.repository.change() as change:
            user = await change.add(details)
        log.info("user %d created by %s", user.id, principal.name)
        return user

    async def read_user(self, *, principal: Principal, user_id: int) -> User:
        """Return the user. Raises `UserNotFound`."""
        del principal  # until accounts exist, everyone may read
        return _living(await self.repository.find(user_id))

    async def replace_user(
        self, *, principal: Principal, user_id: int, draft: UserDraft, expected_versions: frozenset[int] | None
    ) -> User:
        """Replace what is known of a user; a time zone that the draft leaves out stays.

        Raises `UserNotFound`, `PreconditionFailed`, `InvalidRequest` and `EmailAlreadyInUse`.
        """
        async with self.repository.change() as change:
            current = _expected(_living(await change.find(user_id)), expected_versions)
            zone = current.details.time_zone
            details = checked_details(draft, time_zone=zone, time_zones=self.time_zones | {zone})
            user = await change.save(replace(current, details=details))
        log.info("user %d replaced by %s", user.id, principal.name)
        return user

    async def delete_user(
        self, *, principal: Principal, user_id: int, expected_versions: frozenset[int] | None
    ) -> Erasure:
        """Blank everything personal, and leave a tombstone that tells the other services to erase what they hold.

        Raises `UserNotFound` and `PreconditionFailed`.
        """
        async with self.repository.change() as change:
            current = _expected(_living(await change.find(user_id)), expected_versions)
            user = await change.save(replace(current, details=NOTHING, deleted_at_ms=self.clock.now_ms()))
        log.info("user %d deleted by %s", user.id, principal.name)
        return Erasure(user.id, user.deleted_at_ms, self.retention)

    async def read_erasure(self, *, principal: Principal, user_id: int) -> Erasure:
        """Return what becomes of a user's data. Raises `UserNotFound` where there never was such a user."""
        del principal  # until accounts exist, everyone may read
        user = await self.repository.find(user_id)
        if user is None:
            raise UserNotFound
        return Erasure(user.id, user.deleted_at_ms, self.retention)

    async def list_users(self, *, principal: Principal, text: str, after_id: int, limit: int) -> UserPage:
        """Return users above an id whose name, surname or e-mail address holds `text`, without regard to case."""
        del principal  # until accounts exist, everyone may read
        users = await self.repository.page(after_id=after_id, limit=limit + 1, text=folded(text))
        return UserPage(users[:limit], users[limit - 1].id if len(users) > limit else None)

    async def list_changes(self, *, principal: Principal, after: int, limit: int) -> ChangePage:
        """Return the users that changed after a version, tombstones too.

        A `version` below `after` in the answer means that the users were restored from a backup: begin again at 0.
        """
        del principal  # the other services
        users, newest = await self.repository.changes(after=after, limit=limit + 1)
        more = len(users) > limit
        return ChangePage(users[:limit], users[limit - 1].version if more else newest, more)


def _living(user: User | None) -> User:
    if user is None or user.deleted_at_ms is not None:
        raise UserNotFound
    return user


def _expected(user: User, versions: frozenset[int] | None) -> User:
    if versions is not None and user.version not in versions:
        message = f"The user is at version {user.version} now; read it again."
        raise PreconditionFailed(message)
    return user
