"""What happens in the worlds of `tests.support.crash`: one fixed evening, and evenings that a seed makes up."""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import msgspec
from tests.support.clock import START
from tests.support.crash import Process, World

from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.contracts.ingestion import ReadingBody

START_MS = round(START.timestamp() * 1000)
Step = Callable[[World], Awaitable[None]]

USER, LEAVER = 1, 2
INTERVAL, REGISTER, POWER, LATECOMER, LEAVERS, CHANGING = 1, 2, 3, 4, 5, 6
KINDS = {INTERVAL: "interval", REGISTER: "register", POWER: "power", LATECOMER: "interval", LEAVERS: "interval"}


def user(number: int, *, threshold_kwh: float = 1.0, deleted: bool = False) -> DirectoryUser:
    return DirectoryUser(
        id=number,
        version=number,
        deleted=deleted,
        name="Home",
        email=f"home{number}@example.org",
        alerting=not deleted,
        energy_alerting_threshold=threshold_kwh,
    )


def device(number: int, kind: str, *, user_id: int = USER) -> DirectoryDevice:
    return DirectoryDevice(
        id=number,
        version=number,
        name=f"Device {number}",
        user_id=user_id,
        created_at_ms=START_MS,
        kind=kind,  # type: ignore[arg-type]  # one of the three
        assignments=(Assignment(user_id=user_id),),
    )


def reading(device_id: int, minute: float, *, event_id: str | None = None, **value: float) -> ReadingBody:
    """Return a reading at a minute after the start (before it: negative)."""
    return ReadingBody(
        device_id=device_id,
        timestamp=START + timedelta(minutes=minute),
        event_id=event_id,
        **value,  # type: ignore[arg-type]  # one of the three values
    )


def send(*readings: ReadingBody) -> Step:
    return lambda world: world.send(*readings)


async def rest(world: World) -> None:
    await world.rest()


def pass_time(minutes: float) -> Step:
    """Let time pass, then let all that it brings come."""

    async def step(world: World) -> None:
        await world.clock.leap(minutes * 60)
        await world.rest()

    return step


def register(*entries: DirectoryUser | DirectoryDevice) -> Step:
    async def step(world: World) -> None:
        world.registry.add(*entries)

    return step


async def rebuild(world: World) -> None:
    async def action(process: Process) -> None:
        await process.usage.rebuild()

    await world.do(action)


def first_home() -> tuple[DirectoryUser | DirectoryDevice, ...]:
    refrigerator = msgspec.structs.replace(device(REGISTER, "register"), silent_after_ms=65 * 60_000)
    return (
        user(USER),
        user(LEAVER, threshold_kwh=0.2),
        device(INTERVAL, "interval"),
        refrigerator,
        device(POWER, "power"),
        device(LEAVERS, "interval", user_id=LEAVER),
        device(CHANGING, "interval"),
    )


BASE = (
    reading(INTERVAL, -50, energy_consumed=0.1),
    reading(REGISTER, -50, register_kwh=100.0),
    reading(POWER, -50, power_w=400.0),
    reading(LEAVERS, -50, energy_consumed=0.1),
    reading(CHANGING, -50, register_kwh=7.0),
)
LATE = (
    reading(INTERVAL, -58, energy_consumed=0.05, event_id="late-1"),
    reading(REGISTER, -52, register_kwh=99.9),
    reading(POWER, -47, power_w=30.0),
)
KETTLES = (
    reading(INTERVAL, -2, energy_consumed=0.9),
    reading(POWER, -3, power_w=2_000.0),
    reading(POWER, -1, power_w=10.0),
    reading(CHANGING, -4, register_kwh=7.3),
    reading(LEAVERS, -2, energy_consumed=0.3),
)
UNKNOWN = (reading(LATECOMER, -20, energy_consumed=0.04), reading(LATECOMER, -10, energy_consumed=0.05))

EVENING: Sequence[Step] = (
    register(*first_home()),
    send(*BASE),
    send(BASE[0]),
    send(*UNKNOWN, *LATE),
    send(*LATE, reading(REGISTER, -30, register_kwh=100.1)),
    rest,
    send(*KETTLES),
    rest,
    register(device(LATECOMER, "interval"), device(CHANGING, "register")),
    send(BASE[1], *UNKNOWN, reading(POWER, 0, power_w=5.0)),
    rebuild,
    rest,
    register(user(LEAVER, deleted=True), msgspec.structs.replace(device(LEAVERS, "interval"), erased=True)),
    rest,
    pass_time(70),
    send(reading(REGISTER, 70, register_kwh=100.4), reading(INTERVAL, 69, energy_consumed=0.01)),
    rest,
)
"""All kinds, repeats, late readings, an unknown device, changed rules, a rebuild, an erasure, both rules of alerts."""


def made_up(seed: int) -> Sequence[Step]:
    """Return an evening of readings in any order and size, among which the registry changes and time passes."""
    chance = random.Random(seed)
    pool = [_any_reading(chance, number) for number in range(chance.randint(5, 25))]
    pool += chance.choices(pool, k=chance.randint(0, 6))
    chance.shuffle(pool)
    steps: list[Step] = [register(*first_home())]
    while pool:
        size = chance.choice((1, 1, 3, 8))
        steps.append(send(*pool[:size]))
        del pool[:size]
        steps += _interludes(chance)
    return (*steps, register(device(LATECOMER, "interval")), rest)


def _any_reading(chance: random.Random, number: int) -> ReadingBody:
    device_id = chance.choice(tuple(KINDS))
    minute = -chance.uniform(0, 55) - chance.choice((0, 0, 0, 60, 600))
    event_id = f"mine-{number}" if chance.random() < 0.3 else None
    kind = KINDS[device_id]
    if kind == "interval":
        return reading(device_id, minute, event_id=event_id, energy_consumed=chance.choice((0.0, 0.1, 0.7)))
    if kind == "register":
        return reading(device_id, minute, event_id=event_id, register_kwh=chance.choice((5.0, 5.1, 6.0, 0.0)))
    return reading(device_id, minute, event_id=event_id, power_w=chance.choice((0.0, 60.0, 2_000.0)))


def _interludes(chance: random.Random) -> list[Step]:
    drawn = chance.random()
    if drawn < 0.25:
        return [rest]
    if drawn < 0.32:
        return [rebuild]
    if drawn < 0.40:
        hold_ms = chance.choice((60_000, 300_000, 3_600_000))
        return [register(msgspec.structs.replace(device(POWER, "power"), max_hold_ms=hold_ms))]
    if drawn < 0.45:
        return [register(device(REGISTER, chance.choice(("register", "power"))))]
    if drawn < 0.50:
        return [register(device(LATECOMER, "interval"))]
    return []
