"""What usage-service needs from outside."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.services.usage.model.derivation import Change, Checkpoint, Head
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.ledger import Holdings, Intake
from energy_tracker.services.usage.model.readings import DeviceRules, Direction, Kind, Reading, Stream
from energy_tracker.services.usage.model.rollups import BucketSum


class Directory(Protocol):
    """A local copy of the users and devices; looking up costs no call. `stale` says that its sources do not answer."""

    @property
    def stale(self) -> bool:
        """Whether the copy could not be refreshed lately."""

    def user(self, user_id: int) -> DirectoryUser | None:
        """Return a user; None where there is none or it was deleted."""

    def user_is_deleted(self, user_id: int) -> bool:
        """Whether there was such a user and it was deleted."""

    def deleted_users(self) -> Collection[int]:
        """Return the ids of users that were deleted."""

    def device(self, device_id: int) -> DirectoryDevice | None:
        """Return a device, retired ones too; None where there is none or it was erased."""

    def device_is_erased(self, device_id: int) -> bool:
        """Whether there was such a device and it went with its owner."""

    def devices_of(self, user_id: int) -> Sequence[DirectoryDevice]:
        """Return the devices that belong or once belonged to a user, without erased ones."""

    def users(self) -> Collection[DirectoryUser]:
        """Return all users that are not deleted."""

    def devices(self) -> Collection[DirectoryDevice]:
        """Return all devices that are not erased."""

    async def refresh(self) -> object:
        """Ask the sources now, for what may be newer than the copy; one that does not answer leaves it as it is."""


class ReadingCursor(NamedTuple):
    """Where a page of raw readings ended; the next one starts behind it."""

    time_ms: int
    device_id: int
    key: bytes


class ReadingQueries(Protocol):
    """The reading store as questions see it.

    Raises `kit.problems.TemporarilyUnavailable`, never answers with too little.
    """

    async def bucket_sums(self, *, device_ids: Sequence[int], boundaries_ms: Sequence[int]) -> Sequence[BucketSum]:
        """Return what lies in the buckets between successive boundaries.

        There are n + 1 boundaries, ascending multiples of a quarter-hour.
        """

    async def readings(
        self, *, device_ids: Sequence[int], from_ms: int, to_ms: int, after: ReadingCursor | None, limit: int
    ) -> Sequence[Reading]:
        """Return raw readings with `from_ms <= time_ms < to_ms`, in order of (time, device, key), behind the cursor."""

    async def holdings(self) -> Holdings:
        """Return what has become of the readings, from one snapshot."""


class IntakeLedger(Protocol):
    """Ingestion's part of the ledger."""

    async def intake(self, *, after: int) -> Intake:
        """Return the counts, `queued` being what lies in the log beyond the position `after`.

        Raises `TemporarilyUnavailable`.
        """


class DeadLetter(NamedTuple):
    """Something on `energy-usage` that cannot be used: why, the bytes as they came, and how many readings."""

    reason: str
    original: bytes
    partition: int
    offset: int
    readings: int


class Outgoing(NamedTuple):
    """A message that is stored with what it follows from, and then appended to the log."""

    topic: str
    key: str | None
    value: bytes
    headers: Mapping[str, str]
    readings: int = 0


class Parked(NamedTuple):
    """A reading of a device that is not registered yet; `id` is given by the store."""

    id: int
    reading: Reading
    offset: int
    parked_ms: int


class StreamChange(NamedTuple):
    """A change and the stream that it belongs to."""

    stream: Stream
    change: Change


class Span(NamedTuple):
    """A stretch of a home's past, `[from_ms, to_ms)`, that changed and is to be judged again."""

    user_id: int
    from_ms: int
    to_ms: int


@dataclass(slots=True)
class Recorded:
    """All that one turn of the flow changes; the store takes it in one transaction, or nothing of it."""

    position: int | None = None
    readings: list[Reading] = field(default_factory=list)
    changes: list[StreamChange] = field(default_factory=list)
    rules: dict[int, DeviceRules] = field(default_factory=dict)
    """Rules under which a device is derived from now on."""
    derived_anew: set[int] = field(default_factory=set)
    """Devices whose derived figures are replaced by those of `changes`."""
    erased: set[int] = field(default_factory=set)
    """Devices of which nothing stays."""
    erased_spans: list[tuple[int, int, int]] = field(default_factory=list)
    """Devices of which the readings of `[from, to)`, in ms since 1970, go."""
    parked: list[Parked] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    repeated: int = 0
    revived: int = 0
    """Readings that were counted as dead letters before and are counted otherwise by this turn."""
    episodes: list[Episode] = field(default_factory=list)
    forgotten_users: set[int] = field(default_factory=set)
    outgoing: list[Outgoing] = field(default_factory=list)
    to_judge: list[Span] = field(default_factory=list)
    judged: list[Span] = field(default_factory=list)


class DeviceState(NamedTuple):
    """What is derived of a device so far: the rules it was derived under, and the heads of its streams."""

    rules: DeviceRules | None
    heads: dict[Stream, Head]


class ReadingStore(ReadingQueries, Protocol):
    """Raw readings, what is derived from them, and the position up to which the log is in it."""

    async def position(self) -> int:
        """Return the offset of the last record that is in the store, 0 at the beginning."""

    async def commit(self, recorded: Recorded) -> None:
        """Store it all in one transaction.

        Raises `kit.problems.TemporarilyUnavailable` or `StorageFull`; nothing is stored then.
        """

    async def device_states(self, device_ids: Collection[int]) -> dict[int, DeviceState]:
        """Return the states of devices; one without any reading has no heads."""

    async def known_devices(self) -> dict[int, DeviceRules]:
        """Return every device that has figures, with the rules they were derived under."""

    async def find(self, identities: Sequence[tuple[int, int, bytes]]) -> dict[tuple[int, int, bytes], Reading]:
        """Return the stored readings among (device, time, key)."""

    async def checkpoint(self, stream: Stream, at_ms: int) -> Checkpoint | None:
        """Return the stream's last checkpoint at or before an instant."""

    async def device_readings(self, device_id: int, *, after: tuple[int, bytes], limit: int) -> Sequence[Reading]:
        """Return a page of a device's readings in order, behind (time, key)."""

    async def kinds(self, device_id: int) -> dict[tuple[Direction | None, str], set[Kind]]:
        """Return which kinds of readings a device has, by the direction as it was sent and the channel."""

    async def parked_devices(self) -> Collection[int]:
        """Return the devices that have parked readings."""

    async def parked(
        self, *, device_ids: Collection[int] | None = None, until_ms: int | None = None, limit: int
    ) -> Sequence[Parked]:
        """Return parked readings, of some devices or all, parked up to an instant or ever, in the order they came."""

    async def open_episodes(self) -> Sequence[Episode]:
        """Return the episodes that have not ended."""

    async def episodes(self, *, user_id: int, from_ms: int, to_ms: int) -> Sequence[Episode]:
        """Return the episodes of a user that overlap `[from_ms, to_ms)`."""

    async def last_reading_ms(self, device_id: int) -> int | None:
        """Return the time of a device's newest reading."""

    async def to_judge(self) -> Sequence[Span]:
        """Return the spans that wait to be judged again."""

    async def outgoing(self, *, limit: int) -> Sequence[tuple[int, Outgoing]]:
        """Return messages that are not in the log yet, in order, each with its number."""

    async def forget_outgoing(self, up_to: int) -> None:
        """Drop the messages up to a number: they are in the log."""
