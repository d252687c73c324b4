"""How soon a reading can be seen: `python -m bench.distributed_latency [--seconds 20] [--rounds 2]`.

While batches of one home come at a steady rate, single readings of devices of another home are sent: `answered_ms` is
the time until the 201, `visible_ms` until `GET …/readings` of usage-service shows it, both from the beginning of the
POST. It is asked for again 10 ms after each answer that is empty; `asked_ms` is how long one such question takes. The
rates take turns, in several rounds.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import defaultdict
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import uvloop

from bench.distributed import Services, services_on
from bench.distributed_pipeline import Fleet
from bench.system import KINDS, percentile
from energy_tracker.kit.instants import to_iso

RATES = (("1000 readings/s", 1_000, 10), ("10000 readings/s", 10_000, 100))
"""Name, readings a second, and how many to a batch."""
_DEVICES = 15
_PROBES = 2
_LOOK_AGAIN_S = 0.01
_WARM_S = 3.0
_LONGEST_S = 30.0
_MOST_PAUSE_S = 0.1


class Probe:
    """A device that sends a reading, waits until it can be seen, and pauses a little."""

    def __init__(self, services: Services, user: int, device: int) -> None:
        self._services = services
        self._readings = f"{services.urls['usage']}/api/v1/usage/{user}/readings"
        self._device = device
        self.answered_ms: list[float] = []
        self.visible_ms: list[float] = []
        self.asked_ms: list[float] = []

    async def run(self, until: float) -> None:
        """Send one reading after the other until then."""
        async with httpx.AsyncClient(trust_env=False, timeout=_LONGEST_S) as http:
            while time.perf_counter() < until:
                await self._once(http)
                await asyncio.sleep(random.uniform(0, _MOST_PAUSE_S))

    async def _once(self, http: httpx.AsyncClient) -> None:
        time_ms = time.time_ns() // 1_000_000
        body = {"deviceId": self._device, "timestamp": to_iso(time_ms), "energyConsumed": 0.001}
        span = {"deviceId": str(self._device), "from": to_iso(time_ms), "to": to_iso(time_ms + 1), "limit": "1"}
        began = time.perf_counter()
        answer = await http.post(f"{self._services.urls['ingestion']}/api/v1/ingestion", json=body)
        answer.raise_for_status()
        self.answered_ms.append((time.perf_counter() - began) * 1e3)
        while not await self._is_visible(http, span):
            if time.perf_counter() > began + _LONGEST_S:
                raise RuntimeError(f"the reading of {to_iso(time_ms)} cannot be seen")
            await asyncio.sleep(_LOOK_AGAIN_S)
        self.visible_ms.append((time.perf_counter() - began) * 1e3)

    async def _is_visible(self, http: httpx.AsyncClient, span: dict[str, str]) -> bool:
        began = time.perf_counter()
        answer = (await http.get(self._readings, params=span)).raise_for_status()
        self.asked_ms.append((time.perf_counter() - began) * 1e3)
        return bool(answer.json()["items"])


async def at_rate(fleet: Fleet, probes: list[Probe], *, rate: float, batch: int, seconds: float) -> None:
    """Let the probes run while readings come at a rate."""
    queues = fleet.prepare(int(rate * seconds), batch)
    until = time.perf_counter() + seconds
    await asyncio.gather(fleet.send(queues, batch, rate=rate), *(probe.run(until) for probe in probes))
    fleet.sent += sum(len(probe.visible_ms) for probe in probes)
    await fleet.services.until_stored(fleet.sent)


async def measure(folder: Path, *, seconds: float, rounds: int) -> dict[str, Any]:
    """Measure at each rate."""
    async with services_on(folder) as services:
        *homes, another = await services.register(2, _DEVICES)
        probed = [device for device, kind in zip(another, cycle(KINDS), strict=False) if kind == "interval"][:_PROBES]
        user = (await services.stack.get("device", f"/api/v1/device/{probed[0]}"))["userId"]
        fleet = Fleet(services, homes)
        found: defaultdict[str, list[Probe]] = defaultdict(list)
        for number in range(rounds + 1):
            for name, rate, batch in RATES:
                probes = [Probe(services, user, device) for device in probed]
                await at_rate(fleet, probes, rate=rate, batch=batch, seconds=seconds if number else _WARM_S)
                if number:
                    found[name] += probes
        await services.check_ledger(fleet.sent)
        return {name: _figures(probes) for name, probes in found.items()}


def _figures(probes: list[Probe]) -> dict[str, Any]:
    figures: dict[str, Any] = {"readings": sum(len(probe.visible_ms) for probe in probes)}
    for name in ("answered_ms", "visible_ms", "asked_ms"):
        values = [value for probe in probes for value in getattr(probe, name)]
        figures[name] = {f"p{share:g}": round(percentile(values, share / 100), 1) for share in (50, 90, 99)}
        figures[name]["most"] = round(max(values), 1)
    return figures


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(json.dumps(uvloop.run(measure(Path(folder), seconds=options.seconds, rounds=options.rounds)), indent=2))


if __name__ == "__main__":
    main()
