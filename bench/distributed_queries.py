"""How fast figures are answered from InfluxDB: `python -m bench.distributed_queries [--readings 2000000]`.

A home of 15 devices with a reading each half minute, put into Kafka as ingestion-service would and stored by
usage-service: just what it leaves in InfluxDB is asked for afterwards. 30 days of hourly sums and the totals of 7 days
through HTTP with one connection: the median of `--times` answers, the 95th percentile, the first answer; `cpu_ms` is
usage-service's processor time for an answer. It is asked twice: right after the readings were stored, and (`again`)
after a restart of usage-service, with nothing in its memory.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.distributed import Services, services_on
from bench.distributed_usage import Messages, produce
from bench.queries import DEVICES, HOUR_MS, INTERVAL_S, ask_http
from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.kit.ids import derived_event_key, event_id_text

PACK = 1_000
_AT_ONCE = 200


async def fill(services: Services, user: int, devices: Sequence[int], readings: int, end_ms: int) -> float:
    """Have so many readings stored, the last of them at the end; return how many seconds it took."""
    ticks = range(-(readings // len(devices)), 0)
    moments = ((end_ms + tick * INTERVAL_S * 1_000, tick) for tick in ticks)
    items = (_reading(device, time_ms, tick) for time_ms, tick in moments for device in devices)
    began = time.perf_counter()
    for part in _messages(str(user), items):
        await asyncio.to_thread(produce, services.stack.kafka, part)
    await services.until_stored(len(ticks) * len(devices))
    return time.perf_counter() - began


def _reading(device_id: int, time_ms: int, tick: int) -> ReadingMessage:
    power_w = 100.0 + (tick * 7 + device_id * 13) % 900
    key = derived_event_key(device_id, time_ms * 1_000, "power", "import", power_w, None, None)
    return ReadingMessage(
        device_id=device_id, timestamp=time_ms, power_w=power_w, event_id=event_id_text(key), received_at=time_ms
    )


def _messages(key: str, readings: Iterator[ReadingMessage]) -> Iterator[Messages]:
    """Yield messages some hundred at a time, so that not all are in memory."""
    encode = msgspec.json.Encoder().encode
    while True:
        part: Messages = []
        for _ in range(_AT_ONCE):
            if pack := list(islice(readings, PACK)):
                part.append((key, encode(pack), len(pack)))
        if not part:
            return
        yield part


async def measure(folder: Path, *, readings: int, times: int) -> dict[str, Any]:
    """Fill a bucket and ask."""
    async with services_on(folder, ("user", "device", "ingestion", "usage")) as services:
        (devices,) = await services.register(1, DEVICES, kinds=("power",))
        user = (await services.stack.get("device", f"/api/v1/device/{devices[0]}"))["userId"]
        end_ms = int(time.time() * 1000) // HOUR_MS * HOUR_MS
        seconds = await fill(services, user, devices, readings, end_ms)
        stored = await services.stored()
        figures: dict[str, Any] = {"rows": stored, "filled_s": round(seconds, 1)}
        figures["http"] = await ask_http(services.system("usage"), user, end_ms, times)
        await services.stack["usage"].stop()
        await services.start("usage")
        figures["started_s"] = round(services.ready_s["usage"], 2)
        figures["again"] = await ask_http(services.system("usage"), user, end_ms, times)
        return figures


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=2_000_000)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(json.dumps(uvloop.run(measure(Path(folder), readings=options.readings, times=options.times)), indent=2))


if __name__ == "__main__":
    main()
