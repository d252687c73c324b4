"""usage-service on real files, without any other service: a directory that is told what it knows."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tests.support.clock import VirtualClock

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.eventlog.port import Record
from energy_tracker.services.usage.adapters.embedded import EMBEDDED_PLACE
from energy_tracker.services.usage.adapters.sqlite import SqliteReadingStore
from energy_tracker.services.usage.adapters.sqlite_schema import prepare
from energy_tracker.services.usage.decoding import to_message
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.service import UsageService
from energy_tracker.services.usage.watch import HomeWatch
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter


@dataclass
class KnownHomes:
    """A directory that knows what a test says."""

    all_users: dict[int, DirectoryUser] = field(default_factory=dict)
    all_devices: dict[int, DirectoryDevice] = field(default_factory=dict)
    stale: bool = False

    async def refresh(self) -> None:
        """Learn nothing new."""

    def add(self, *entries: DirectoryUser | DirectoryDevice) -> "KnownHomes":
        for entry in entries:
            if isinstance(entry, DirectoryUser):
                self.all_users[entry.id] = entry
            else:
                self.all_devices[entry.id] = entry
        return self

    def user(self, user_id: int) -> DirectoryUser | None:
        user = self.all_users.get(user_id)
        return None if user is None or user.deleted else user

    def user_is_deleted(self, user_id: int) -> bool:
        return user_id in self.all_users and self.all_users[user_id].deleted

    def deleted_users(self) -> Sequence[int]:
        return [user.id for user in self.all_users.values() if user.deleted]

    def device(self, device_id: int) -> DirectoryDevice | None:
        device = self.all_devices.get(device_id)
        return None if device is None or device.erased else device

    def device_is_erased(self, device_id: int) -> bool:
        return device_id in self.all_devices and self.all_devices[device_id].erased

    def devices_of(self, user_id: int) -> Sequence[DirectoryDevice]:
        return [device for device in self.all_devices.values() if device.user_id == user_id and not device.erased]

    def users(self) -> Sequence[DirectoryUser]:
        return [user for user in self.all_users.values() if not user.deleted]

    def devices(self) -> Sequence[DirectoryDevice]:
        return [device for device in self.all_devices.values() if not device.erased]


@dataclass
class Usage:
    """usage-service's recording side over one folder."""

    service: UsageService
    store: SqliteReadingStore
    directory: KnownHomes
    clock: VirtualClock
    offset: int

    async def record(self, readings: Sequence[Reading]) -> int:
        """Record readings as one record of the log."""
        self.offset += 1
        value = msgspec.json.encode([to_message(reading) for reading in readings])
        record = Record("energy-usage", 0, self.offset, None, value, {}, self.clock.now_ms())
        return await self.service.record_readings(records=[record])


@asynccontextmanager
async def usage_on(folder: Path, directory: KnownHomes, clock: VirtualClock) -> AsyncIterator[Usage]:
    """Open usage-service's store in a folder; closing and opening again is a restart."""
    path = folder / "readings.db"
    async with AsyncExitStack() as stack:
        writer = await SqliteWriter.open(path, prepare=prepare)
        stack.push_async_callback(writer.close)
        readers = SqliteReaders(path)
        stack.push_async_callback(readers.close)
        store = SqliteReadingStore(writer, readers)
        service = UsageService(store, directory, HomeWatch(store, directory), clock)
        yield Usage(service, store, directory, clock, (await store.take_up())[EMBEDDED_PLACE])


def dump(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return what a user can see of a store: readings, quarter-hours and heads, in order."""
    import apsw

    connection = apsw.Connection(str(folder / "readings.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        readings = connection.execute(
            "SELECT device_id, time_ms, hex(key), kind, direction, amount, since_ms, channel FROM reading"
        ).fetchall()
        quarters = connection.execute(
            "SELECT * FROM quarter_hour WHERE energy_mj <> 0 OR estimated_mj <> 0 OR covered_ms <> 0"
        ).fetchall()
        heads = connection.execute("SELECT device_id, direction, channel, head FROM stream").fetchall()
        return {"readings": readings, "quarters": quarters, "heads": heads}
    finally:
        connection.close()
