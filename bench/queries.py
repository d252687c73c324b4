"""How fast figures are answered, and that it does not depend on how much is stored: `python -m bench.queries`.

Two data folders, of about 2 and 20 million raw readings, are filled by SQL with the rows that the flow would have
written (a reading each half minute of 15 devices a home, their quarter-hours), then the real system runs on them. It is
asked for 30 days of hourly sums of a home and for its totals of 7 days: through HTTP with one connection, and at the
port (`ReadingQueries.bucket_sums`) in a process of its own. The median of `--times` answers, the 95th percentile, and
the first answer after the start; `cpu_ms` is the system's processor time for an answer. The larger folder has 5 homes
of 90 days, the smaller one home of 45.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import apsw
import httpx
import uvloop

from bench.system import System, percentile, register_homes, running
from energy_tracker.services.usage.adapters.sqlite import SqliteReadingStore
from energy_tracker.storage.sqlite_readers import SqliteReaders

DEVICES = 15
INTERVAL_S = 30
QUARTER_MS = 900_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Size:
    """How much is stored."""

    name: str
    homes: int
    days: int


SIZES = (Size("2 million rows", 1, 45), Size("20 million rows", 5, 90))

_READINGS = """
INSERT INTO reading (device_id, time_ms, key, kind, direction, amount, since_ms, received_ms, channel)
WITH RECURSIVE tick(number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM tick WHERE number + 1 < ?3)
SELECT ?1, ?2 + number * ?4, randomblob(16), 2, NULL, 100 + (number * 7 + ?1 * 13) % 900, NULL, ?2 + number * ?4, ''
FROM tick
"""
"""?1 device, ?2 first instant in ms, ?3 how many, ?4 ms between two: power values of 100 to 999 W."""

_QUARTER_HOURS = """
INSERT INTO quarter_hour (device_id, start_ms, direction, channel, energy_mj, estimated_mj, covered_ms)
SELECT device_id, time_ms - time_ms % 900000, 0, '', CAST(sum(amount) * ?2 AS INTEGER), 0, count(*) * ?2
FROM reading WHERE device_id = ?1 GROUP BY time_ms / 900000
"""


def fill(path: Path, devices: Sequence[int], *, days: int, end_ms: int) -> int:
    """Write what the flow would have written about devices until an instant; return how many readings."""
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "OFF")
    connection.pragma("cache_size", -200_000)
    count = days * DAY_MS // (INTERVAL_S * 1000)
    begin_ms = end_ms - days * DAY_MS
    rules = '{"kind":"power","direction":"import","max_hold_ms":300000,"rated_power_w":null}'
    for device in devices:
        with connection:
            connection.execute(_READINGS, (device, begin_ms, count, INTERVAL_S * 1000))
            connection.execute(_QUARTER_HOURS, (device, INTERVAL_S * 1000))
            connection.execute("INSERT INTO device VALUES (?, ?)", (device, rules))
    stored = count * len(devices)
    connection.execute("UPDATE tally SET stored = ?", (stored,))
    connection.close()
    return stored


async def timed(ask: Callable[[], Awaitable[object]], times: int) -> dict[str, float]:
    """Ask again and again; return ms."""
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - began) * 1e3)
    first, *later = taken
    return {
        "median_ms": round(median(later), 2),
        "p95_ms": round(percentile(later, 0.95), 2),
        "first_ms": round(first, 2),
    }


async def ask_http(system: System, user: int, end_ms: int, times: int) -> dict[str, Any]:
    """Ask through HTTP."""
    begin, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // 1000)) for at in (end_ms - 30 * DAY_MS, end_ms))
    base = f"{system.urls['usage']}/api/v1/usage/{user}"
    async with httpx.AsyncClient(timeout=60) as http:

        async def ask(url: str, **parameters: str) -> httpx.Response:
            return (await http.get(url, params=parameters)).raise_for_status()

        hours = await ask(f"{base}/series", **{"from": begin, "to": end, "resolution": "hour"})
        week = await ask(base, days="7")
        buckets = len(hours.json()["total"])
        if buckets != 720 or len(week.json()["devices"]) != DEVICES:
            raise RuntimeError(f"{buckets} hours, {len(week.json()['devices'])} devices")
        questions = {
            "30 days of hours": lambda: ask(f"{base}/series", **{"from": begin, "to": end, "resolution": "hour"}),
            "7 days": lambda: ask(base, days="7"),
        }
        figures: dict[str, Any] = {"30 days of hours, bytes": len(hours.content)}
        for name, question in questions.items():
            cpu = system.cpu_s()
            taken = await timed(question, times)
            figures[name] = taken | {"cpu_ms": round((system.cpu_s() - cpu) / (times + 1) * 1e3, 1)}
        return figures


async def ask_port(path: Path, devices: Sequence[int], end_ms: int, times: int) -> dict[str, Any]:
    """Ask the store itself."""
    readers = SqliteReaders(path)
    store = SqliteReadingStore(None, readers)  # type: ignore[arg-type]  # nothing is written
    hours = list(range(end_ms - 30 * DAY_MS, end_ms + 1, HOUR_MS))
    week = [end_ms - 7 * DAY_MS, end_ms]
    figures = {
        "30 days of hours": await timed(lambda: store.bucket_sums(device_ids=devices, boundaries_ms=hours), times),
        "7 days": await timed(lambda: store.bucket_sums(device_ids=devices, boundaries_ms=week), times),
    }
    await readers.close()
    return figures


def measure(folder: Path, size: Size, times: int) -> dict[str, Any]:
    """Fill a folder and ask."""
    home = folder / size.name.partition(" ")[0]
    with running(home) as system:
        homes = register_homes(system, size.homes, DEVICES, kinds=("power",))
    end_ms = int(time.time() * 1000) // HOUR_MS * HOUR_MS
    began = time.perf_counter()
    stored = fill(
        home / "readings.db", [device for devices in homes for device in devices], days=size.days, end_ms=end_ms
    )
    figures: dict[str, Any] = {"rows": stored, "filled_s": round(time.perf_counter() - began, 1)}
    with running(home) as system:
        figures["started_s"] = round(system.ready_s, 2)
        figures["http"] = uvloop.run(ask_http(system, (size.homes + 1) // 2, end_ms, times))
        figures["port"] = asyncio.run(ask_port(home / "readings.db", homes[(size.homes + 1) // 2 - 1], end_ms, times))
    figures["gib"] = round(sum(file.stat().st_size for file in home.iterdir()) / 2**30, 2)
    return figures


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--small", action="store_true", help="only the smaller folder")
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for size in SIZES[: 1 if options.small else None]:
            figures[size.name] = measure(Path(folder), size, options.times)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
