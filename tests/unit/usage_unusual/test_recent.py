"""What is kept in memory of quarter-hours is what the store says of them, whatever comes and in whatever order."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.support.clock import VirtualClock
from tests.support.energy import DAY, HOUR, MINUTE, QUARTER, SECOND, T0_MS, reading
from tests.support.usage import KnownHomes, Usage, usage_on
from tests.unit.usage_unusual.test_watching import device, home, watching

from energy_tracker.contracts.directory import Assignment
from energy_tracker.kit.instants import from_ms, quarter_hour_start
from energy_tracker.services.usage import recent
from energy_tracker.services.usage.closing import Closing
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.readings import Kind, Reading

LENGTH = 8 * HOUR
KINDS: dict[int, Kind] = {1: "power", 2: "power", 3: "interval", 4: "register", 5: "register", 6: "interval"}


def devices() -> KnownHomes:
    """Plugs that hold for five minutes and for two hours, an interval, registers, and one with two channels."""
    return home(
        *(
            device(number, kind=kind, max_hold_ms=2 * HOUR if number == 2 else 5 * MINUTE)
            for number, kind in KINDS.items()
        )
    )


def instants(chance: random.Random) -> Iterator[int]:
    """Yield when a device reports, in ms: often at a whole quarter-hour, twice at an instant, or after a gap."""
    at_ms = chance.choice([0, 1, MINUTE, QUARTER])
    while at_ms < LENGTH:
        yield at_ms
        at_ms += chance.choice([0, SECOND, MINUTE, MINUTE, 5 * MINUTE, 5 * MINUTE, QUARTER, 40 * MINUTE, 100 * MINUTE])
        if chance.random() < 0.2:
            at_ms -= at_ms % QUARTER


def sent(number: int, chance: random.Random) -> Iterator[Reading]:
    """Yield what a device sends, in order of time."""
    kind, kwh = KINDS[number], 100.0
    for at_ms in instants(chance):
        channel = chance.choice(["", "b"]) if number == 6 else ""
        if chance.random() < 0.03:
            yield reading("power", at_ms, 5.0, device_id=number, direction="export")
        match kind:
            case "power":
                yield reading(kind, at_ms, round(chance.uniform(0, 900), 1), device_id=number)
            case "interval":
                since = at_ms - chance.choice([MINUTE, 90 * MINUTE]) if chance.random() < 0.2 else None
                yield reading(kind, at_ms, chance.uniform(0, 2), since=since, device_id=number, channel=channel)
            case "register":
                kwh = max(0.0, kwh + chance.choice([0.0, 0.01, 0.2, 0.4, -0.004, -0.5, -kwh, 5_000.0]))
                yield reading(kind, at_ms, kwh, device_id=number)


def delivered(chance: random.Random, *, late_ms: int, twice: float) -> list[list[Reading]]:
    """Return what arrives, in turns: each reading up to so much late, some again."""
    arrivals = [
        (each.time_ms + chance.randrange(late_ms), each)
        for number in KINDS
        for one in sent(number, chance)
        for each in [one] * (1 + (chance.random() < twice))
    ]
    arrivals.sort(key=lambda arrival: arrival[0])
    turns: list[list[Reading]] = []
    while arrivals:
        size = chance.choice([1, 3, 10, 60])
        turns.append([each for _, each in arrivals[:size]])
        del arrivals[:size]
    return turns


async def compare(usage: Usage, closing: Closing, *, from_ms: int, to_ms: int) -> int:
    """Hold against the store what is in memory; return of how many devices that is."""
    known = sorted(usage.directory.all_devices.values(), key=lambda each: each.id)
    async with usage.service.recorder.alone():
        await usage.service.recorder.deriver.load([each.id for each in known])
        kept = closing.recent(known, from_ms=from_ms, to_ms=to_ms)
    stored = by_device(await closing.quarter_hours(known, from_ms=from_ms, to_ms=to_ms))
    for number, quarters in kept.items():
        assert list(quarters) == stored.get(number, []), number
    assert await closing.last_ms(known) == {
        each.id: last_ms for each in known if (last_ms := await usage.store.last_reading_ms(each.id)) is not None
    }
    return len(kept)


def by_device(found: object) -> dict[int, list[QuarterHour]]:
    assert isinstance(found, dict)
    numbers = {number for quarters in found.values() for number in quarters}
    return {
        number: [found[start][number] for start in sorted(found) if number in found[start]]
        for number in sorted(numbers)
    }


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("late_ms", "twice"), [(1, 0.0), (1, 0.2), (3 * MINUTE, 0.1), (3 * HOUR, 0.1)])
async def test_it_is_what_the_store_says(tmp_path: Path, seed: int, late_ms: int, twice: float) -> None:
    chance = random.Random(seed)
    compared = 0
    async with usage_on(tmp_path, devices(), VirtualClock(from_ms(T0_MS + 2 * DAY))) as usage:
        closing = watching(usage).closing
        for turn in delivered(chance, late_ms=late_ms, twice=twice):
            await usage.record(turn)
            if chance.random() < 0.7:
                now_ms = quarter_hour_start(turn[-1].time_ms)
                begin_ms = now_ms - chance.choice([0, 0, 1, 1, 2, 8]) * QUARTER
                compared += await compare(usage, closing, from_ms=begin_ms, to_ms=now_ms + QUARTER)
            if chance.random() < 0.01:
                usage.service.recorder.deriver.reset()
        compared += await compare(usage, closing, from_ms=T0_MS + LENGTH - HOUR, to_ms=T0_MS + LENGTH + 4 * HOUR)
    assert compared


@pytest.mark.parametrize("seed", range(8))
async def test_it_makes_no_difference_in_which_pieces_it_is_read(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with usage_on(tmp_path, devices(), VirtualClock(from_ms(T0_MS + 2 * DAY))) as usage:
        for turn in delivered(chance, late_ms=1, twice=0):
            await usage.record(turn)
        closing, known = watching(usage).closing, list(usage.directory.all_devices.values())
        end_ms = T0_MS + LENGTH + 3 * HOUR
        whole = await closing.quarter_hours(known, from_ms=T0_MS - DAY, to_ms=end_ms)
        pieces: dict[int, object] = {}
        for start_ms in range(T0_MS - DAY, end_ms, QUARTER):
            pieces |= await closing.quarter_hours(known, from_ms=start_ms, to_ms=start_ms + QUARTER)
        assert pieces == whole


async def test_a_plug_in_time_is_never_asked_of_the_store(tmp_path: Path) -> None:
    async with usage_on(tmp_path, devices(), VirtualClock(from_ms(T0_MS + 2 * DAY))) as usage:
        closing, plug = watching(usage).closing, usage.directory.all_devices[1]
        for at_ms in range(0, LENGTH, MINUTE):
            await usage.record([reading("power", at_ms, float(at_ms % 97), device_id=1)])
        for start_ms in range(T0_MS, T0_MS + LENGTH, QUARTER):
            (quarter,) = closing.recent([plug], from_ms=start_ms, to_ms=start_ms + QUARTER)[1]
            assert quarter.readings == 15 - (start_ms == T0_MS)
        assert closing.recent([plug], from_ms=T0_MS, to_ms=T0_MS + QUARTER) == {}


async def test_a_device_that_comes_from_another_home_is_asked_of_the_store(tmp_path: Path) -> None:
    moved_ms = T0_MS + 3 * HOUR + MINUTE
    homes = home(device(1, assignments=(Assignment(user_id=2), Assignment(user_id=1, from_ms=moved_ms))))
    async with usage_on(tmp_path, homes, VirtualClock(from_ms(T0_MS + 2 * DAY))) as usage:
        closing, plugs = watching(usage).closing, [homes.all_devices[1]]
        await usage.record([reading("power", at_ms, 1.0, device_id=1) for at_ms in range(0, LENGTH, MINUTE)])
        start_ms = quarter_hour_start(moved_ms)
        assert closing.recent(plugs, from_ms=start_ms, to_ms=start_ms + QUARTER) == {}
        (found,) = by_device(await closing.quarter_hours(plugs, from_ms=start_ms, to_ms=start_ms + QUARTER))[1]
        assert found.readings == 13
        assert list(closing.recent(plugs, from_ms=start_ms + QUARTER, to_ms=start_ms + 2 * QUARTER)) == [1]


async def test_too_many_quarter_hours_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MOST_KEPT", 10)
    async with usage_on(tmp_path, devices(), VirtualClock(from_ms(T0_MS + 2 * DAY))) as usage:
        closing, plugs = watching(usage).closing, [usage.directory.all_devices[1]]
        sending = [reading("power", at_ms, 1.0, device_id=1) for at_ms in range(0, LENGTH, MINUTE)]
        await record_each(usage, sending)
        assert closing.recent(plugs, from_ms=T0_MS, to_ms=T0_MS + QUARTER) == {}
        assert await compare(usage, closing, from_ms=T0_MS + LENGTH - QUARTER, to_ms=T0_MS + LENGTH)


async def record_each(usage: Usage, readings: Sequence[Reading]) -> None:
    for each in readings:
        await usage.record([each])
