"""usage-service on InfluxDB and Kafka, whatever happens: nothing is lost, and nothing is counted twice.

`ENERGY_TEST_SCHEDULES` is how many seeds are tried (150), `ENERGY_TEST_SEED` the first of them (0).
"""

import logging
import os
import random
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest
from tests.support.clock import START
from tests.support.usage_distributed import Trouble, World

from energy_tracker.contracts import topics
from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.ids import derived_event_key, event_key
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.adapters import influx
from energy_tracker.services.usage.adapters.flow_notes import Note
from energy_tracker.services.usage.adapters.flow_state import HomesState
from energy_tracker.services.usage.adapters.influx_queries import InfluxReadings
from energy_tracker.services.usage.adapters.memory import MemoryReadings
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.service import rules_of

SCHEDULES = int(os.environ.get("ENERGY_TEST_SCHEDULES", "150"))
FIRST_SEED = int(os.environ.get("ENERGY_TEST_SEED", "0"))
MISSED_WITHIN = 150
START_MS = round(START.timestamp() * 1000)
USERS = (1, 2, 3, 4)
DEVICES = {1: "interval", 2: "register", 3: "power", 4: "interval", 5: "register", 6: "power", 7: "interval"}
LATECOMERS = (6, 7)
NEVER = 9
"""A device that nobody registers."""
THRIFTY, METER = 5, 8
"""A home, and its device, that nobody changes: it uses too much once, and is to be warned once."""
TROUBLES = (
    Trouble(fails=0.05),
    Trouble(ends=0.03),
    Trouble(hangs=0.08),
    Trouble(fails=0.03, ends=0.02, hangs=0.05),
    Trouble(fails=0.02, hangs=0.15),
)


def user(number: int) -> DirectoryUser:
    return DirectoryUser(id=number, version=number, alerting=True, energy_alerting_threshold=0.5, email="a@example.org")


def device(number: int, **fields: object) -> DirectoryDevice:
    owner = USERS[number % len(USERS)]
    known: dict[str, object] = {"kind": DEVICES[number], "user_id": owner, "assignments": (Assignment(user_id=owner),)}
    return DirectoryDevice(id=number, version=number, created_at_ms=START_MS, **(known | fields))  # type: ignore[arg-type]  # as drawn


def meter() -> DirectoryDevice:
    return DirectoryDevice(id=METER, version=1, user_id=THRIFTY, assignments=(Assignment(user_id=THRIFTY),))


def any_reading(chance: random.Random, number: int) -> Reading:
    device_id = chance.choice((*DEVICES, *DEVICES, NEVER))
    kind = DEVICES.get(device_id, "interval")
    if chance.random() < 0.03:
        kind = chance.choice(("interval", "register", "power"))
    time_ms = START_MS - chance.randrange(0, 240) * MS_PER_MINUTE - chance.choice((0, 0, 0, 0, 3 * MS_PER_DAY))
    amount = {"interval": (0.0, 0.1, 0.7), "register": (5.0, 5.1, 6.0, 0.0), "power": (0.0, 60.0, 2_000.0)}[kind]
    direction = chance.choice((None, None, None, None, "import", "export"))
    since_ms = None
    if kind == "interval" and chance.random() < 0.3:
        since_ms = time_ms - chance.choice((1, 10, 45, 90, 1_500)) * MS_PER_MINUTE
    channel = chance.choice(("", "", "", "a b"))
    value = chance.choice(amount)
    key = event_key(f"id-{number}")
    if chance.random() < 0.7:
        since_us = None if since_ms is None else since_ms * 1000
        key = derived_event_key(
            device_id, time_ms * 1000, kind, direction or "import", value, since_us, channel or None
        )
    return Reading(device_id, time_ms, key, kind, value, direction, since_ms, START_MS, channel)  # type: ignore[arg-type]  # a kind and a direction


def too_much() -> list[Reading]:
    return [
        Reading(
            METER, START_MS - minutes * MS_PER_MINUTE, event_key(f"at-{minutes}"), "interval", kwh, received_ms=START_MS
        )
        for minutes, kwh in ((30, 0.1), (20, 0.9))
    ]


