"""What usage-service needs from outside."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.services.usage.model.ledger import Holdings, Intake
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.model.rollups import BucketSum


class Directory(Protocol):
    """A local copy of the users and devices; looking up costs no call. `stale` says that its sources do not answer."""

    @property
    def stale(self) -> bool:
        """Whether the copy could not be refreshed lately."""

    def user(self, user_id: int) -> DirectoryUser | None:
        """Return a user (a tombstone has `deleted`), or None."""

    def device(self, device_id: int) -> DirectoryDevice | None:
        """Return a device, retired and erased ones too, or None."""

    def devices_of(self, user_id: int) -> Sequence[DirectoryDevice]:
        """Return the devices that belong or once belonged to a user, without erased ones."""

    def users(self) -> Sequence[DirectoryUser]:
        """Return all users that are not deleted."""

    def devices(self) -> Sequence[DirectoryDevice]:
        """Return all devices that are not erased."""


class ReadingCursor(NamedTuple):
    """Where a page of raw readings ended; the next one starts behind it."""

    time_ms: int
    device_id: int
    key: bytes


class ReadingQueries(Protocol):
    """The reading store as questions see it. Raises `kit.problems.TemporarilyUnavailable`, never answers with too little."""

    async def bucket_sums(self, *, device_ids: Sequence[int], boundaries_ms: Sequence[int]) -> Sequence[BucketSum]:
        """Return what lies in the buckets between successive boundaries (n + 1 of them, ascending multiples of a quarter-hour)."""

    async def readings(
        self, *, device_ids: Sequence[int], from_ms: int, to_ms: int, after: ReadingCursor | None, limit: int
    ) -> Sequence[Reading]:
        """Return raw readings with `from_ms <= time_ms < to_ms`, in order of (time, device, key), behind the cursor."""

    async def holdings(self) -> Holdings:
        """Return what has become of the readings, from one snapshot."""


class IntakeLedger(Protocol):
    """Ingestion's part of the ledger."""

    async def intake(self, *, after: int) -> Intake:
        """Return the counts, `queued` being what lies in the log beyond the position `after`. Raises `TemporarilyUnavailable`."""
