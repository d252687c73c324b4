"""A service's own copy of the users and devices, so that no hot path asks another service.

The copy is fed by `…/user/changes` and `…/device/changes`. It goes on with what it has while those services are down,
and says so (`stale`). Look-ups are in memory and return at once.
"""

import asyncio
import logging
import math
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from energy_tracker.clients.device import DeviceClient
from energy_tracker.clients.user import UserClient
from energy_tracker.contracts.directory import (
    Assignment,
    DeviceChanges,
    DirectoryDevice,
    DirectoryUser,
    UserChanges,
)
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import Problem

log = logging.getLogger(__name__)

INTERVAL_S = 2.0
QUIET_INTERVAL_S = 4.0
QUIET_AFTER = 15
"""After so many answers that nothing has changed, it asks less often: most of what idling costs is asking."""
STALE_AFTER_S = 10.0


class _Entry(Protocol):
    @property
    def id(self) -> int: ...


Entry = TypeVar("Entry", bound=_Entry)


class _Changes(Protocol[Entry]):  # type: ignore[misc]  # a tuple is covariant, and so may this be; it is only read
    @property
    def items(self) -> Sequence[Entry]: ...
    @property
    def version(self) -> int: ...
    @property
    def more(self) -> bool: ...


class Feed(Generic[Entry]):
    """Follows the changes of one service and keeps the newest state of every entry."""

    def __init__(self, name: str, fetch: Callable[[int], Awaitable[_Changes[Entry]]], clock: Clock) -> None:
        self.entries: dict[int, Entry] = {}
        self._name = name
        self._fetch = fetch
        self._clock = clock
        self._version = 0
        self._seen_ms: int | None = None
        self._reachable = False
        self._lock = asyncio.Lock()

    @property
    def age_s(self) -> float:
        """Seconds since the service last answered; infinite where it never has."""
        return math.inf if self._seen_ms is None else max(0, self._clock.now_ms() - self._seen_ms) / 1000

    @property
    def stale(self) -> bool:
        """Whether the service did not answer when last asked, or was not asked lately."""
        return not self._reachable or self.age_s > STALE_AFTER_S

    async def pull(self) -> dict[int, Entry | None]:
        """Take over what changed; return the former state of every entry that did (None: it is new).

        Where the service cannot be reached, the copy stays as it is and turns stale.
        """
        try:
            async with self._lock:
                before = await self._pull_pages()
        except Problem as problem:
            if self._reachable:
                log.warning("the %s are stale: %s", self._name, problem.detail)
            self._reachable = False
            return {}
        if not self._reachable and self._seen_ms is not None:
            log.info("the %s are up to date again", self._name)
        self._reachable = True
        self._seen_ms = self._clock.now_ms()
        return before

    async def _pull_pages(self) -> dict[int, Entry | None]:
        version, fresh, restored = self._version, dict[int, Entry](), False
        more = True
        while more:
            changes = await self._fetch(version)
            if changes.version < version:  # the service was restored from a backup: everything may differ
                version, fresh, restored = 0, {}, True
                continue
            fresh.update((entry.id, entry) for entry in changes.items)
            version, more = changes.version, changes.more and bool(changes.items)
        touched = fresh.keys() | self.entries.keys() if restored else fresh.keys()
        before = {entry_id: self.entries.get(entry_id) for entry_id in touched}
        if restored:
            self.entries.clear()
        self.entries.update(fresh)
        self._version = version
        return before


