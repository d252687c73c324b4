"""Copying tables from one database into another: rows stay as they are, with their keys and versions."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from energy_tracker.storage.sql import lock_versions, read_transaction, write_transaction
from energy_tracker.storage.whole_transactions import repeated

_AT_ONCE: Final = 500

Key = tuple[Any, ...]
Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class TableSameness:
    """How many rows a table has on both sides, and how many are missing on one side or differ."""

    table: str
    source: int
    target: int
    differing: int

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.differing


@repeated
async def copy_tables(
    source: AsyncEngine, target: AsyncEngine, tables: Sequence[Table], *, counter: Table | None = None
) -> bool:
    """Copy tables whose target is empty, all in one transaction; False, and nothing is done, where one is not empty.

    `counter` is the table of one row that counts the versions of these rows; it is set to the source's. Tables that
    others refer to come first. Raises what `storage.sql.write_transaction` does.
    """
    async with write_transaction(target) as connection:
        if counter is not None:
            await lock_versions(connection, counter)
        for table in tables:
            if await connection.scalar(select(func.count()).select_from(table)):
                return False
        for table in tables:
            await _fill(connection, source, table)
        if counter is not None:
            async with read_transaction(source) as reading:
                version = await reading.scalar(select(counter.c.version))
            await connection.execute(update(counter).values(version=version))
    return True


async def _fill(connection: AsyncConnection, source: AsyncEngine, table: Table) -> None:
    names = [column.name for column in table.columns]
    page: list[dict[str, Any]] = []
    async for _, values in _rows(source, table):
        page.append(dict(zip(names, values, strict=True)))
        if len(page) == _AT_ONCE:
            await connection.execute(insert(table), page)
            page = []
    if page:
        await connection.execute(insert(table), page)


async def compare_table(source: AsyncEngine, target: AsyncEngine, table: Table) -> TableSameness:
    """Compare all rows of a table, by their keys."""
    ours, theirs = _rows(source, table), _rows(target, table)
    here, there = await anext(ours, None), await anext(theirs, None)
    counts, differing = [0, 0], 0
    while here is not None or there is not None:
        takes_here = there is None or (here is not None and here[0] <= there[0])
        takes_there = here is None or (there is not None and there[0] <= here[0])
        differing += not (takes_here and takes_there and here == there)
        if takes_here:
            counts[0] += 1
            here = await anext(ours, None)
        if takes_there:
            counts[1] += 1
            there = await anext(theirs, None)
    return TableSameness(table.name, counts[0], counts[1], differing)


async def _rows(engine: AsyncEngine, table: Table) -> AsyncIterator[tuple[Key, Values]]:
    """Yield (key, values) of all rows in order of the key, by pages, so that no transaction stays open."""
    key = list(table.primary_key.columns)
    places = [list(table.columns).index(column) for column in key]
    after: Key | None = None
    while True:
        statement = select(table).order_by(*key).limit(_AT_ONCE)
        if after is not None:
            statement = statement.where(tuple_(*key) > tuple_(*after))
        async with read_transaction(engine) as connection:
            rows = [tuple(row) for row in await connection.execute(statement)]
        for row in rows:
            after = tuple(row[place] for place in places)
            yield after, row
        if len(rows) < _AT_ONCE:
            return
