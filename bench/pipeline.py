"""The whole way: HTTP, log, store, rollup, queryable. `python -m bench.pipeline [--readings 400000] [--seconds 15]`.

The real system in a process of its own, a load client beside it. Each device belongs to one connection, which sends
its readings in the order of time, as a gateway does; in the `shuffled` scenario all connections take the next batch
in turn, so that many readings arrive a little late. `whole_way_per_s` counts from the first request until the ledger
shows every reading as stored. The lag is how many readings wait in the log while they come at a steady rate: it should
be as long in the last third of the time as in the first.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvloop

from bench.ingest import Connection, connections, request
from bench.system import KINDS, System, ledger, register_homes, running

INTERVAL_S = 10
"""Event time between two readings of a device."""
GOAL_RATE = 50_000
_LAG_EVERY_S = 0.25
_ACCEPTED = b"HTTP/1.1 202"
_BUSY = (b"HTTP/1.1 429", b"HTTP/1.1 503")


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which readings come how."""

    name: str
    homes: int
    devices: int
    """In each home."""
    batch: int
    in_order: bool = True
    watched: bool = False
    """Whether the homes want to be warned of high usage."""


SCENARIOS = (
    Scenario("15 devices, batches of 100", 1, 15, 100),
    Scenario("15 devices, batches of 1000", 1, 15, 1_000),
    Scenario("15 devices, watched", 1, 15, 100, watched=True),
    Scenario("15 devices, shuffled", 1, 15, 100, in_order=False),
    Scenario("2000 devices, batches of 100", 134, 15, 100),
    Scenario("2000 devices, batches of 1000", 134, 15, 1_000),
    Scenario("2000 devices, watched", 134, 15, 100, watched=True),
)


class Meters:
    """Readings without end of devices and their kinds, as request bodies: a call goes on where the one before ended."""

    def __init__(self, devices: Sequence[tuple[int, str]], begin_s: int) -> None:
        self._devices = devices
        self._begin_s = begin_s
        self._items = self._readings()

    def requests(self, count: int, size: int) -> list[bytes]:
        """Return requests of `size` readings."""
        return [
            request("/api/v1/ingestion/batch", f"[{','.join(next(self._items) for _ in range(size))}]".encode())
            for _ in range(count)
        ]

    def _readings(self) -> Iterator[str]:
        tick = 0
        while True:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._begin_s + tick * INTERVAL_S))
            amounts = {
                "power": f'"powerW":{100 + tick % 977}.5',
                "interval": f'"energyConsumed":0.000{tick % 977 + 1:03d}',
                "register": f'"registerKwh":{tick // 1000}.{tick % 1000:03d}',
            }
            for device, kind in self._devices:
                yield f'{{"deviceId":{device},"timestamp":"{stamp}",{amounts[kind]}}}'
            tick += 1


@dataclass(slots=True)
class Load:
    """What a round of requests came to."""

    sent: int = 0
    refused: int = 0
    """Answers 429 and 503; those requests were sent again."""


async def send(connection: Connection, message: bytes, load: Load, size: int) -> None:
    """Send a request until it is accepted."""
    while not (answer := await connection.post(message)).startswith(_ACCEPTED):
        if not answer.startswith(_BUSY):
            raise RuntimeError(answer.decode())
        load.refused += 1
        await asyncio.sleep(0.1)
    load.sent += size


async def send_all(
    system: System, queues: Sequence[list[bytes]], size: int, *, rate: float | None = None, load: Load | None = None
) -> Load:
    """Send each queue over its connection, as fast as they go, or at `rate` readings a second in all.

    A `load` that is given counts along, and can be watched.
    """
    load = load or Load()

    async def sender(connection: Connection, number: int, queue: list[bytes]) -> None:
        for position, message in enumerate(queue):
            if rate is not None:
                due = begin + (position * len(queues) + number) * size / rate
                if (pause := due - time.perf_counter()) > 0:
                    await asyncio.sleep(pause)
            await send(connection, message, load, size)

    async with connections(system.port("ingestion"), len(queues)) as opened:
        begin = time.perf_counter()
        await asyncio.gather(*(sender(*each) for each in zip(opened, range(len(queues)), queues, strict=True)))
    return load