def conflicting(reading: Reading) -> Reading:
    return msgspec.structs.replace(reading, amount=reading.amount + 1, channel="")


def pool_of(chance: random.Random) -> list[Reading]:
    pool = [any_reading(chance, number) for number in range(chance.randint(5, 35))]
    pool += chance.choices(pool, k=chance.randint(0, 8))
    pool += [conflicting(each) for each in chance.choices(pool, k=chance.randint(0, 2)) if each.key[:3] == b"id-"]
    chance.shuffle(pool)
    if chance.random() < 0.4:
        pool.sort(key=lambda reading: reading.time_ms)
    return pool


def change_registry(world: World) -> None:
    """Let a device change hands, or its rules, or become known; or let it be erased."""
    chance, registry = world.chance, world.registry
    number = chance.choice(tuple(DEVICES))
    known = registry.all_devices.get(number)
    if known is None:
        registry.add(device(number))
    elif chance.random() < 0.5 and number not in LATECOMERS:
        owner = chance.choice(USERS)
        world.has_moved_devices = True
        registry.add(msgspec.structs.replace(known, user_id=owner, assignments=(Assignment(user_id=owner),)))
    elif chance.random() < 0.9:
        rules = chance.choice(
            (
                {"kind": "power"},
                {"kind": DEVICES[number]},
                {"max_hold_ms": 60_000},
                {"max_hold_ms": 3_600_000},
                {"direction": "export"},
                {"direction": "import"},
            )
        )
        registry.add(msgspec.structs.replace(known, **rules))
    elif chance.random() < 0.3:
        registry.add(msgspec.structs.replace(known, erased=True))


def send_some(world: World, pool: list[Reading]) -> None:
    """Send some readings of the pool, those of a device as one record; by its home's key, or by none that is known."""
    chance = world.chance
    size = chance.choice((1, 1, 2, 5))
    part, pool[:size] = pool[:size], []
    for device_id in sorted({reading.device_id for reading in part}):
        known = world.registry.all_devices.get(device_id)
        key = known.user_id if known else chance.choice(USERS)
        partition = chance.randrange(world.partitions) if chance.random() < 0.1 else None
        world.send(*(reading for reading in part if reading.device_id == device_id), key=key, partition=partition)


async def live(seed: int) -> World:
    chance = random.Random(seed)
    world = World(chance, partitions=chance.choice((1, 2, 3)), trouble=chance.choice(TROUBLES))
    world.registry.add(*map(user, USERS), *(device(number) for number in DEVICES if number not in LATECOMERS))
    world.registry.add(user(THRIFTY), meter())
    world.start(chance.choice((1, 2, 3)))
    pool, exceeding = pool_of(chance), too_much()
    while pool or exceeding:
        send_some(world, pool)
        if exceeding and chance.random() < 0.3:
            world.send(exceeding.pop(0), key=THRIFTY)
        if chance.random() < 0.2:
            change_registry(world)
        if chance.random() < 0.1:
            world.rebalance()
        for _ in range(chance.choice((0, 1, 1, 4))):
            await world.step(chance.choice(world.processes))
    world.registry.add(*(device(number) for number in LATECOMERS if number not in world.registry.all_devices))
    for _ in range(chance.choice((0, 10))):
        await world.step(chance.choice(world.processes))
    arrives_early = chance.random() < 0.5
    while arrives_early and world.under_way:
        await world.arrive()
    await world.rest()
    while world.under_way:
        await world.arrive()
    world.trouble = Trouble()
    return world


def first_of_each(readings: Sequence[Reading]) -> dict[tuple[int, int, bytes], list[Reading]]:
    found: dict[tuple[int, int, bytes], list[Reading]] = {}
    for reading in readings:
        found.setdefault(reading.identity, []).append(msgspec.structs.replace(reading, source=None))
    return found


