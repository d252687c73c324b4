"""What the whole system takes: memory, start, idle processor time. `python -m bench.footprint [--idle 20]`.

`first_start_s` is on an empty folder, `second_start_s` on the folder that the first left: from the start of the process
until every service says it is ready. Memory at rest is read some seconds later. `idle_cpu_percent` is that of one core
over `--idle` seconds. Memory under load is the most while batches of 100 come as fast as they are taken, for 15 devices
and for 2 000.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.pipeline import SCENARIOS, measure
from bench.system import System, running

REST_S = 5.0
LOADS = ("15 devices, batches of 100", "2000 devices, batches of 100")


def at_rest(system: System, idle_s: float) -> dict[str, float]:
    """Measure a system that nobody asks for anything."""
    time.sleep(REST_S)
    rss_mib, cpu, began = system.rss_mib(), system.cpu_s(), time.perf_counter()
    time.sleep(idle_s)
    return {
        "rss_mib": round(rss_mib, 1),
        "idle_cpu_percent": round((system.cpu_s() - cpu) / (time.perf_counter() - began) * 100, 2),
    }


async def under_load(system: System, name: str, readings: int) -> dict[str, Any]:
    """Return the most memory that a load makes the system take."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    await measure(system, scenario, readings=readings, seconds=5)
    peak_mib = system.peak_rss_mib()
    await asyncio.sleep(REST_S)
    return {"peak_rss_mib": round(peak_mib, 1), "rss_after_mib": round(system.rss_mib(), 1)}


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--readings", type=int, default=400_000)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        with running(Path(folder) / "home") as system:
            figures["first_start_s"] = round(system.ready_s, 2)
        with running(Path(folder) / "home") as system:
            figures["second_start_s"] = round(system.ready_s, 2)
            figures["at_rest"] = at_rest(system, options.idle)
        for number, name in enumerate(LOADS):
            with running(Path(folder) / f"load{number}") as system:
                figures[name] = uvloop.run(under_load(system, name, options.readings))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