async def until_stored(system: System, wanted: int) -> None:
    """Return once the ledger shows so many readings as stored."""
    with httpx.Client() as http:
        while (now := ledger(http, system))["stored"] < wanted:
            if now["deadLettered"]:
                raise RuntimeError(f"dead letters: {now}")
            await asyncio.sleep(0.02)


async def sample_lag(system: System) -> list[int]:
    """Note the lag until cancelled; the list grows while it is watched."""
    lags: list[int] = []
    async with httpx.AsyncClient() as http:
        try:
            while True:
                answer = await http.get(f"{system.urls['usage']}/api/v1/ledger", timeout=30)
                lags.append(answer.json()["queued"])
                await asyncio.sleep(_LAG_EVERY_S)
        except asyncio.CancelledError:
            return lags


async def measure(system: System, scenario: Scenario, *, readings: int, seconds: float) -> dict[str, Any]:
    """Run a scenario on a fresh system."""
    homes = register_homes(system, scenario.homes, scenario.devices, alerting=scenario.watched)
    devices = [(device, KINDS[index % len(KINDS)]) for home in homes for index, device in enumerate(home)]
    count = min(32, len(devices))
    ticks = 4 * readings // len(devices)
    begin_s = int(time.time()) - ticks * INTERVAL_S - 86_400
    meters = [Meters(devices[number::count], begin_s) for number in range(count)]
    everyone = Meters(devices, begin_s)

    def queues(total: int) -> list[list[bytes]]:
        each = max(1, total // scenario.batch // count)
        if scenario.in_order:
            return [some.requests(each, scenario.batch) for some in meters]
        all_of_them = everyone.requests(each * count, scenario.batch)
        return [all_of_them[number::count] for number in range(count)]

    warm = await send_all(system, queues(20_000), scenario.batch)
    await until_stored(system, warm.sent)
    work = queues(readings)
    began, cpu = time.perf_counter(), system.cpu_s()
    load = await send_all(system, work, scenario.batch)
    accepted_s = time.perf_counter() - began
    await until_stored(system, warm.sent + load.sent)
    whole_s = time.perf_counter() - began
    whole_rate = load.sent / whole_s
    rate = min(GOAL_RATE, 0.8 * whole_rate)
    result: dict[str, Any] = {
        "whole_way_per_s": round(whole_rate),
        "accepted_per_s": round(load.sent / accepted_s),
        "cpu_us_per_reading": round((system.cpu_s() - cpu) / load.sent * 1e6, 1),
        "refused": load.refused,
    }
    work = queues(int(rate * seconds))
    sampling = asyncio.create_task(sample_lag(system))
    steady = await send_all(system, work, scenario.batch, rate=rate)
    sampling.cancel()
    lags = await sampling
    third = max(1, len(lags) // 3)
    await until_stored(system, warm.sent + load.sent + steady.sent)
    return result | {
        "steady_rate_per_s": round(rate),
        "lag_first_third": round(statistics.mean(lags[:third])),
        "lag_last_third": round(statistics.mean(lags[-third:])),
        "lag_most": max(lags),
        "rss_mib": round(system.rss_mib()),
    }


def main() -> None:
    """Run the scenarios, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=400_000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--only", default="", help="run the scenarios whose name contains this")
    options = parser.parse_args()
    figures = {}
    for scenario in SCENARIOS:
        if options.only in scenario.name:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder, running(Path(folder) / "home") as system:
                figures[scenario.name] = uvloop.run(
                    measure(system, scenario, readings=options.readings, seconds=options.seconds)
                )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
