"""Devices in a relational database: SQLite, MySQL or MariaDB."""

from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    MetaData,
    Row,
    Select,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from energy_tracker.services.device.model import Assignment, Device, DeviceDetails, search_key
from energy_tracker.storage.sql import (
    IDENTITY,
    change_in_turn,
    inserted_id,
    newest_version,
    next_version,
    read_transaction,
    version_counter,
)
from energy_tracker.storage.whole_transactions import repeated

METADATA = MetaData()
DEVICES = Table(
    "device",
    METADATA,
    Column("id", IDENTITY, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("type", String(32), nullable=False),
    Column("location", String(200), nullable=False),
    Column("user_id", BigInteger, nullable=False, index=True),
    Column("parent_id", BigInteger, index=True),
    Column("kind", String(16), nullable=False),
    Column("direction", String(16), nullable=False),
    Column("max_hold_ms", BigInteger, nullable=False),
    Column("rated_power_w", Double),
    Column("silent_after_ms", BigInteger),
    Column("search_key", Text, nullable=False),
    Column("version", BigInteger, nullable=False, unique=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("retired_at_ms", BigInteger),
    Column("erased", Boolean, nullable=False),
)
ASSIGNMENTS = Table(
    "device_assignment",
    METADATA,
    Column("device_id", BigInteger, ForeignKey("device.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("from_ms", BigInteger),
    Column("user_id", BigInteger, nullable=False),
    Column("parent_id", BigInteger),
)
COUNTER = version_counter("device", METADATA)


class SqlDeviceChange:
    """A change within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, device_id: int) -> Device | None:
        """Return the device with this id, whatever its state."""
        return await _find(self._connection, device_id)

    async def owned_by(self, user_id: int) -> Sequence[Device]:
        """Return all that belongs to a user now, retired and erased devices too, in order of id."""
        return await _owned_by(self._connection, user_id)

    async def below(self, device_id: int) -> Sequence[Device]:
        """Return the sub-meters of a device, retired ones too, in order of id."""
        statement = select(DEVICES).where(DEVICES.c.parent_id == device_id).order_by(DEVICES.c.id)
        return await _devices(self._connection, statement)

    async def add(self, details: DeviceDetails, *, created_at_ms: int) -> Device:
        """Store a new device under a new id and version, assigned since ever as its details say."""
        device = Device(
            id=0,
            version=await next_version(self._connection, COUNTER),
            details=details,
            assignments=(Assignment(None, details.user_id, details.parent_id),),
            created_at_ms=created_at_ms,
        )
        device = replace(
            device, id=inserted_id(await self._connection.execute(insert(DEVICES).values(_columns(device))))
        )
        await self._assign(device)
        return device

    async def save(self, device: Device) -> Device:
        """Store a changed device under a new version."""
        saved = replace(device, version=await next_version(self._connection, COUNTER))
        await self._connection.execute(update(DEVICES).where(DEVICES.c.id == device.id).values(_columns(saved)))
        await self._connection.execute(delete(ASSIGNMENTS).where(ASSIGNMENTS.c.device_id == device.id))
        await self._assign(saved)
        return saved

    async def _assign(self, device: Device) -> None:
        rows = [
            {
                "device_id": device.id,
                "position": position,
                "from_ms": assignment.from_ms,
                "user_id": assignment.user_id,
                "parent_id": assignment.parent_id,
            }
            for position, assignment in enumerate(device.assignments)
        ]
        await self._connection.execute(insert(ASSIGNMENTS), rows)


class SqlDeviceRepository:
    """The devices in the tables `device`, `device_assignment` and `device_counter`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def change(self) -> AsyncIterator[SqlDeviceChange]:
        """Begin a change, which is durable once the block ends, and undone when it raises."""
        async with change_in_turn(self._engine, COUNTER) as connection:
            yield SqlDeviceChange(connection)

    @repeated
    async def find(self, device_id: int) -> Device | None:
        """Return the device with this id, whatever its state."""
        async with read_transaction(self._engine) as connection:
            return await _find(connection, device_id)

    @repeated
    async def owned_by(self, user_id: int) -> Sequence[Device]:
        """Return all that belongs to a user now, retired and erased devices too, in order of id."""
        async with read_transaction(self._engine) as connection:
            return await _owned_by(connection, user_id)

    @repeated
    async def page(
        self, *, after_id: int, limit: int, text: str, user_id: int | None, retired: bool
    ) -> Sequence[Device]:
        """Return at most `limit` devices above an id, in its order, that are in use, or retired; never erased ones."""
        when = DEVICES.c.retired_at_ms
        statement = select(DEVICES).where(
            DEVICES.c.id > after_id,
            when.is_not(None) if retired else when.is_(None),
            DEVICES.c.name != "",  # an erased device, or one whose owner was deleted, has no texts
        )
        if text:
            statement = statement.where(DEVICES.c.search_key.contains(text, autoescape=True))
        if user_id is not None:
            statement = statement.where(DEVICES.c.user_id == user_id)
        async with read_transaction(self._engine) as connection:
            return await _devices(connection, statement.order_by(DEVICES.c.id).limit(limit))

    @repeated
    async def changes(self, *, after: int, limit: int) -> tuple[Sequence[Device], int]:
        """Return at most `limit` devices above a version, in its order, and the newest version of all."""
        statement = select(DEVICES).where(DEVICES.c.version > after).order_by(DEVICES.c.version).limit(limit)
        async with read_transaction(self._engine) as connection:
            newest = await newest_version(connection, COUNTER)
            return ([] if newest <= after else await _devices(connection, statement)), newest

    @repeated
    async def named_owners(self) -> AbstractSet[int]:
        """Return the ids of the users to whom a device belongs that still has a name."""
        async with read_transaction(self._engine) as connection:
            return set(await connection.scalars(select(DEVICES.c.user_id).where(DEVICES.c.name != "").distinct()))


async def _find(connection: AsyncConnection, device_id: int) -> Device | None:
    found = await _devices(connection, select(DEVICES).where(DEVICES.c.id == device_id))
    return found[0] if found else None


async def _owned_by(connection: AsyncConnection, user_id: int) -> list[Device]:
    return await _devices(connection, select(DEVICES).where(DEVICES.c.user_id == user_id).order_by(DEVICES.c.id))


async def _devices(connection: AsyncConnection, statement: Select[Any]) -> list[Device]:
    rows = (await connection.execute(statement)).all()
    if not rows:
        return []
    order = (ASSIGNMENTS.c.device_id, ASSIGNMENTS.c.position)
    of_these = select(ASSIGNMENTS).where(ASSIGNMENTS.c.device_id.in_([row.id for row in rows])).order_by(*order)
    assignments: dict[int, list[Assignment]] = {}
    for row in await connection.execute(of_these):
        assignments.setdefault(row.device_id, []).append(Assignment(row.from_ms, row.user_id, row.parent_id))
    return [_device(row, tuple(assignments[row.id])) for row in rows]


def _columns(device: Device) -> dict[str, object]:
    details = device.details
    return {
        "name": details.name,
        "type": details.type,
        "location": details.location,
        "user_id": details.user_id,
        "parent_id": details.parent_id,
        "kind": details.kind,
        "direction": details.direction,
        "max_hold_ms": details.max_hold_ms,
        "rated_power_w": details.rated_power_w,
        "silent_after_ms": details.silent_after_ms,
        "search_key": search_key(details),
        "version": device.version,
        "created_at_ms": device.created_at_ms,
        "retired_at_ms": device.retired_at_ms,
        "erased": device.erased,
    }


def _device(row: Row[Any], assignments: tuple[Assignment, ...]) -> Device:
    return Device(
        id=row.id,
        version=row.version,
        details=DeviceDetails(
            name=row.name,
            type=row.type,
            location=row.location,
            user_id=row.user_id,
            kind=row.kind,
            direction=row.direction,
            max_hold_ms=row.max_hold_ms,
            rated_power_w=row.rated_power_w,
            parent_id=row.parent_id,
            silent_after_ms=row.silent_after_ms,
        ),
        assignments=assignments,
        created_at_ms=row.created_at_ms,
        retired_at_ms=row.retired_at_ms,
        erased=row.erased,
    )
