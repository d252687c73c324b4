"""Recording through the real store: rules that change, late devices, explanations, and counts that stay exact."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.clock import VirtualClock
from tests.support.energy import DAY, HOUR, KWH, MINUTE, QUARTER, T0_MS, reading, registers
from tests.support.usage import KnownHomes, Usage, dump, usage_on

from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.eventlog.dead_letter import replay_dead_letters
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.eventlog.port import Message, Record
from energy_tracker.kit.principal import LOCAL
from energy_tracker.services.usage.adapters.sqlite_schema import prepare
from energy_tracker.services.usage.explain import ExplainService
from energy_tracker.services.usage.model.ledger import Holdings, Intake
from energy_tracker.services.usage.model.readings import Direction, Kind, Reading
from energy_tracker.services.usage.ports import Recorded
from energy_tracker.services.usage.queries import QueryService

SPAN = (T0_MS - DAY, T0_MS + 3 * DAY)
PLUG = DirectoryDevice(id=1, version=1, user_id=1, kind="power", assignments=(Assignment(user_id=1),))


def using(homes: KnownHomes, scenario: Callable[[Usage], Awaitable[None]]) -> dict[str, list[tuple[object, ...]]]:
    """Run a scenario on a store of its own; return what is in it at the end."""

    async def run() -> dict[str, list[tuple[object, ...]]]:
        with tempfile.TemporaryDirectory() as folder:
            async with usage_on(Path(folder), homes, VirtualClock()) as usage:
                await scenario(usage)
            return dump(Path(folder))

    return asyncio.run(run())


class NothingTaken:
    """An ingestion-service that took nothing."""

    async def intake(self, *, after: int) -> Intake:
        return Intake(received=after, accepted=after, duplicate=0, rejected=0, queued=0)


async def energy_mj(usage: Usage, device_id: int = 1) -> int:
    sums = await usage.store.bucket_sums(device_ids=[device_id], boundaries_ms=SPAN)
    return sum(one.energy_mj * (1 if one.direction == "import" else -1) for one in sums)


async def holdings(usage: Usage) -> tuple[int, int, int, int]:
    """Stored, dead-lettered, repeated, parked."""
    found: Holdings = await usage.store.holdings()
    return found.stored, found.dead_lettered, found.repeated, found.parked


def test_rules_that_change_derive_history_again() -> None:
    homes = KnownHomes().add(PLUG)
    powers = [reading("power", number * 20 * MINUTE, 600.0) for number in range(4)]

    async def scenario(usage: Usage) -> None:
        await usage.record(powers[:3])
        assert await energy_mj(usage) == 3 * 600 * 5 * MINUTE
        homes.add(replace(PLUG, max_hold_ms=MINUTE))
        await usage.service.follow_registry(device_ids=[1])
        assert await energy_mj(usage) == 3 * 600 * MINUTE
        homes.add(replace(PLUG, max_hold_ms=HOUR))
        await usage.record(powers[3:])
        assert await energy_mj(usage) == 600 * (60 * MINUTE + HOUR)
        homes.add(replace(PLUG, max_hold_ms=HOUR, direction="export"))
        await usage.service.follow_registry(device_ids=[1])
        assert await energy_mj(usage) == -600 * (60 * MINUTE + HOUR)

    using(homes, scenario)


def test_rated_power_that_changes_judges_the_register_again() -> None:
    meter = replace(PLUG, kind="register")
    homes = KnownHomes().add(meter)

    async def scenario(usage: Usage) -> None:
        await usage.record(registers(100, 100.1, 60, 60.1, every=HOUR))
        assert await energy_mj(usage) == round(0.2 * KWH)
        homes.add(replace(meter, rated_power_w=100_000.0))
        await usage.service.follow_registry(device_ids=[1])
        assert await energy_mj(usage) == round(60.2 * KWH)

    using(homes, scenario)


def test_a_kind_that_comes_later_or_is_declared_later_counts_alone() -> None:
    homes = KnownHomes().add(replace(PLUG, kind="interval"))

    async def scenario(usage: Usage) -> None:
        await usage.record([reading("power", number * MINUTE, 600.0) for number in range(3)])
        assert await energy_mj(usage) == 600 * 7 * MINUTE
        await usage.record(registers(5, 5.5))
        assert await energy_mj(usage) == KWH // 2
        homes.add(PLUG)
        await usage.service.follow_registry(device_ids=[1])
        assert await energy_mj(usage) == 600 * 7 * MINUTE

    using(homes, scenario)


def test_both_directions_and_channels_of_a_device_are_derived_apart() -> None:
    homes = KnownHomes().add(replace(PLUG, kind="register"))
    streams: list[tuple[float, float, Direction | None, str]] = [
        (100, 0.1, None, ""),
        (7_000, 0.2, "export", ""),
        (3, 0.3, "import", "b"),
    ]
    both = [
        reading("register", number * MINUTE, base + number * rise, direction=direction, channel=channel)
        for base, rise, direction, channel in streams
        for number in range(3)
    ]

    async def scenario(usage: Usage) -> None:
        await usage.record(both)
        sums = await usage.store.bucket_sums(device_ids=[1], boundaries_ms=SPAN)
        found = {(one.direction, one.channel): one.energy_mj for one in sums}
        assert found == {
            ("import", ""): round(0.2 * KWH),
            ("export", ""): round(0.4 * KWH),
            ("import", "b"): round(0.6 * KWH),
        }

    using(homes, scenario)


def test_readings_wait_for_their_device_and_count_as_if_it_had_been_there() -> None:
    homes = KnownHomes()

    async def waiting(usage: Usage) -> None:
        await usage.record(registers(100, 100.1))
        await usage.record(registers(100, 100.1, 100.3))
        assert await holdings(usage) == (0, 0, 0, 5)
        homes.add(replace(PLUG, kind="register"))
        await usage.service.follow_registry(device_ids=[1])
        assert await holdings(usage) == (3, 0, 2, 0)
        assert await energy_mj(usage) == round(0.3 * KWH)

    async def known(usage: Usage) -> None:
        await usage.record(registers(100, 100.1, 100.3))

    assert using(homes, waiting) == using(KnownHomes().add(replace(PLUG, kind="register")), known)


def test_patience_ends_and_an_erased_device_keeps_nothing() -> None:
    homes = KnownHomes().add(PLUG)

    async def scenario(usage: Usage) -> None:
        await usage.record([reading("power", 0, 5.0), reading("power", 0, 5.0, device_id=9)])
        assert await holdings(usage) == (1, 0, 0, 1)
        usage.service.patience_ms = -1
        await usage.service.check(caught_up=False)
        assert await holdings(usage) == (1, 1, 0, 0)
        homes.add(replace(PLUG, erased=True))
        await usage.service.follow_registry(device_ids=[1])
        await usage.record([reading("power", MINUTE, 5.0)])
        assert (await holdings(usage))[1:] == (2, 0, 0)
        assert await energy_mj(usage) == 0

    assert not any(using(homes, scenario).values())


def test_one_identity_on_two_channels_is_a_conflict_and_stops_nothing() -> None:
    homes = KnownHomes().add(PLUG)

    async def scenario(usage: Usage) -> None:
        await usage.record([replace(reading("power", HOUR, 5.0, channel="a"), given_key=b"same")])
        await usage.record([reading("power", 0, 5.0, channel="b")])
        await usage.record([replace(reading("power", HOUR, 5.0, channel="b"), given_key=b"same")])
        assert await holdings(usage) == (2, 1, 0, 0)

    using(homes, scenario)


async def test_a_dead_letter_that_is_replayed_leaves_the_dead_letters(tmp_path: Path) -> None:
    homes, log = KnownHomes(), MemoryEventLog(clock=VirtualClock())
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        await usage.record([*registers(5, 6), reading("power", 0, -1.0)])
        usage.service.patience_ms = -1
        await usage.service.check(caught_up=False)
        assert await holdings(usage) == (0, 3, 0, 0)
        for _, news in await usage.store.outgoing(limit=10):
            await log.append(news.topic, [Message(news.key, news.value, news.headers, news.readings)])
        homes.add(replace(PLUG, kind="register"))
        for _ in range(2):
            assert await replay_dead_letters(log, "energy-usage", offsets=[1, 2, 3]) == 3
            records = await log.read("energy-usage", after=0, limit=10)
            assert sum(record.readings for record in records) == 0
            usage.offset += len(records)
            moved = [replace_offset(record, usage.offset - len(records) + n + 1) for n, record in enumerate(records)]
            await usage.service.record_readings(records=moved)
            assert await holdings(usage) == (2, 1, 0, 0)


def replace_offset(record: Record, offset: int) -> Record:
    return msgspec.structs.replace(record, offset=offset)


GOOD = {"deviceId": 1, "timestamp": "2026-06-01T00:00:00Z", "powerW": 60}
BAD: list[object] = [
    {**GOOD, "powerW": -1},
    {**GOOD, "registerKwh": 1},
    {**GOOD, "timestamp": "1970-01-01T00:00:00Z"},
    {**GOOD, "timestamp": "2026-06-01T00:00:00"},
    {**GOOD, "deviceId": None},
    {**GOOD, "since": "2026-05-31T23:00:00Z"},
    {"deviceId": 1, "timestamp": "2026-06-01T00:00:00Z", "energyConsumed": -0.5},
    {**GOOD, "eventId": ""},
    None,
    [],
    "text",
]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["good", "again", "other", "bad"]), min_size=1, max_size=12), st.integers(1, 4))
def test_every_reading_is_counted_once_somewhere(parts: list[str], size: int) -> None:
    homes = KnownHomes().add(PLUG)
    wanted = {"good": 0, "again": 0, "other": 0, "bad": 0}
    items: list[object] = [{**GOOD, "eventId": "first"}]
    for number, part in enumerate(parts):
        wanted[part] += 1
        if part == "good":
            items.append({**GOOD, "eventId": f"id-{number}"})
        elif part == "again":
            items.append(items[0])
        elif part == "other":
            items.append({**GOOD, "eventId": "first", "powerW": 61})
        else:
            items.append(BAD[number % len(BAD)])

    async def scenario(usage: Usage) -> None:
        for start in range(0, len(items), size):
            usage.offset += 1
            value = msgspec.json.encode(items[start : start + size])
            record = Record("energy-usage", 0, usage.offset, None, value, {}, usage.clock.now_ms())
            await usage.service.record_readings(records=[record])
        expected = (1 + wanted["good"], wanted["other"] + wanted["bad"], wanted["again"], 0)
        assert await holdings(usage) == expected
        buried = await usage.store.outgoing(limit=100)
        assert sum(news.readings for _, news in buried) == wanted["other"] + wanted["bad"]

    using(homes, scenario)


@st.composite
def mixed(draw: st.DrawFn) -> list[Reading]:
    kind: Kind = draw(st.sampled_from(["interval", "register", "power"]))
    found = {}
    for number in draw(st.lists(st.integers(0, 300), min_size=1, max_size=25)):
        at_ms = number * 7 * MINUTE + draw(st.sampled_from([0, 0, 1, 31_007]))
        since = at_ms - 100 * MINUTE if kind == "interval" and draw(st.booleans()) else None
        amount = draw(st.sampled_from([0.0, 0.004, 0.3, 5.0, 5.2, 400.0, 9_999.9]))
        one = reading(kind, at_ms, amount, since=since, direction=draw(st.sampled_from([None, "export"])))
        found[one.time_ms, one.key] = one
    return list(found.values())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mixed(), st.lists(st.integers(-100, 250), min_size=2, max_size=2, unique=True))
def test_an_explanation_adds_up_to_the_figure(readings: list[Reading], quarters: list[int]) -> None:
    from_ms, to_ms = (T0_MS + quarter * QUARTER for quarter in sorted(quarters))
    explained_as_stored(readings, from_ms, to_ms)


@pytest.mark.parametrize(
    "readings",
    [
        pytest.param(registers(100, 0.5, 0.6, 0.7, every=2 * QUARTER), id="a fall that is judged after the span"),
        pytest.param(
            [
                reading("interval", number * QUARTER, 0.4, since=since)
                for number, since in ((1, 0), (2, QUARTER), (6, 0))
            ],
            id="an interval that reaches back from after the span",
        ),
    ],
)
def test_an_explanation_looks_behind_its_span(readings: list[Reading]) -> None:
    assert explained_as_stored(readings, T0_MS, T0_MS + QUARTER) > 0


def explained_as_stored(readings: list[Reading], from_ms: int, to_ms: int) -> int:
    """Record readings, explain a span, and compare the receipt with the figure; return the energy in mJ."""
    homes = KnownHomes().add(DirectoryUser(id=1, version=1), replace(PLUG, kind=readings[0].kind))
    figures: list[int] = []

    async def scenario(usage: Usage) -> None:
        await usage.record(readings)
        queries = QueryService(store=usage.store, directory=homes, intake=NothingTaken(), clock=usage.clock)  # type: ignore[arg-type]  # nobody asks it to refresh
        explain = ExplainService(usage.store, queries)
        answer = await explain.explain(principal=LOCAL, user_id=1, device_id=1, from_ms=from_ms, to_ms=to_ms)
        sums = await usage.store.bucket_sums(device_ids=[1], boundaries_ms=[from_ms, to_ms])
        for direction in ("import", "export"):
            figure = sum(one.energy_mj for one in sums if one.direction == direction)
            receipt = [step.within_mj for s in answer.streams if s.direction == direction for step in s.steps]
            assert sum(receipt) == figure
            figures.append(figure)

    using(homes, scenario)
    return sum(figures)


async def test_a_file_of_the_first_release_gets_the_tables_that_came_later(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "readings.db"))
    prepare(connection)
    connection.execute("DROP TABLE detector")
    connection.pragma("user_version", 1)
    connection.close()
    async with usage_on(tmp_path, KnownHomes(), VirtualClock()) as usage:
        await usage.store.commit(Recorded(detectors={(1, 0): b"state"}))
        assert await usage.store.detectors(1) == {0: b"state"}
