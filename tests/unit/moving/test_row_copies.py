"""Tables copied from one database into another, with their keys and versions; and what differs is found."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.relational import ON_SERVERS, any_engine, relational_engine

from energy_tracker.services.alert.adapters.tables import ALERT
from energy_tracker.services.device.adapters import sql as devices
from energy_tracker.storage.row_copies import TableSameness, compare_table, copy_tables
from energy_tracker.storage.sql import read_transaction, write_transaction

TABLES = (devices.DEVICES, devices.ASSIGNMENTS)
MANY = 1_203


def device(number: int) -> dict[str, object]:
    """A device; ids have gaps, and its versions are not in the order of ids."""
    return {
        "id": 3 * number,
        "name": f"Kühlschrank \N{SNOWFLAKE}\N{PENGUIN} {number}",
        "type": "MISC",
        "location": "",
        "user_id": 1 + number % 7,
        "parent_id": None if number % 2 else 3,
        "kind": "power",
        "direction": "import",
        "max_hold_ms": 300_000,
        "rated_power_w": None if number % 3 else 0.1 + number / 3,
        "silent_after_ms": None,
        "search_key": "kühlschrank",
        "version": 5 * MANY - number,
        "created_at_ms": 1_780_272_000_000 + number,
        "retired_at_ms": None,
        "erased": number % 5 == 0,
    }


def assignment(number: int, position: int) -> dict[str, object]:
    return {"device_id": 3 * number, "position": position, "from_ms": None, "user_id": 1, "parent_id": None}


ALERTS = [
    {
        "id": f"{number:024x}",
        "user_id": 1,
        "sent": bool(number % 2),
        "created_at": datetime(2026, 6, 1, 12, 0, 0, 123_456 + number),  # noqa: DTZ001 - as the column has it
        "version": 2,
        "rule_name": "high-usage",
        "device_id": None,
        "opened_at_ms": 1_780_272_000_000,
        "ended_at_ms": None,
        "acknowledged_at_ms": None,
        "message": 'a text, "quoted" \\ and\nbroken',
        "threshold_kwh": 2.3,
        "energy_consumed_kwh": 2.1000000000000001 + number * 1e-13,
    }
    for number in range(3)
]


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A database with some rows."""
    (tmp_path / "source").mkdir()
    async with relational_engine(tmp_path / "source") as engine:
        async with write_transaction(engine) as connection:
            await connection.execute(sa.insert(devices.DEVICES), [device(number) for number in range(1, MANY + 1)])
            rows = [assignment(number, place) for number in range(1, MANY + 1) for place in range(number % 3)]
            await connection.execute(sa.insert(devices.ASSIGNMENTS), rows)
            await connection.execute(sa.update(devices.COUNTER).values(version=5 * MANY))
            await connection.execute(sa.insert(ALERT), ALERTS)
        yield engine


@pytest.fixture(params=["sqlite", *ON_SERVERS])
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty one."""
    async with any_engine(request, tmp_path) as engine:
        yield engine


async def test_rows_are_the_same_afterwards(source: AsyncEngine, target: AsyncEngine) -> None:
    assert await copy_tables(source, target, TABLES, counter=devices.COUNTER)
    assert await copy_tables(source, target, (ALERT,))
    for table in (*TABLES, devices.COUNTER, ALERT):
        compared = await compare_table(source, target, table)
        assert compared.same, compared
        assert compared.source == compared.target > 0
    assert (await compare_table(source, target, devices.DEVICES)).source == MANY


async def test_the_next_id_is_above_those_that_came(source: AsyncEngine, target: AsyncEngine) -> None:
    await copy_tables(source, target, TABLES, counter=devices.COUNTER)
    new = {**device(1), "version": 5 * MANY + 1}
    del new["id"]
    async with write_transaction(target) as connection:
        made = await connection.execute(sa.insert(devices.DEVICES).values(new))
    assert made.inserted_primary_key is not None
    assert made.inserted_primary_key[0] == 3 * MANY + 1


async def test_a_table_that_is_not_empty_is_left_alone(source: AsyncEngine, target: AsyncEngine) -> None:
    async with write_transaction(target) as connection:
        await connection.execute(sa.insert(devices.DEVICES), [device(1), {**device(2), "id": 7}])
    assert not await copy_tables(source, target, TABLES, counter=devices.COUNTER)
    async with read_transaction(target) as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(devices.ASSIGNMENTS)) == 0
        assert await connection.scalar(sa.select(devices.COUNTER.c.version)) == 0
    # Device 7 is missing there; all but device 3 are missing here.
    assert await compare_table(source, target, devices.DEVICES) == TableSameness("device", MANY, 2, MANY)


async def test_one_value_that_differs_is_found(source: AsyncEngine, target: AsyncEngine) -> None:
    await copy_tables(source, target, TABLES, counter=devices.COUNTER)
    await copy_tables(source, target, (ALERT,))
    async with write_transaction(target) as connection:
        await connection.execute(
            sa.update(devices.DEVICES).where(devices.DEVICES.c.id == 3 * MANY).values(name="other")
        )
        await connection.execute(sa.delete(devices.ASSIGNMENTS).where(devices.ASSIGNMENTS.c.device_id == 6))
        await connection.execute(sa.update(ALERT).where(ALERT.c.id == ALERTS[2]["id"]).values(sent=True))
    assert (await compare_table(source, target, devices.DEVICES)).differing == 1
    assert (await compare_table(source, target, devices.ASSIGNMENTS)).differing == 2
    assert (await compare_table(source, target, ALERT)).differing == 1
