"""What the six processes take: start, memory, idle processor time. `python -m bench.distributed_footprint [--idle 60]`.

The services start one after the other, each measured from the start of its process until it is ready: `first_start_s`
makes tables, topics and the bucket, `second_start_s` finds them. Memory at rest is read some seconds later, and
`idle_cpu_percent` is that of one core over `--idle` seconds. Memory under load is the most that each process has had
after batches of 100 came as fast as they were taken, for 15 devices and for 2 000.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.distributed import Services, services_on
from bench.distributed_pipeline import SCENARIOS, fresh
from bench.footprint import LOADS, REST_S
from bench.system import SERVICES


async def at_rest(services: Services, idle_s: float) -> dict[str, Any]:
    """Measure services that nobody asks for anything."""
    systems = {name: services.system(name) for name in SERVICES}
    await asyncio.sleep(REST_S)
    rss_mib = {name: round(system.rss_mib(), 1) for name, system in systems.items()}
    before, began = {name: system.cpu_s() for name, system in systems.items()}, time.perf_counter()
    await asyncio.sleep(idle_s)
    seconds = time.perf_counter() - began
    idle = {name: round((system.cpu_s() - before[name]) / seconds * 100, 2) for name, system in systems.items()}
    return {
        "rss_mib": rss_mib | {"six": round(sum(rss_mib.values()), 1)},
        "idle_cpu_percent": idle | {"six": round(sum(idle.values()), 2)},
    }


async def started(folder: Path, idle_s: float) -> dict[str, Any]:
    """Start twice on the same servers; measure at rest then."""
    async with services_on(folder) as services:
        figures: dict[str, Any] = {"first_start_s": _rounded(services.ready_s)}
        await services.stop()
        for name in SERVICES:
            await services.start(name)
        figures["second_start_s"] = _rounded(services.ready_s)
        return figures | {"at_rest": await at_rest(services, idle_s)}


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()} | {"longest": round(max(values.values()), 2)}


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=float, default=60)
    parser.add_argument("--readings", type=int, default=400_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = uvloop.run(started(Path(folder), options.idle))
    for scenario in SCENARIOS:
        if scenario.name in LOADS:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                done = uvloop.run(fresh(Path(folder), scenario, readings=options.readings, seconds=5))
            peak_mib = done["peak_rss_mib"]
            figures[scenario.name] = {"peak_rss_mib": peak_mib | {"largest": max(peak_mib.values())}}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
