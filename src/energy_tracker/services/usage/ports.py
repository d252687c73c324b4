"""What usage-service needs from outside."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.services.usage.model.derivation import Change, Checkpoint, Head
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.ledger import Holdings
from energy_tracker.services.usage.model.readings import DeviceRules, Direction, Kind, Place, Reading, Stream
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


class Homes(Protocol):
    """Which homes this process looks after. Each belongs to one partition of the log, by its user's id."""

    @property
    def partitions(self) -> Collection[int]:
        """The partitions that this process has now."""

    def partition_of(self, user_id: int) -> int:
        """Return the partition of a home."""


class EveryHome:
    """One process looks after all homes, in one partition."""

    partitions: Collection[int] = (0,)

    def partition_of(self, user_id: int) -> int:
        """Return the only partition."""
        del user_id
        return 0


class DeadLetter(NamedTuple):
    """Something on `topic` that cannot be used: why, the bytes as they came, and how many readings."""

    reason: str
    original: bytes
    partition: int
    offset: int
    readings: int
    topic: str = ENERGY_USAGE


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

    positions: dict[Place, int] = field(default_factory=dict)
    """The last offset taken, by partition."""
    consumed: int = 0
    """Readings in the records taken that were not counted before."""
    readings: list[Reading] = field(default_factory=list)
    changes: list[StreamChange] = field(default_factory=list)
    rules: dict[int, DeviceRules] = field(default_factory=dict)
    """Rules under which a device is derived from now on."""
    derived_anew: set[int] = field(default_factory=set)
    """Devices whose derived figures are replaced by those of `changes`."""
    erased: set[int] = field(default_factory=set)
    """Devices of which nothing stays."""
    handed_over: set[int] = field(default_factory=set)
    """Devices whose home is looked after in another partition: what is derived of them is theirs to keep."""
    erased_spans: list[tuple[int, int, int]] = field(default_factory=list)
    """Devices of which the readings of `[from, to)`, in ms since 1970, go."""
    parked: list[Parked] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    repeated: int = 0
    forwarded: int = 0
    """Readings that were appended again, to the partition of their home."""
    arrived: int = 0
    """Forwarded readings in the records taken."""
    revived: int = 0
    """Readings that were counted as dead letters before and are counted otherwise by this turn."""
    episodes: list[Episode] = field(default_factory=list)
    detectors: dict[tuple[int, int], bytes | None] = field(default_factory=dict)
    """States of detectors by (user, device), 0 standing for the home itself; None: it begins anew."""
    forgotten_users: set[int] = field(default_factory=set)
    outgoing: list[Outgoing] = field(default_factory=list)
    to_judge: list[Span] = field(default_factory=list)
    judged: list[Span] = field(default_factory=list)
    lines: list[str] | None = None
    """The readings as the store writes them, where it has laid them out."""
    opening: Holdings | None = None
    """Totals, without positions, that take the place of all that was counted: those of another store that moves in."""


class DeviceState(NamedTuple):
    """What is derived of a device so far: the rules it was derived under, and the heads of its streams.

    Where it is not whole, heads only tell which streams and kinds there are and what came last: before anything is
    added, the device is to be derived anew.
    """

    rules: DeviceRules | None
    heads: dict[Stream, Head]
    is_whole: bool = True


class ReadingsRefused(Exception):
    """The store will never take some readings of a turn, and has taken nothing of it; `reasons` by identity."""

    def __init__(self, reasons: Mapping[tuple[int, int, bytes], str]) -> None:
        super().__init__(f"{len(reasons)} readings were refused")
        self.reasons = reasons


class ReadingStore(ReadingQueries, Protocol):
    """Raw readings, what is derived from them, and the position up to which the log is in it."""

    async def take_up(self) -> Mapping[Place, int]:
        """Return the offset of the last record that is in the store, by partition.

        From here on the store answers for the homes that this process looks after now.
        """

    def lay_out(self, recorded: Recorded) -> None:
        """Prepare what can be prepared of a turn before its time to be committed has come."""

    async def commit(self, recorded: Recorded) -> None:
        """Store it all in one transaction.

        Raises `kit.problems.TemporarilyUnavailable` or `StorageFull`; nothing is stored then, or what may be there is
        not counted and comes again. Raises `ReadingsRefused`.
        """

    async def device_states(self, device_ids: Collection[int]) -> dict[int, DeviceState]:
        """Return the states of devices; one without any reading has no heads."""

    async def known_devices(self) -> dict[int, DeviceRules]:
        """Return every device that has figures, with the rules they were derived under."""

    def keeps_in(self, device_id: int) -> int | None:
        """Return the partition that keeps what is derived of a device, as far as that is known; None: any does."""

    async def find(self, identities: Sequence[tuple[int, int, bytes]]) -> dict[tuple[int, int, bytes], Reading]:
        """Return the stored readings among (device, time, key)."""

    async def checkpoint(self, stream: Stream, at_ms: int) -> Checkpoint | None:
        """Return the stream's last checkpoint at or before an instant."""

    async def device_readings(self, device_id: int, *, after: tuple[int, bytes], limit: int) -> Sequence[Reading]:
        """Return a page of a device's readings in order, behind (time, key)."""

    async def kinds(self, device_id: int) -> dict[tuple[Direction | None, str], set[Kind]]:
        """Return which kinds of readings a device has, by the direction as it was sent and the channel."""

    async def room_for_parked(self) -> int:
        """Return how many more readings may wait for their devices to be registered."""

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

    async def detectors(self, user_id: int) -> dict[int, bytes]:
        """Return the states of a home's detectors, by device."""

    async def last_reading_ms(self, device_id: int) -> int | None:
        """Return the time of a device's newest reading."""

    async def to_judge(self) -> Sequence[Span]:
        """Return the spans that wait to be judged again."""

    async def outgoing(self, *, limit: int) -> Sequence[tuple[int, Outgoing]]:
        """Return messages that are not in the log yet, in order, each with its number."""

    async def forget_outgoing(self, up_to: int) -> None:
        """Drop the messages up to a number: they are in the log."""
