"""ingestion-service into Kafka: `python -m bench.distributed_ingest [--seconds 4] [--rounds 3]`.

How fast a process of `energy-tracker serve ingestion` takes readings over HTTP: an answer of 201 or 202 means that all
in-sync replicas have them. One home of 15 devices, whose owner the service knows, so that a batch is one message. The
load client is that of `bench.ingest`. `per_core_s` is how many readings the service takes in a second of its processor
time; unlike `readings_per_s` it does not tell how much of the machine the client and Kafka take.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bench.distributed import Services, services_on
from bench.distributed_cores import processor_s, used_us
from bench.distributed_usage import servers
from bench.ingest import Outcome, load, request
from bench.pipeline import INTERVAL_S

DEVICES = 15
LONG_AGO_S = 3 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class Way:
    """How readings come: `size` in a request, 0 for single ones; `guess` requests a second to begin with."""

    name: str
    size: int
    parallel: int
    guess: int


WAYS = (
    Way("batches of 100", 100, 64, 1_000),
    Way("batches of 1000", 1_000, 32, 120),
    Way("single", 0, 128, 6_000),
)


class Readings:
    """Readings without end of some devices, each a new one."""

    def __init__(self, devices: list[int]) -> None:
        self._devices = devices
        self._items = self._next_items()

    def requests(self, way: Way, seconds: float, rate: float) -> list[bytes]:
        """Return as many requests as come in so many seconds."""
        count = max(1, int(rate * seconds))
        if not way.size:
            return [request("/api/v1/ingestion", next(self._items).encode()) for _ in range(count)]
        return [
            request("/api/v1/ingestion/batch", f"[{','.join(next(self._items) for _ in range(way.size))}]".encode())
            for _ in range(count)
        ]

    def _next_items(self) -> Iterator[str]:
        at_s = int(time.time()) - LONG_AGO_S
        while True:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
            for number, device in enumerate(self._devices):
                amount = f"0.000{(at_s // INTERVAL_S + number) % 977 + 1:03d}"
                yield f'{{"deviceId":{device},"timestamp":"{stamp}","energyConsumed":{amount}}}'
            at_s += INTERVAL_S


async def measure_way(
    services: Services, readings: Readings, way: Way, *, seconds: float, rounds: int
) -> dict[str, Any]:
    """Send as fast as it goes, several times, and once half as fast for the latencies."""
    port, per = services.system("ingestion").port("ingestion"), max(way.size, 1)
    processes = {"ingestion": services.system("ingestion").pid, **servers()}
    rate, outcomes = float(way.guess), list[tuple[Outcome, dict[str, float]]]()
    for _ in range(rounds):
        messages = readings.requests(way, seconds, rate)
        before = processor_s(processes)
        outcome = await load(port, messages, parallel=way.parallel)
        outcomes.append((outcome, used_us(before, processor_s(processes), len(messages) * per)))
        rate = outcome.rate
    half = statistics.median(outcome.rate for outcome, _ in outcomes) / 2
    steady = await load(port, readings.requests(way, seconds, half), parallel=way.parallel, rate=half)
    used = {name: statistics.median(each[name] for _, each in outcomes) for name in processes if name != "influxdb"}
    return {
        "readings_per_s": round(statistics.median(outcome.rate for outcome, _ in outcomes) * per),
        "rounds": [round(outcome.rate * per) for outcome, _ in outcomes],
        "per_core_s": round(1e6 / used["ingestion"]),
        **{f"{name}_cpu_us": value for name, value in used.items()},
        "half_load_p50_ms": round(steady.percentile(0.5), 2),
        "half_load_p99_ms": round(steady.percentile(0.99), 2),
    }


async def measure(folder: Path, *, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure every way on one process."""
    async with services_on(folder, ("user", "device", "ingestion")) as services:
        (devices,) = await services.register(1, DEVICES, kinds=("interval",))
        readings = Readings(devices)
        figures = {way.name: await measure_way(services, readings, way, seconds=seconds, rounds=rounds) for way in WAYS}
        return figures | {"peak_rss_mib": round(services.system("ingestion").peak_rss_mib(), 1)}


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(json.dumps(uvloop.run(measure(Path(folder), seconds=options.seconds, rounds=options.rounds)), indent=2))


if __name__ == "__main__":
    main()
