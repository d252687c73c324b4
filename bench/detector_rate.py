"""What the detector of unusual use takes of usage-service's rate: `python -m bench.detector_rate [--rounds 3]`.

usage-service alone in this process, on SQLite, with one home of 15 plugs that send their power every minute; two weeks
of it are stored and judged before. Then a week comes, twice in turn: `off` without the detector, `on` with it.

- `live`: each quarter-hour is recorded by itself, and judged where the detector is on, as far as it is closed.
- `behind`: the week waits in the log and is recorded in turns of 15 000 readings. It is judged when all is stored.

`stored_per_s` are readings a second until they are stored, `judged_per_s` until they are judged, too. `flow_ratio` is
what the flow keeps of its rate, `ratio` what is kept when the time of judging counts in full, each within a round;
the figures are medians, and `rounds` has the ratios of each.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import uvloop
from tests.support.clock import VirtualClock
from tests.support.usage import KnownHomes, usage_on

from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, MS_PER_QUARTER_HOUR, from_ms
from energy_tracker.services.usage.service import UsageService
from energy_tracker.services.usage.unusual import UnusualWatch

DEVICES = 15
BEGIN_MS = 1_780_272_000_000
KNOWN_DAYS = 14
TURN = 15_000


@dataclass(slots=True)
class Home:
    """usage-service with one home, and where it is in the log."""

    service: UsageService
    watch: UnusualWatch
    clock: VirtualClock
    chance: random.Random
    offset: int = -1
    values: dict[int, float] = field(default_factory=dict)

    def records(self, from_ms: int, to_ms: int) -> list[Record]:
        """Return what the plugs send in a stretch of time, a record for each minute."""
        return [self._record(minute_ms) for minute_ms in range(from_ms, to_ms, MS_PER_MINUTE)]

    def _record(self, time_ms: int) -> Record:
        readings = []
        for device in range(1, DEVICES + 1):
            phase = (time_ms // MS_PER_MINUTE + 7 * device) % (40 + 5 * device)
            power_w = round((80 if phase < 15 else 2) * self.chance.uniform(0.95, 1.05), 1)
            readings.append({"deviceId": device, "timestamp": time_ms, "powerW": power_w})
        self.offset += 1
        return Record(ENERGY_USAGE, 0, self.offset, None, msgspec.json.encode(readings), {}, time_ms)

    async def judge(self) -> None:
        """Judge all that is closed."""
        more = True
        while more:
            more = await self.watch.look()

    async def pass_until(self, time_ms: int) -> None:
        """Let the clock go on."""
        await self.clock.advance((time_ms - self.clock.now_ms()) / 1000)


@asynccontextmanager
async def home_on(folder: Path) -> AsyncIterator[Home]:
    """Give a home of which two weeks are stored and judged."""
    user = DirectoryUser(id=1, version=1, time_zone="Europe/Berlin")
    own = (Assignment(user_id=1),)
    devices = [DirectoryDevice(id=1 + n, version=1, kind="power", user_id=1, assignments=own) for n in range(DEVICES)]
    directory = KnownHomes().add(user, *devices)
    clock = VirtualClock(from_ms(BEGIN_MS))
    async with usage_on(folder, directory, clock) as usage:
        service = usage.service
        watch = UnusualWatch(usage.store, directory, service.homes, service.recorder, clock)
        home = Home(service, watch, clock, random.Random(1))
        known_ms = BEGIN_MS + KNOWN_DAYS * MS_PER_DAY
        await record_behind(home, home.records(BEGIN_MS, known_ms))
        await home.pass_until(known_ms)
        await home.judge()
        yield home


async def record_behind(home: Home, records: Sequence[Record]) -> None:
    """Record in turns of many readings."""
    each = TURN // DEVICES
    for start in range(0, len(records), each):
        await home.service.record_readings(records=records[start : start + each])


async def live(home: Home, days: int, *, on: bool) -> tuple[float, float]:
    """Let some days come by quarter-hours; return the seconds that recording took, and those with judging."""
    recording = judging = 0.0
    begin_ms = home.clock.now_ms()
    for start_ms in range(begin_ms, begin_ms + days * MS_PER_DAY, MS_PER_QUARTER_HOUR):
        end_ms = start_ms + MS_PER_QUARTER_HOUR
        records = home.records(start_ms, end_ms)
        await home.pass_until(end_ms)
        began = time.perf_counter()
        await home.service.record_readings(records=records)
        recorded = time.perf_counter()
        recording += recorded - began
        if on:
            await home.judge()
            judging += time.perf_counter() - recorded
    return recording, recording + judging


async def behind(home: Home, days: int, *, on: bool) -> tuple[float, float]:
    """Let some days come at once; return the seconds that recording took, and those with judging."""
    begin_ms = home.clock.now_ms()
    end_ms = begin_ms + days * MS_PER_DAY
    records = home.records(begin_ms, end_ms)
    await home.pass_until(end_ms)
    began = time.perf_counter()
    await record_behind(home, records)
    recorded = time.perf_counter()
    if on:
        await home.judge()
    return recorded - began, time.perf_counter() - began


WAYS = {"live": live, "behind": behind}


async def measure(folder: Path, way: str, days: int, *, on: bool) -> dict[str, float]:
    """Take a week on a fresh home."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        async with home_on(Path(own)) as home:
            stored_s, judged_s = await WAYS[way](home, days, on=on)
    readings = DEVICES * days * MS_PER_DAY // MS_PER_MINUTE
    return {"stored_per_s": readings / stored_s, "judged_per_s": readings / judged_s}


async def compare(folder: Path | None, way: str, *, days: int, rounds: int) -> dict[str, Any]:
    """Take rounds of off and on, in changing order."""
    pairs: list[tuple[dict[str, float], dict[str, float]]] = []
    for number in range(rounds):
        found = {on: await measure(folder or Path(tempfile.gettempdir()), way, days, on=on) for on in order(number)}
        pairs.append((found[False], found[True]))
    ratios = [on["judged_per_s"] / off["stored_per_s"] for off, on in pairs]
    flow = [on["stored_per_s"] / off["stored_per_s"] for off, on in pairs]
    return {
        "off": {"stored_per_s": round(median(off["stored_per_s"] for off, _ in pairs))},
        "on": {name: round(median(on[name] for _, on in pairs)) for name in ("stored_per_s", "judged_per_s")},
        "ratio": round(median(ratios), 3),
        "flow_ratio": round(median(flow), 3),
        "rounds": {"ratio": [round(each, 3) for each in ratios], "flow_ratio": [round(each, 3) for each in flow]},
    }


def order(number: int) -> tuple[bool, bool]:
    """Return in which order a round goes."""
    return (False, True) if number % 2 == 0 else (True, False)


def main() -> None:
    """Compare, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--days", type=int, default=7)
    options = parser.parse_args()

    async def all_ways() -> dict[str, Any]:
        return {way: await compare(options.folder, way, days=options.days, rounds=options.rounds) for way in WAYS}

    print(json.dumps(uvloop.run(all_ways()), indent=2))


if __name__ == "__main__":
    main()
