"""The whole way through six processes: `python -m bench.distributed_pipeline [--readings 400000] [--seconds 20]`.

HTTP, ingestion-service, Kafka, usage-service, InfluxDB. `whole_way_per_s` counts from the first request until
usage-service has stored every reading; the ledger is compared in the end. The lag is how many readings are acknowledged
and not stored yet while they come at a steady rate; `steady_stored_per_s` is how fast they were stored meanwhile.
`cpu_us` is the processor time a reading of each process, and of the servers where they run here.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench.distributed import Services, services_on
from bench.distributed_cores import processor_s, used_us
from bench.distributed_usage import servers
from bench.pipeline import GOAL_RATE, Load, Meters, Scenario, send_all
from bench.system import KINDS

SCENARIOS = (
    Scenario("15 devices, batches of 100", 1, 15, 100),
    Scenario("15 devices, batches of 1000", 1, 15, 1_000),
    Scenario("2000 devices, batches of 100", 134, 15, 100),
    Scenario("2000 devices, batches of 1000", 134, 15, 1_000),
)
LONGEST_S = 300 * 86_400
"""So long ago the first reading was."""
_WARM = 20_000
_LAG_EVERY_S = 0.25


class Fleet:
    """Registered devices, and the connections that send their readings, each those of its own devices."""

    def __init__(self, services: Services, homes: Sequence[Sequence[int]]) -> None:
        devices = [(device, KINDS[index % len(KINDS)]) for home in homes for index, device in enumerate(home)]
        self.services = services
        self.count = min(32, len(devices))
        begin_s = int(time.time()) - LONGEST_S
        self._meters = [Meters(devices[number :: self.count], begin_s) for number in range(self.count)]
        self.sent = 0

    def prepare(self, total: int, batch: int) -> list[list[bytes]]:
        """Return requests of about so many readings for each connection."""
        each = max(1, total // batch // self.count)
        return [meters.requests(each, batch) for meters in self._meters]

    async def send(
        self, queues: Sequence[list[bytes]], batch: int, *, rate: float | None = None, load: Load | None = None
    ) -> Load:
        """Send requests, as fast as they go or at so many readings a second."""
        load = await send_all(self.services.system("ingestion"), queues, batch, rate=rate, load=load)
        self.sent += load.sent
        return load


async def measure(services: Services, scenario: Scenario, *, readings: int, seconds: float) -> dict[str, Any]:
    """Run a scenario on fresh services."""
    homes = await services.register(scenario.homes, scenario.devices, alerting=scenario.watched)
    fleet = Fleet(services, homes)
    await fleet.send(fleet.prepare(_WARM, scenario.batch), scenario.batch)
    await services.until_stored(fleet.sent)
    processes = {name: services.system(name).pid for name in services.urls} | servers()
    queues = fleet.prepare(readings, scenario.batch)
    began, before = time.perf_counter(), processor_s(processes)
    load = await fleet.send(queues, scenario.batch)
    accepted_s = time.perf_counter() - began
    await services.until_stored(fleet.sent)
    whole_rate = load.sent / (time.perf_counter() - began)
    used = used_us(before, processor_s(processes), load.sent)
    steady = await steadily(fleet, scenario.batch, rate=min(GOAL_RATE, 0.85 * whole_rate), seconds=seconds)
    await services.until_stored(fleet.sent)
    await services.check_ledger(fleet.sent)
    return {
        "whole_way_per_s": round(whole_rate),
        "accepted_per_s": round(load.sent / accepted_s),
        "refused": load.refused,
        "cpu_us": used,
        "cpu_us_of_services": round(sum(used[name] for name in services.urls), 2),
        **steady,
        "peak_rss_mib": {name: round(services.system(name).peak_rss_mib()) for name in services.urls},
    }


async def steadily(fleet: Fleet, batch: int, *, rate: float, seconds: float) -> dict[str, Any]:
    """Send at a rate, and look at how many readings wait meanwhile."""
    queues, load, before = fleet.prepare(int(rate * seconds), batch), Load(), fleet.sent
    lags: list[int] = []
    began = time.perf_counter()
    sending = asyncio.create_task(fleet.send(queues, batch, rate=rate, load=load))
    while not sending.done():
        sent = load.sent
        lags.append(max(0, before + sent - await fleet.services.stored()))
        await asyncio.wait([sending], timeout=_LAG_EVERY_S)
    await sending
    stored = await fleet.services.stored() - before
    third = max(1, len(lags) // 3)
    return {
        "steady_rate_per_s": round(rate),
        "steady_stored_per_s": round(stored / (time.perf_counter() - began)),
        "lag_first_third": round(statistics.mean(lags[:third])),
        "lag_last_third": round(statistics.mean(lags[-third:])),
        "lag_most": max(lags),
    }


async def fresh(folder: Path, scenario: Scenario, *, readings: int, seconds: float) -> dict[str, Any]:
    """Start the six services, run a scenario, and take all away."""
    async with services_on(folder) as services:
        return await measure(services, scenario, readings=readings, seconds=seconds)


def main() -> None:
    """Run the scenarios, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=400_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--only", default="", help="run the scenarios whose name contains this")
    options = parser.parse_args()
    figures = {}
    for scenario in SCENARIOS:
        if options.only in scenario.name:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                figures[scenario.name] = uvloop.run(
                    fresh(Path(folder), scenario, readings=options.readings, seconds=options.seconds)
                )
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
