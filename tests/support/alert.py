"""What the tests of alert-service share: transitions, a directory, and stores that begin empty."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.clock import START, VirtualClock
from tests.support.relational import migrated_database

from energy_tracker.contracts.readings import EpisodeTransition
from energy_tracker.eventlog.port import Message
from energy_tracker.kit.instants import MS_PER_MINUTE, to_iso
from energy_tracker.services.alert.model.transitions import Transition, read_transition
from energy_tracker.services.alert.ports import DirectoryChange
from energy_tracker.storage.sql import create_engine

START_MS = VirtualClock(START).now_ms()


@dataclass
class UserDirectory:
    """A directory that knows which users are deleted."""

    deleted: set[int] = field(default_factory=set)
    subscribers: list[Callable[[DirectoryChange], Awaitable[None]]] = field(default_factory=list)

    def user_is_deleted(self, user_id: int) -> bool:
        return user_id in self.deleted

    def subscribe(self, subscriber: Callable[[DirectoryChange], Awaitable[None]]) -> None:
        self.subscribers.append(subscriber)

    async def delete(self, user_id: int) -> None:
        self.deleted.add(user_id)
        for subscriber in self.subscribers:
            await subscriber(UsersChanged(frozenset({user_id})))


@dataclass(frozen=True)
class UsersChanged:
    users: frozenset[int]


def wire_transition(episode_id: str = "high-usage-1-1", version: int = 1, **changes: object) -> EpisodeTransition:
    """Return a transition as usage-service publishes it; a second version has ended, twenty minutes after the start."""
    ended = version > 1 and "state" not in changes
    members: dict[str, object] = {
        "id": episode_id,
        "version": version,
        "user_id": 1,
        "rule": "high-usage",
        "state": "ended" if ended else "open",
        "opened_at": to_iso(START_MS),
        "ended_at": to_iso(START_MS + 20 * MS_PER_MINUTE) if ended else None,
        "message": "The last hour is above the threshold.",
        "notify": True,
        "alerting": True,
        "email": "ada@example.org",
        "user_name": "Ada",
        "time_zone": "Europe/Zurich",
        "threshold_kwh": 1.5,
        "energy_consumed_kwh": 2.25,
    }
    return EpisodeTransition(**(members | changes))  # type: ignore[arg-type]  # the members are named as its fields


def transition(episode_id: str = "high-usage-1-1", version: int = 1, **changes: object) -> Transition:
    """Return the same transition as alert-service reads it."""
    return read_transition(msgspec.json.encode(wire_transition(episode_id, version, **changes)))


def message(episode_id: str = "high-usage-1-1", version: int = 1, **changes: object) -> Message:
    """Return the same transition as a message of the log."""
    wire = wire_transition(episode_id, version, **changes)
    return Message(str(wire.user_id), msgspec.json.encode(wire))


@asynccontextmanager
async def database(path: Path) -> AsyncIterator[AsyncEngine]:
    """Give the engine of a database at `path`: what is there, or an empty one with its tables."""
    if not path.exists():  # noqa: ASYNC240 - a test waits for nothing else meanwhile
        path.write_bytes(migrated_database())  # noqa: ASYNC240 - as above
    engine = create_engine(f"sqlite+aiosqlite:///{path}")
    try:
        yield engine
    finally:
        await engine.dispose()
