"""A write to InfluxDB that was given up arrives later, when something else has been stored: it changes nothing."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from tests.support.clock import START
from tests.support.usage_distributed import Process, UnreliableInflux, World

from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.kit.ids import event_key
from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.readings import Direction, Kind, Reading
from energy_tracker.storage.influx import InfluxUnavailable, RefusedLine

START_MS = round(START.timestamp() * 1000)
OWNER, DEVICE = 1, 6
KWH_MJ = 3_600_000_000


def reading(kwh: float = 1.0) -> Reading:
    return Reading(DEVICE, START_MS - 60_000, event_key("the same"), "interval", kwh, received_ms=START_MS)


async def world_of(processes: int) -> World:
    world = World(random.Random(1), partitions=1)
    world.registry.add(DirectoryUser(id=OWNER, version=1))
    world.start(processes)
    for process in world.processes:
        await process._take_up()
    return world


def register(world: World, *, kind: Kind = "interval", direction: Direction = "import") -> None:
    device = DirectoryDevice(
        id=DEVICE, version=1, user_id=OWNER, assignments=(Assignment(user_id=OWNER),), kind=kind, direction=direction
    )
    world.registry.add(device)


async def take(process: Process, *readings: Reading) -> None:
    for each in readings:
        process.world.send(each, key=OWNER)
    while process.member.lag():
        await process.consume()


@contextmanager
def writes_given_up(world: World) -> Iterator[None]:
    """Let no write be acknowledged; all arrive when the world lets them."""

    async def write(_: UnreliableInflux, lines: Sequence[str]) -> list[RefusedLine]:
        if not lines:
            return []
        world.under_way.append(list(lines))
        message = "It took too long."
        raise InfluxUnavailable(message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UnreliableInflux, "write", write)
        yield
    assert world.under_way


async def all_arrives(world: World) -> None:
    while world.under_way:
        await world.arrive()


async def energy_of(process: Process) -> list[tuple[str, float]]:
    boundaries = [START_MS - MS_PER_QUARTER_HOUR, START_MS + MS_PER_QUARTER_HOUR]
    sums = await process.store.bucket_sums(device_ids=[DEVICE], boundaries_ms=boundaries)
    return [(row.direction, row.energy_mj) for row in sums]


async def check(world: World, *, kwh: float, stored: int = 1, repeated: int = 0, dead: int = 0) -> None:
    (process,) = [process for process in world.processes if process.store.partitions]
    assert await energy_of(process) == [("import", kwh * KWH_MJ)]
    points = await process.store.readings(device_ids=[DEVICE], from_ms=0, to_ms=2**41, after=None, limit=10)
    assert [each.amount for each in points] == [kwh]
    holdings = await world.broker.holdings()
    assert (holdings.stored, holdings.repeated, holdings.dead_lettered, holdings.parked) == (stored, repeated, dead, 0)


async def test_a_copy_that_came_while_another_waited_does_not_count_before_it() -> None:
    world = await world_of(1)
    (process,) = world.processes
    await take(process, reading())
    register(world)
    with writes_given_up(world), pytest.raises(InfluxUnavailable):
        await process.look_around()
    await take(process, reading())
    await all_arrives(world)
    await world.rest()
    await check(world, kwh=1, repeated=1)


async def test_other_content_that_came_while_a_reading_waited_does_not_take_its_place() -> None:
    world = await world_of(1)
    (process,) = world.processes
    await take(process, reading(1.0))
    register(world)
    with writes_given_up(world), pytest.raises(InfluxUnavailable):
        await process.look_around()
    await take(process, reading(2.0))
    await all_arrives(world)
    await world.rest()
    await check(world, kwh=1, dead=1)


async def test_a_copy_that_somebody_else_was_storing_when_it_began_to_wait_counts_once() -> None:
    world = await world_of(2)
    knows, knows_not = world.processes
    register(world)
    await knows.directory.refresh()
    world.broker.assign({knows.member: [0]})
    await knows._take_up()
    with writes_given_up(world), pytest.raises(InfluxUnavailable):
        await take(knows, reading())
    world.broker.assign({knows_not.member: [0]})
    await knows_not._take_up()
    knows_not.directory.all_devices.clear()
    knows_not.directory.stale = True
    await knows_not.consume()
    assert (await world.broker.holdings()).parked == 1
    await knows_not.directory.refresh()
    await take(knows_not, reading())
    await all_arrives(world)
    await world.rest()
    await check(world, kwh=1, repeated=1)


async def test_a_device_is_derived_by_its_last_rules_though_an_attempt_by_others_arrives_late() -> None:
    world = await world_of(1)
    (process,) = world.processes
    register(world)
    await process.look_around()
    await take(process, reading())
    register(world, direction="export")
    with writes_given_up(world), pytest.raises(InfluxUnavailable):
        await process.look_around()
    register(world, kind="power")
    await process.look_around()
    await all_arrives(world)
    await world.rest()
    await check(world, kwh=1)


async def test_whoever_is_asked_tells_what_another_process_has_just_committed() -> None:
    world = await world_of(2)
    register(world)
    looks_after, other = sorted(world.processes, key=lambda process: not process.store.partitions)
    await looks_after.look_around()
    for count in (1, 2):
        await take(looks_after, Reading(DEVICE, START_MS - 60_000 + count, event_key(str(count)), "interval", 1.0))
        assert await energy_of(other) == [("import", count * KWH_MJ)]


async def test_a_home_is_warned_though_its_first_readings_were_there_before_the_step_that_counts_them() -> None:
    world = await world_of(1)
    (process,) = world.processes
    world.registry.add(DirectoryUser(id=OWNER, version=2, alerting=True, energy_alerting_threshold=0.4))
    register(world)
    await process.look_around()
    before, exceeding = (
        Reading(DEVICE, START_MS - minutes * 60_000, event_key(str(minutes)), "interval", kwh, received_ms=START_MS)
        for minutes, kwh in ((30, 0.1), (20, 0.9))
    )
    with writes_given_up(world), pytest.raises(InfluxUnavailable):
        await take(process, before, exceeding)
    await all_arrives(world)
    await world.rest()
    assert [episode.rule for episode in await process.store.open_episodes()] == ["high-usage"]
