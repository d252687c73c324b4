"""What every store of readings answers: sums of quarter-hours, raw readings in pages, holdings."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.clock import VirtualClock
from tests.support.usage import KnownHomes, Usage, usage_on
from tests.support.usage_influx import usage_on_influx
from tests.support.usage_queries import at, interval

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.kit.instants import MS_PER_MINUTE, MS_PER_QUARTER_HOUR
from energy_tracker.kit.quantities import kwh_to_millijoules
from energy_tracker.services.usage.adapters.memory import MemoryReadings
from energy_tracker.services.usage.model.ledger import Holdings
from energy_tracker.services.usage.model.readings import DeviceRules, Reading
from energy_tracker.services.usage.model.rollups import BucketSum
from energy_tracker.services.usage.ports import ReadingCursor, ReadingQueries

BEGIN = at("2026-02-01T00:00")
POWER, REGISTER, INTERVAL, EXPORT = 1, 2, 3, 4
RULES = {
    POWER: DeviceRules("power"),
    REGISTER: DeviceRules("register"),
    INTERVAL: DeviceRules("interval"),
    EXPORT: DeviceRules("interval", "export"),
}


class Store(Protocol):
    """A store under test, and how readings come into it."""

    queries: ReadingQueries

    async def record(self, readings: Sequence[Reading]) -> None:
        """Store readings of the devices of `RULES`."""


class InMemory:
    def __init__(self) -> None:
        self.queries = MemoryReadings(RULES)

    async def record(self, readings):
        self.queries.append(readings)


class InStore:
    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self.queries = usage.store

    async def record(self, readings):
        await self.usage.record(readings)


def registry() -> KnownHomes:
    devices = (
        DirectoryDevice(
            id=device_id,
            version=1,
            user_id=7,
            kind=rules.kind,
            direction=rules.direction,
            max_hold_ms=rules.max_hold_ms,
        )
        for device_id, rules in RULES.items()
    )
    return KnownHomes().add(DirectoryUser(id=7, version=1), *devices)


@asynccontextmanager
async def in_sqlite(folder: Path) -> AsyncIterator[InStore]:
    async with usage_on(folder, registry(), VirtualClock()) as usage:
        yield InStore(usage)


@asynccontextmanager
async def in_influx(*, is_real: bool = False) -> AsyncIterator[InStore]:
    async with usage_on_influx(registry(), VirtualClock(), is_real=is_real) as usage:
        yield InStore(usage)


@pytest.fixture(
    params=["memory", "sqlite", "influx", pytest.param("real influx", marks=pytest.mark.servers("ENERGY_TEST_INFLUX"))]
)
async def store(request, tmp_path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield InMemory()
    elif request.param == "sqlite":
        async with in_sqlite(tmp_path) as opened:
            yield opened
    else:
        async with in_influx(is_real=request.param == "real influx") as opened:
            yield opened


async def sums(store: Store, boundaries: Sequence[int], devices=tuple(RULES)) -> list[BucketSum]:
    """Return the sums in one order, without those of nothing."""
    rows = await store.queries.bucket_sums(device_ids=devices, boundaries_ms=boundaries)
    return sorted(row for row in rows if any(row[4:]))


async def raw(store: Store, *, start=0, end=2**50, devices=tuple(RULES), after=None, limit=100):
    found = await store.queries.readings(device_ids=devices, from_ms=start, to_ms=end, after=after, limit=limit)
    return list(found)


async def test_nothing_is_answered_by_nothing(store):
    assert await sums(store, [BEGIN, BEGIN + MS_PER_QUARTER_HOUR]) == []
    assert await raw(store) == []
    assert await raw(store, devices=()) == []
    assert await sums(store, [BEGIN, BEGIN + MS_PER_QUARTER_HOUR], devices=()) == []


async def test_sums_fall_into_half_open_buckets_of_any_length(store):
    await store.record(
        [
            interval(INTERVAL, "2026-02-01T01:00", 4.0, since="2026-02-01T00:00"),
            interval(EXPORT, "2026-02-01T00:30", 1.0, since="2026-02-01T00:15"),
        ]
    )
    quarter = MS_PER_QUARTER_HOUR
    boundaries = [
        BEGIN - 96 * quarter,
        BEGIN,
        BEGIN + quarter,
        BEGIN + 3 * quarter,
        BEGIN + 4 * quarter,
        BEGIN + 99 * quarter,
    ]
    assert await sums(store, boundaries) == [
        BucketSum(INTERVAL, 1, "import", "", kwh_to_millijoules(1), 0, quarter),
        BucketSum(INTERVAL, 2, "import", "", kwh_to_millijoules(2), 0, 2 * quarter),
        BucketSum(INTERVAL, 3, "import", "", kwh_to_millijoules(1), 0, quarter),
        BucketSum(EXPORT, 2, "export", "", kwh_to_millijoules(1), 0, quarter),
    ]
    assert [row.device_id for row in await sums(store, boundaries, devices=(EXPORT,))] == [EXPORT]
    assert await sums(store, boundaries[:2]) == []


async def test_what_is_spread_over_more_than_an_hour_is_estimated(store):
    await store.record([interval(INTERVAL, "2026-02-01T02:00", 8.0, since="2026-02-01T00:00")])
    (row,) = await sums(store, [BEGIN, BEGIN + 4 * MS_PER_QUARTER_HOUR])
    assert (row.energy_mj, row.estimated_mj) == (kwh_to_millijoules(4), kwh_to_millijoules(4))


async def test_directions_and_channels_are_apart(store):
    since = "2026-02-01T00:00"
    await store.record(
        [
            interval(INTERVAL, "2026-02-01T00:15", 1.0, since=since, channel="a"),
            interval(INTERVAL, "2026-02-01T00:15", 2.0, since=since, channel="b"),
            interval(INTERVAL, "2026-02-01T00:15", 3.0, since=since, channel="b", direction="export"),
        ]
    )
    found = await sums(store, [BEGIN, BEGIN + MS_PER_QUARTER_HOUR])
    assert [(row.direction, row.channel, row.energy_mj) for row in found] == [
        ("export", "b", kwh_to_millijoules(3)),
        ("import", "a", kwh_to_millijoules(1)),
        ("import", "b", kwh_to_millijoules(2)),
    ]


async def test_readings_come_in_order_of_time_device_and_key(store):
    await store.record(
        interval(device, BEGIN + minute * MS_PER_MINUTE, 1.0, key=f"{key}-{device}-{minute}")
        for minute in (2, 1)
        for device in (EXPORT, INTERVAL)
        for key in "zay"
    )
    found = await raw(store)
    places = [ReadingCursor(reading.time_ms, reading.device_id, reading.key) for reading in found]
    assert len(places) == 12
    assert places == sorted(places)
    for number, place in enumerate(places):
        assert await raw(store, after=place, limit=5) == found[number + 1 : number + 6]


async def test_readings_are_of_a_half_open_range(store):
    await store.record(interval(INTERVAL, BEGIN + minute, 1.0) for minute in range(4))
    found = await raw(store, start=BEGIN + 1, end=BEGIN + 3)
    assert [reading.time_ms - BEGIN for reading in found] == [1, 2]
    before, behind = ReadingCursor(BEGIN - 9, INTERVAL, b""), ReadingCursor(BEGIN + 9, INTERVAL, b"")
    assert await raw(store, start=BEGIN + 1, end=BEGIN + 3, after=before) == found
    assert await raw(store, start=BEGIN + 1, end=BEGIN + 3, after=behind) == []


def without_source(readings):
    return [msgspec.structs.replace(reading, source=None) for reading in readings]


async def test_readings_come_back_as_they_were(store):
    sent = [
        interval(
            INTERVAL, "2026-02-01T00:15", 0.1, since="2026-02-01T00:00", direction="export", key="mine", channel="L1"
        ),
        Reading(POWER, BEGIN + 1, b"a", "power", 12.5, received_ms=BEGIN + 2),
        Reading(REGISTER, BEGIN + 1, b"b", "register", 1e6 + 0.1, received_ms=BEGIN + 2),
    ]
    await store.record(sent)
    assert {reading.key: reading for reading in without_source(await raw(store))} == {each.key: each for each in sent}


async def test_a_home_of_many_devices_is_one_question(store):
    await store.record([interval(INTERVAL, BEGIN + 1, 1.0)])
    devices = range(1, 1_001)
    assert len(await raw(store, devices=devices)) == 1
    assert len(await sums(store, [BEGIN, BEGIN + MS_PER_QUARTER_HOUR], devices=devices)) == 1


def totals(holdings: Holdings) -> tuple[int, int, int, int]:
    return holdings.stored, holdings.dead_lettered, holdings.repeated, holdings.parked


async def test_holdings_count_what_is_stored_and_what_came_again(store):
    first, second = interval(INTERVAL, BEGIN, 1.0), interval(INTERVAL, BEGIN + 1, 1.0)
    await store.record([first])
    before = await store.queries.holdings()
    await store.record([second, first])
    after = await store.queries.holdings()
    assert totals(before) == (1, 0, 0, 0)
    assert totals(after) == (2, 0, 1, 0)
    assert max(after.positions.values()) > max(before.positions.values())


drawn_readings = st.lists(
    st.builds(
        lambda device, minute, amount, number: Reading(
            device,
            BEGIN + minute * MS_PER_MINUTE,
            b"%d" % number,
            RULES[device].kind,
            float(amount),
            received_ms=BEGIN,
        ),
        st.sampled_from(list(RULES)),
        st.integers(0, 60 * 24 * 3),
        st.integers(0, 3_000),
        st.integers(0, 50),
    ),
    max_size=30,
    unique_by=lambda reading: (reading.device_id, reading.key),
)


drawn_quarters = st.lists(st.integers(-2, 4 * 24 * 3 + 4), min_size=2, max_size=9, unique=True)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn_readings, drawn_quarters, st.integers(1, 4))
async def test_a_store_answers_what_the_fold_over_memory_does(readings, quarters, turns):
    boundaries = [BEGIN + quarter * MS_PER_QUARTER_HOUR for quarter in sorted(quarters)]
    memory = InMemory()
    await memory.record(readings)
    with TemporaryDirectory() as folder:
        for opening in (in_sqlite(Path(folder)), in_influx()):
            async with opening as opened:
                await compare(opened, memory, [readings[turn::turns] for turn in range(turns)], boundaries)


@pytest.mark.servers("ENERGY_TEST_INFLUX")
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn_readings, drawn_quarters, st.integers(1, 4))
async def test_influx_answers_what_the_fold_over_memory_does(readings, quarters, turns):
    boundaries = [BEGIN + quarter * MS_PER_QUARTER_HOUR for quarter in sorted(quarters)]
    memory = InMemory()
    await memory.record(readings)
    async with in_influx(is_real=True) as opened:
        await compare(opened, memory, [readings[turn::turns] for turn in range(turns)], boundaries)


async def compare(opened: Store, memory: Store, parts: Sequence[Sequence[Reading]], boundaries: Sequence[int]) -> None:
    """Record readings in parts, and compare what is answered with what memory does."""
    for part in filter(None, parts):
        await opened.record(part)
    found = await sums(opened, boundaries)
    assert found == await sums(memory, boundaries)
    assert without_source(await raw(opened)) == without_source(await raw(memory))
    whole = await sums(opened, [boundaries[0], boundaries[-1]])
    assert sum(row.energy_mj for row in found) == sum(row.energy_mj for row in whole)
    lengths = [end - start for start, end in pairwise(boundaries)]
    assert all(0 <= row.covered_ms <= lengths[row.bucket] for row in found)
