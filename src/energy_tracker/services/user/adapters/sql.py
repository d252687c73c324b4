"""Users in a relational database: SQLite, MySQL or MariaDB."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    MetaData,
    Row,
    String,
    Table,
    Text,
    exc,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from energy_tracker.services.user.model import User, UserDetails, email_key, search_key
from energy_tracker.services.user.ports import EmailAlreadyInUse
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
USERS = Table(
    "user",
    METADATA,
    Column("id", IDENTITY, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("surname", String(200), nullable=False),
    Column("email", String(254), nullable=False),
    Column("address", String(500), nullable=False),
    Column("alerting", Boolean, nullable=False),
    Column("energy_alerting_threshold", Double),
    Column("time_zone", String(64), nullable=False),
    Column("email_key", String(762), unique=True),  # null in a tombstone, whose address is free again
    Column("search_key", Text, nullable=False),
    Column("version", BigInteger, nullable=False, unique=True),
    Column("deleted_at_ms", BigInteger),
)
COUNTER = version_counter("user", METADATA)


class SqlUserChange:
    """A change within one transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find(self, user_id: int) -> User | None:
        """Return the user or the tombstone with this id."""
        return await _find(self._connection, user_id)

    async def add(self, details: UserDetails) -> User:
        """Store a new user under a new id and version. Raises `EmailAlreadyInUse`."""
        version = await next_version(self._connection, COUNTER)
        statement = insert(USERS).values(**_columns(details, None), version=version, deleted_at_ms=None)
        try:
            result = await self._connection.execute(statement)
        except exc.IntegrityError:
            raise EmailAlreadyInUse from None
        return User(id=inserted_id(result), version=version, details=details)

    async def save(self, user: User) -> User:
        """Store a changed user under a new version. Raises `EmailAlreadyInUse`."""
        version = await next_version(self._connection, COUNTER)
        columns = _columns(user.details, user.deleted_at_ms)
        statement = update(USERS).where(USERS.c.id == user.id)
        try:
            await self._connection.execute(
                statement.values(**columns, version=version, deleted_at_ms=user.deleted_at_ms)
            )
        except exc.IntegrityError:
            raise EmailAlreadyInUse from None
        return User(id=user.id, version=version, details=user.details, deleted_at_ms=user.deleted_at_ms)


class SqlUserRepository:
    """The users in the tables `user` and `user_counter`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def change(self) -> AsyncIterator[SqlUserChange]:
        """Begin a change, which is durable once the block ends, and undone when it raises."""
        async with change_in_turn(self._engine, COUNTER) as connection:
            yield SqlUserChange(connection)

    @repeated
    async def find(self, user_id: int) -> User | None:
        """Return the user or the tombstone with this id."""
        async with read_transaction(self._engine) as connection:
            return await _find(connection, user_id)

    @repeated
    async def page(self, *, after_id: int, limit: int, text: str) -> Sequence[User]:
        """Return at most `limit` users above an id, in its order, whose search key holds `text` (already folded)."""
        statement = select(USERS).where(USERS.c.id > after_id, USERS.c.deleted_at_ms.is_(None))
        if text:
            statement = statement.where(USERS.c.search_key.contains(text, autoescape=True))
        async with read_transaction(self._engine) as connection:
            rows = await connection.execute(statement.order_by(USERS.c.id).limit(limit))
            return [_user(row) for row in rows]

    @repeated
    async def changes(self, *, after: int, limit: int) -> tuple[Sequence[User], int]:
        """Return at most `limit` users and tombstones above a version, in its order, and the newest version of all."""
        statement = select(USERS).where(USERS.c.version > after).order_by(USERS.c.version).limit(limit)
        async with read_transaction(self._engine) as connection:
            newest = await newest_version(connection, COUNTER)
            if newest <= after:
                return [], newest
            return [_user(row) for row in await connection.execute(statement)], newest


async def _find(connection: AsyncConnection, user_id: int) -> User | None:
    row = (await connection.execute(select(USERS).where(USERS.c.id == user_id))).first()
    return None if row is None else _user(row)


def _columns(details: UserDetails, deleted_at_ms: int | None) -> dict[str, object]:
    return {
        "name": details.name,
        "surname": details.surname,
        "email": details.email,
        "address": details.address,
        "alerting": details.alerting,
        "energy_alerting_threshold": details.energy_alerting_threshold_kwh,
        "time_zone": details.time_zone,
        "email_key": None if deleted_at_ms is not None else email_key(details.email),
        "search_key": search_key(details),
    }


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        version=row.version,
        details=UserDetails(
            name=row.name,
            surname=row.surname,
            email=row.email,
            address=row.address,
            alerting=row.alerting,
            energy_alerting_threshold_kwh=row.energy_alerting_threshold,
            time_zone=row.time_zone,
        ),
        deleted_at_ms=row.deleted_at_ms,
    )
