"""In memory: readings that are derived anew for every question, for tests and as the measure of the stores."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.usage.adapters.embedded import EMBEDDED_PLACE
from energy_tracker.services.usage.model.derivation import in_order, steps_of
from energy_tracker.services.usage.model.ledger import Holdings, Intake
from energy_tracker.services.usage.model.readings import DeviceRules, Reading, Stream, counted_kind, stream_of
from energy_tracker.services.usage.model.rollups import BucketSum
from energy_tracker.services.usage.model.steps import QuarterHours
from energy_tracker.services.usage.ports import ReadingCursor


class MemoryReadings:
    """`ReadingQueries` over a dictionary; a repeated identity is counted and not stored again.

    `available` can be set to False: every question then raises, as a store does that is down.
    """

    def __init__(self, rules: Mapping[int, DeviceRules] | None = None) -> None:
        self.rules = dict(rules or {})
        self.available = True
        self.position = 0
        self._readings: dict[tuple[int, int, bytes], Reading] = {}
        self._repeated = 0

    def append(self, readings: Iterable[Reading]) -> None:
        """Store readings; each moves the position on by one."""
        for reading in readings:
            self.position += 1
            identity = (reading.device_id, reading.time_ms, reading.key)
            if identity in self._readings:
                self._repeated += 1
            self._readings.setdefault(identity, reading)

    async def bucket_sums(self, *, device_ids: Sequence[int], boundaries_ms: Sequence[int]) -> Sequence[BucketSum]:
        """Return what lies in the buckets between successive boundaries."""
        self._check_available()
        rows: list[BucketSum] = []
        for stream, readings in sorted(self._streams(set(device_ids)).items()):
            quarters = self._quarter_hours(stream, readings).changes()
            inside: defaultdict[int, list[tuple[int, int, int, int]]] = defaultdict(list)
            for quarter in quarters:
                if boundaries_ms[0] <= quarter[0] < boundaries_ms[-1]:
                    inside[bisect_right(boundaries_ms, quarter[0]) - 1].append(quarter)
            for bucket, found in sorted(inside.items()):
                sums = [sum(column) for column in zip(*found, strict=True)][1:]
                rows.append(BucketSum(stream.device_id, bucket, stream.direction, stream.channel, *sums))
        return rows

    async def readings(
        self, *, device_ids: Sequence[int], from_ms: int, to_ms: int, after: ReadingCursor | None, limit: int
    ) -> Sequence[Reading]:
        """Return raw readings of `[from_ms, to_ms)` behind the cursor, in order of (time, device, key)."""
        self._check_available()
        places = {
            ReadingCursor(reading.time_ms, reading.device_id, reading.key): reading
            for reading in self._readings.values()
            if reading.device_id in device_ids and from_ms <= reading.time_ms < to_ms
        }
        return [places[place] for place in sorted(places) if after is None or place > after][:limit]

    async def holdings(self) -> Holdings:
        """Return what has become of the readings; here, all are stored."""
        self._check_available()
        return Holdings(
            {EMBEDDED_PLACE: self.position}, len(self._readings), dead_lettered=0, repeated=self._repeated, parked=0
        )

    def _streams(self, device_ids: set[int]) -> dict[Stream, list[Reading]]:
        streams: defaultdict[Stream, list[Reading]] = defaultdict(list)
        for reading in self._readings.values():
            if reading.device_id in device_ids:
                streams[stream_of(reading, self._rules(reading.device_id))].append(reading)
        return dict(streams)

    def _quarter_hours(self, stream: Stream, readings: Sequence[Reading]) -> QuarterHours:
        rules = self._rules(stream.device_id)
        kind = counted_kind(rules.kind, {reading.kind for reading in readings})
        quarter_hours = QuarterHours()
        for step in steps_of(in_order(readings), None, kind, rules):
            quarter_hours.add(step)
        return quarter_hours

    def _rules(self, device_id: int) -> DeviceRules:
        return self.rules.get(device_id, DeviceRules())

    def _check_available(self) -> None:
        if not self.available:
            raise TemporarilyUnavailable("The reading store does not answer.")


class MemoryDirectory:
    """A directory that holds what it was given."""

    def __init__(
        self, users: Iterable[DirectoryUser] = (), devices: Iterable[DirectoryDevice] = (), *, stale: bool = False
    ) -> None:
        self.stale = stale
        self.refreshed = 0
        self._users = {user.id: user for user in users}
        self._devices = {device.id: device for device in devices}

    def put_user(self, user: DirectoryUser) -> None:
        """Take the newest state of a user."""
        self._users[user.id] = user

    def put_device(self, device: DirectoryDevice) -> None:
        """Take the newest state of a device."""
        self._devices[device.id] = device

    def user(self, user_id: int) -> DirectoryUser | None:
        """Return a user (a tombstone has `deleted`), or None."""
        return self._users.get(user_id)

    def device(self, device_id: int) -> DirectoryDevice | None:
        """Return a device, retired and erased ones too, or None."""
        return self._devices.get(device_id)

    def devices_of(self, user_id: int) -> Sequence[DirectoryDevice]:
        """Return the devices that belong or once belonged to a user, without erased ones."""
        return [
            device
            for device in self.devices()
            if user_id == device.user_id or any(user_id == assignment.user_id for assignment in device.assignments)
        ]

    def users(self) -> Sequence[DirectoryUser]:
        """Return all users that are not deleted."""
        return [user for _, user in sorted(self._users.items()) if not user.deleted]

    def devices(self) -> Sequence[DirectoryDevice]:
        """Return all devices that are not erased."""
        return [device for _, device in sorted(self._devices.items()) if not device.erased]

    async def refresh(self) -> None:
        """Count how often somebody wanted to know better."""
        self.refreshed += 1


class MemoryIntake:
    """Ingestion's part of the ledger, counted by hand; what was accepted beyond a position is queued."""

    def __init__(self, *, accepted: int = 0, duplicate: int = 0, rejected: int = 0) -> None:
        self.accepted = accepted
        self.duplicate = duplicate
        self.rejected = rejected

    async def intake(self, *, beyond: Holdings) -> Intake:
        """Return the counts; positions count accepted readings."""
        received = self.accepted + self.duplicate + self.rejected
        queued = self.accepted - beyond.positions[EMBEDDED_PLACE]
        return Intake(received, self.accepted, self.duplicate, self.rejected, queued=queued)