@dataclass(frozen=True, slots=True)
class DirectoryChange:
    """The ids of what changed."""

    users: frozenset[int] = frozenset()
    devices: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything did."""
        return bool(self.users or self.devices)

    def __or__(self, other: "DirectoryChange") -> "DirectoryChange":
        """Return both changes together."""
        return DirectoryChange(self.users | other.users, self.devices | other.devices)


Subscriber = Callable[[DirectoryChange], Awaitable[None]]


def user_feed(users: UserClient | None, clock: Clock) -> Feed[DirectoryUser]:
    """Return a copy of the users alone, tombstones included; without a client, an empty one."""

    async def fetch(after: int) -> UserChanges:
        return UserChanges(items=(), version=after) if users is None else await users.changes(after=after)

    return Feed("users", fetch, clock)


def device_feed(devices: DeviceClient | None, clock: Clock) -> Feed[DirectoryDevice]:
    """Return a copy of the devices alone, tombstones included; without a client, an empty one."""

    async def fetch(after: int) -> DeviceChanges:
        return DeviceChanges(items=(), version=after) if devices is None else await devices.changes(after=after)

    return Feed("devices", fetch, clock)


class Directory:
    """The users and devices of all services, with who owned which device when.

    A service that needs only one of the two gives only that client: the other side stays empty and is never stale.
    """

    def __init__(self, *, users: UserClient | None = None, devices: DeviceClient | None = None, clock: Clock) -> None:
        self._users = user_feed(users, clock)
        self._devices = device_feed(devices, clock)
        self._by_user: dict[int, set[int]] = {}
        self._subscribers: list[Subscriber] = []
        self._untold = DirectoryChange()
        self._lock = asyncio.Lock()

    @property
    def stale(self) -> bool:
        """Whether users or devices are not known to be up to date."""
        return self._users.stale or self._devices.stale

    @property
    def age_s(self) -> float:
        """Seconds since the services last answered, both of them."""
        return max(self._users.age_s, self._devices.age_s)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Have `subscriber` awaited after every change; one that raises is told again, together with what follows."""
        self._subscribers.append(subscriber)

    def user(self, user_id: int) -> DirectoryUser | None:
        """Return the user, or None where there is none or it was deleted."""
        user = self._users.entries.get(user_id)
        return None if user is None or user.deleted else user

    def user_is_deleted(self, user_id: int) -> bool:
        """Whether there was such a user and it was deleted."""
        user = self._users.entries.get(user_id)
        return user is not None and user.deleted

    def deleted_users(self) -> Collection[int]:
        """Return the ids of users that were deleted."""
        return [user.id for user in self._users.entries.values() if user.deleted]

    def users(self) -> Collection[DirectoryUser]:
        """Return all users that are not deleted."""
        return [user for user in self._users.entries.values() if not user.deleted]

    def device(self, device_id: int) -> DirectoryDevice | None:
        """Return the device, retired or not, or None where there is none or it was erased."""
        device = self._devices.entries.get(device_id)
        return None if device is None or device.erased else device

    def device_is_erased(self, device_id: int) -> bool:
        """Whether there was such a device and it went with its owner."""
        device = self._devices.entries.get(device_id)
        return device is not None and device.erased

    def devices(self) -> Collection[DirectoryDevice]:
        """Return all devices, retired ones too, that are not erased."""
        return [device for device in self._devices.entries.values() if not device.erased]

    def devices_of(self, user_id: int) -> Sequence[DirectoryDevice]:
        """Return the devices that belong, or ever belonged, to a user, by id; retired ones too, erased ones not."""
        owned = (self._devices.entries[device_id] for device_id in sorted(self._by_user.get(user_id, ())))
        return [device for device in owned if not device.erased]

    def assignment_at(self, device_id: int, instant_ms: int) -> Assignment | None:
        """Return whose the device was at an instant (ms since 1970), and what it was a sub-meter of."""
        device = self.device(device_id)
        return None if device is None else assignment_at(device, instant_ms)

    def owner_at(self, device_id: int, instant_ms: int) -> int | None:
        """Return the id of the user whose device it was at an instant (ms since 1970)."""
        assignment = self.assignment_at(device_id, instant_ms)
        return None if assignment is None else assignment.user_id

    async def refresh(self) -> DirectoryChange:
        """Ask the services once, tell the subscribers, and return what changed."""
        async with self._lock:
            users = await self._users.pull()
            devices = await self._devices.pull()
            self._index(devices)
            change = DirectoryChange(frozenset(users), frozenset(devices))
            self._untold |= change
            if self._untold:
                for subscriber in self._subscribers:
                    await subscriber(self._untold)
                self._untold = DirectoryChange()
            return change

    async def run(self, clock: Clock) -> None:
        """Refresh every 2 s, for ever; every 4 s where nothing has changed for half a minute."""
        unchanged = 0
        while True:
            try:
                unchanged = 0 if await self.refresh() else unchanged + 1
            except Exception:
                log.exception("a subscriber of the directory failed; it is told again")
                unchanged = 0
            await clock.sleep(INTERVAL_S if unchanged < QUIET_AFTER else QUIET_INTERVAL_S)

    def _index(self, before: dict[int, DirectoryDevice | None]) -> None:
        for device_id, former in before.items():
            for owner in _owners(former):
                self._by_user.get(owner, set()).discard(device_id)
            for owner in _owners(self._devices.entries.get(device_id)):
                self._by_user.setdefault(owner, set()).add(device_id)


def assignment_at(device: DirectoryDevice, instant_ms: int) -> Assignment | None:
    """Return the assignment of a device that holds at an instant (ms since 1970)."""
    position = bisect_right(device.assignments, float(instant_ms), key=_from_ms)
    return device.assignments[position - 1] if position else None


def _from_ms(assignment: Assignment) -> float:
    return -math.inf if assignment.from_ms is None else assignment.from_ms


def _owners(device: DirectoryDevice | None) -> set[int]:
    return set() if device is None else {device.user_id, *(assignment.user_id for assignment in device.assignments)}