async def check(world: World) -> None:
    """Check what is left against all that was accepted."""
    devices = {number: each for number, each in world.registry.all_devices.items() if not each.erased}
    by_identity = first_of_each(world.accepted)
    queries = InfluxReadings(world.influx)  # type: ignore[arg-type]  # stands for it
    stored = await queries.readings(device_ids=sorted(devices), from_ms=0, to_ms=2**41, after=None, limit=10_000)
    found = [msgspec.structs.replace(reading, source=None) for reading in stored]
    wanted = {identity for identity in by_identity if identity[0] in devices}
    assert Counter(reading.identity for reading in found) == Counter(wanted)
    assert all(reading in by_identity[reading.identity] for reading in found)
    memory = MemoryReadings({number: rules_of(each) for number, each in devices.items()})
    memory.append(found)
    first = START_MS - 6 * MS_PER_DAY
    boundaries = [first + number * MS_PER_QUARTER_HOUR for number in range(7 * 96)]
    sums = await world.processes[0].store.bucket_sums(device_ids=sorted(devices), boundaries_ms=boundaries)
    expected = await memory.bucket_sums(device_ids=sorted(devices), boundaries_ms=boundaries)
    assert sorted(row for row in sums if any(row[4:])) == sorted(row for row in expected if any(row[4:]))
    holdings = await world.broker.holdings()
    assert holdings.consumed == len(world.accepted)
    assert holdings.consumed == holdings.stored + holdings.dead_lettered + holdings.repeated + holdings.parked
    assert not holdings.on_the_way
    assert holdings.dead_lettered == len(messages(world, topics.dead_letter_topic(topics.ENERGY_USAGE)))
    if len(devices) == len(DEVICES) + 1:
        # A reading that was written where its device was before, by a step that was not finished, and counts since the
        # device was derived anew in its new partition, is taken for a repeat when it comes there.
        assert holdings.stored <= len(wanted)
        assert holdings.parked == sum(reading.device_id == NEVER for reading in world.accepted)


def check_alerts(world: World) -> None:
    """Check that all that is open or was is told, each step once, and each opening that is news as an alert."""
    told = messages(world, topics.ENERGY_ALERT_EPISODES)
    steps = Counter((body["id"], body["version"]) for body in told)
    assert set(steps.values()) <= {1}
    warnings = [body["rule"] for body in told if body["userId"] == THRIFTY and body["state"] == "open"]
    alerts = [body["userId"] for body in messages(world, topics.ENERGY_ALERTS)]
    assert (warnings, alerts.count(THRIFTY)) == (["high-usage"], 1)


def messages(world: World, topic: str) -> list[dict[str, object]]:
    records: list[Record] = [
        record for place, log in world.broker.logs.items() if place.topic == topic for record in log
    ]
    return [msgspec.json.decode(record.value) for record in records]


async def survive(seed: int) -> None:
    world = await live(seed)
    await check(world)
    check_alerts(world)


async def test_whatever_happens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    for seed in range(FIRST_SEED, FIRST_SEED + SCHEDULES):
        try:
            await survive(seed)
        except BaseException as error:
            error.add_note(f"Again: ENERGY_TEST_SEED={seed} ENERGY_TEST_SCHEDULES=1")
            raise


def same_epoch(note: Note, *, above: int = 0, by: str = "") -> Note:
    """Begin no epoch."""
    del above, by
    return note


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        (influx, "next_epoch", same_epoch),
        (HomesState, "committed_sums", lambda _state, _device_id, _partition, row: row.sums),
        (HomesState, "is_counted", lambda _state, _reading: True),
        (HomesState, "seen_elsewhere", lambda _state, _device_id: []),
    ],
)
async def test_what_makes_it_safe_is_missed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, owner: object, name: str, wrong: object
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(owner, name, wrong)
    for seed in range(FIRST_SEED, FIRST_SEED + MISSED_WITHIN):
        try:
            await survive(seed)
        except AssertionError:
            return
    pytest.fail(f"without {name}, nothing was noticed")
