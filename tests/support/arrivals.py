"""A home's readings on their way: when each was measured, and when it arrives."""

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from tests.support.energy import DAY, HOUR, MINUTE, T0_MS
from tests.support.usage import Usage

from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.kit.ids import derived_event_key
from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.detection.household import Household
from energy_tracker.services.usage.model.detection.records import household_of
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.ports import ReadingStore
from energy_tracker.services.usage.unusual import UnusualWatch

EVERY_MS = 5 * MINUTE
REFRIGERATOR, METER = 1, 2
STUCK_MS = T0_MS + 15 * DAY + 10 * HOUR
REPAIRED_MS = STUCK_MS + 12 * HOUR
Arrival = tuple[int, Reading]
"""When a reading arrives, in ms since 1970, and the reading."""


def user(number: int = 1) -> DirectoryUser:
    return DirectoryUser(
        id=number, version=1, name="Anna", email="anna@example.org", alerting=True, time_zone="Europe/Berlin"
    )


def devices(number: int = 1) -> list[DirectoryDevice]:
    """A refrigerator that tells its power, and behind another plug a meter that tells what it counted."""
    return [
        DirectoryDevice(
            id=device_id,
            version=1,
            name=f"Device {device_id}",
            kind=kind,  # type: ignore[arg-type]  # one of the kinds
            user_id=number,
            assignments=(Assignment(user_id=number),),
        )
        for device_id, kind in ((REFRIGERATOR, "power"), (METER, "register"))
    ]


def refrigerator_w(time_ms: int) -> float:
    """80 W for about a third of each hour; without a break between two instants."""
    noise = math.sin(time_ms / 7_000_000) + math.sin(time_ms / 61_000_000)
    is_on = time_ms // MINUTE % 60 < 20 or STUCK_MS <= time_ms < REPAIRED_MS
    return round(80 + 2 * noise if is_on else 1 + 0.1 * noise, 1)


def counted_kwh(time_ms: int) -> float:
    """A register that goes on a little faster by day."""
    hours = (time_ms - T0_MS) / HOUR
    return round(100 + 0.2 * hours + 0.3 * math.sin(hours * math.pi / 12), 3)


def measured(from_ms: int, to_ms: int) -> Iterator[Reading]:
    """Yield what both devices measure, in order."""
    for time_ms in range(from_ms, to_ms, EVERY_MS):
        yield _reading(REFRIGERATOR, time_ms, "power", refrigerator_w(time_ms))
        at_ms = time_ms + 2 * MINUTE  # so that hardly any step ends with a quarter-hour
        yield _reading(METER, at_ms, "register", counted_kwh(at_ms))


def _reading(device_id: int, time_ms: int, kind: str, amount: float) -> Reading:
    key = derived_event_key(device_id, time_ms * 1000, kind, "import", amount, None)
    return Reading(device_id, time_ms, key, kind, amount)  # type: ignore[arg-type]  # one of the kinds


def in_time(readings: Iterable[Reading]) -> list[Arrival]:
    return [(reading.time_ms, reading) for reading in readings]


def shuffled(readings: Iterable[Reading], *, seed: int, within_ms: int = 15 * MINUTE) -> list[Arrival]:
    """Let each reading arrive late by chance."""
    chance = random.Random(seed)
    return [(reading.time_ms + chance.randrange(within_ms), reading) for reading in readings]


def twice(readings: Iterable[Reading], *, seed: int) -> list[Arrival]:
    """Let each reading arrive again, up to an hour later."""
    chance = random.Random(seed)
    return [
        arrival
        for reading in readings
        for arrival in ((reading.time_ms, reading), (reading.time_ms + chance.randrange(HOUR), reading))
    ]


def held_back(readings: Iterable[Reading], *, from_ms: int, until_ms: int, of: Sequence[int]) -> list[Arrival]:
    """Let all that devices measure in a stretch of time arrive at its end, as from a gateway that was offline."""
    return [
        (until_ms if reading.device_id in of and from_ms <= reading.time_ms < until_ms else reading.time_ms, reading)
        for reading in readings
    ]


def by_quarter_hour(arrivals: Iterable[Arrival]) -> Mapping[int, list[Reading]]:
    """Return what has arrived by the end of each quarter-hour, in the order it came."""
    found: defaultdict[int, list[Reading]] = defaultdict(list)
    for arrives_ms, reading in sorted(arrivals, key=lambda arrival: arrival[0]):
        found[arrives_ms - arrives_ms % MS_PER_QUARTER_HOUR + MS_PER_QUARTER_HOUR].append(reading)
    return found


async def arrive(usage: Usage, unusual: UnusualWatch, arrivals: Iterable[Arrival], *, until_ms: int) -> None:
    """Let readings arrive, and the home be judged after each quarter-hour."""
    arriving = by_quarter_hour(arrivals)
    now_ms = usage.clock.now_ms()
    for end_ms in range(now_ms + MS_PER_QUARTER_HOUR, until_ms + 1, MS_PER_QUARTER_HOUR):
        await usage.clock.advance((end_ms - usage.clock.now_ms()) / 1000)
        if arriving.get(end_ms):
            await usage.record(arriving[end_ms])
        more = True
        while more:
            more = await unusual.look()


async def household(store: ReadingStore, user_id: int = 1) -> Household | None:
    return household_of(await store.detectors(user_id))


async def unusual_episodes(store: ReadingStore, user_id: int = 1) -> list[Episode]:
    """Return the episodes of unusual use; whether one was news depends on when it became known."""
    found = await store.episodes(user_id=user_id, from_ms=0, to_ms=2**53)
    return [msgspec.structs.replace(each, notify=False) for each in found if each.finding]
