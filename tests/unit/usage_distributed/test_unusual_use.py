"""Unusual use in several processes: partitions move, some end before their commit, and nothing changes."""

import random
from collections.abc import Iterable, Sequence

import msgspec
import pytest
from tests.support.arrivals import (
    METER,
    REFRIGERATOR,
    STUCK_MS,
    Arrival,
    by_quarter_hour,
    devices,
    held_back,
    household,
    in_time,
    measured,
    shuffled,
    unusual_episodes,
    user,
)
from tests.support.clock import VirtualClock
from tests.support.crashing import ProcessEnded
from tests.support.energy import DAY, HOUR, T0_MS
from tests.support.usage_distributed import Process, Trouble, World

from energy_tracker.contracts.topics import ENERGY_ALERT_EPISODES
from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR, from_ms
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.usage.model.detection.findings import Kind
from energy_tracker.services.usage.model.detection.household import Household
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.unusual import UnusualWatch

BEGIN_MS = T0_MS + 15 * DAY
END_MS = BEGIN_MS + 2 * DAY + 6 * HOUR
Outcome = tuple[list[Episode], Household, list[tuple[str, int, bool]]]


def watch_of(process: Process) -> UnusualWatch:
    service = process.service
    return UnusualWatch(process.store, process.directory, service.homes, service.recorder, process.world.clock)


async def look(world: World) -> None:
    """Let each process judge what is closed, as its worker does where nothing waits."""
    for process in world.processes:
        try:
            async with process.work:
                unusual = watch_of(process)
                while not process.member.lag() and await unusual.look():
                    pass
        except TemporarilyUnavailable:
            process.is_up = False


async def begun(seed: int, processes: int) -> World:
    """Return a world in which two weeks of a home are known and judged."""
    world = World(random.Random(seed), clock=VirtualClock(from_ms(BEGIN_MS - MS_PER_QUARTER_HOUR)))
    world.registry.add(user(), *devices())
    world.start(processes)
    for day in range(15):
        world.send(*measured(T0_MS + day * DAY, T0_MS + (day + 1) * DAY), key=1)
    await world.rest()
    await look(world)
    return world


async def arrive(world: World, arrivals: Iterable[Arrival], *, disturbed_every: int = 0) -> tuple[int, int]:
    """Let readings arrive and be judged; return how often the home moved to another process, and how many ended."""
    arriving = by_quarter_hour(arrivals)
    owner, moved, ever = owner_of(world), 0, {*world.processes}
    for number, end_ms in enumerate(range(BEGIN_MS, END_MS + 1, MS_PER_QUARTER_HOUR)):
        await world.clock.advance((end_ms - world.clock.now_ms()) / 1000)
        if arriving.get(end_ms):
            world.send(*arriving[end_ms], key=1)
        if disturbed_every and number % disturbed_every == 0:
            await disturb(world)
        await world.rest()
        await look(world)
        before, owner = owner, owner_of(world)
        moved += owner is not before
        ever |= {*world.processes}
    return moved, sum(process.ended for process in ever)


def owner_of(world: World) -> Process:
    """Return the process that looks after the home."""
    (owner,) = [process for process in world.processes if watch_of(process).is_here(1)]
    return owner


async def disturb(world: World) -> None:
    """Move the partitions, and end a process at any call of what it does next: also between storing and committing."""
    world.rebalance()
    if world.draw(0.6):
        world.end_at = (world.calls + world.chance.randrange(1, 12), world.draw(0.5))
    for _ in range(4):
        await world.step(world.chance.choice(world.processes))
    world.end_at = None


async def outcome(world: World) -> Outcome:
    store = owner_of(world).store
    known = await household(store)
    assert known is not None
    told = [
        msgspec.json.decode(record.value)
        for place, log in world.broker.logs.items()
        if place.topic == ENERGY_ALERT_EPISODES
        for record in log
    ]
    return await unusual_episodes(store), known, [(each["id"], each["version"], each["notify"]) for each in told]


async def alone(arrivals: Sequence[Arrival]) -> Outcome:
    world = await begun(0, processes=1)
    await arrive(world, arrivals)
    return await outcome(world)


@pytest.mark.parametrize("way", ["in time", "shuffled", "hours late"])
async def test_partitions_that_move_and_processes_that_end_change_nothing(way: str) -> None:
    live = list(measured(BEGIN_MS, END_MS))
    arrivals = {
        "in time": in_time(live),
        "shuffled": shuffled(live, seed=5),
        "hours late": held_back(live, from_ms=STUCK_MS - HOUR, until_ms=STUCK_MS + 4 * HOUR, of=[REFRIGERATOR, METER]),
    }[way]
    expected = await alone(arrivals)
    assert [each.finding.kind for each in expected[0] if each.finding and each.finding.kind != Kind.SILENT] == [
        Kind.STUCK_ON
    ]
    for seed in (1, 2):
        world = await begun(seed, processes=2)
        moved, ended = await arrive(world, arrivals, disturbed_every=5)
        assert moved >= 8
        assert ended >= 4
        assert await outcome(world) == expected


async def test_a_process_that_ends_while_it_judges_leaves_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever call of judging is the last of a process, another judges the same."""
    arrivals = in_time(measured(BEGIN_MS, END_MS))
    expected = await alone(arrivals)
    world = await begun(3, processes=2)
    arriving = by_quarter_hour(arrivals)
    for end_ms in range(BEGIN_MS, END_MS + 1, MS_PER_QUARTER_HOUR):
        await world.clock.advance((end_ms - world.clock.now_ms()) / 1000)
        if arriving.get(end_ms):
            world.send(*arriving[end_ms], key=1)
        await world.rest()
        if world.draw(0.3):
            world.trouble = Trouble(fails=0.1, ends=0.1)
            await judge_in_trouble(world)
            world.trouble = Trouble()
            await world.rest()
        await look(world)
    assert await outcome(world) == expected
    assert "cannot be judged" not in caplog.text


async def judge_in_trouble(world: World) -> None:
    for process in list(world.processes):
        try:
            async with process.work:
                await watch_of(process).look()
        except ProcessEnded:
            world.replace(process)
        except TemporarilyUnavailable:
            process.is_up = False
