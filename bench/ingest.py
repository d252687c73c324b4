"""How fast ingestion-service acknowledges readings after the fsync: `python bench/ingest.py [--seconds 4]`.

A server process (one event loop, uvicorn, the real log on the disk of `--folder`) and a load client beside it, with
bodies made beforehand and raw sockets kept alive. Rates count what was answered 201 or 202. Each round has its own
readings; a stand-in for usage-service reads and commits them, so that memory stays as flat as it would. Absolute rates
are those of the machine it runs on, with the client on one of its cores; the ratio travels better.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw
import uvicorn
import uvloop

from energy_tracker.contracts.topics import ENERGY_USAGE, USAGE_GROUP
from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.eventlog.sqlite_schema import prepare_log
from energy_tracker.kit.clock import SystemClock
from energy_tracker.services.ingestion.adapters.memory import FixedDirectory, MemoryKnownReadings
from energy_tracker.services.ingestion.adapters.sqlite import EmbeddedDoor
from energy_tracker.services.ingestion.adapters.sqlite_schema import prepare_door
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter
from energy_tracker.wiring.ingestion import ingestion_service

START_S = 1_700_000_000
DEVICES = 50
ALL_NEW = re.compile(rb'"status":"accepted"|"duplicate":0,"rejected":0')


class NoSimulation:
    """Nothing is generated here."""

    def __getattr__(self, name: str) -> object:
        raise NotImplementedError(name)


def prepare(connection: apsw.Connection) -> None:
    """Make the tables of the log and of the door."""
    prepare_log(connection)
    prepare_door(connection)


async def follow(log: SqliteEventLog) -> None:
    """Stand in for usage-service: read and commit."""
    async with contextlib.aclosing(log.consume(ENERGY_USAGE, group=USAGE_GROUP)) as batches:
        async for batch in batches:
            await batch.commit()


async def serve(folder: Path, listener: socket.socket, switch_interval_s: float) -> None:
    """Run ingestion-service until the process is ended."""
    sys.setswitchinterval(switch_interval_s)
    writer = await SqliteWriter.open(folder / "log.db", prepare=prepare)
    readers = SqliteReaders(folder / "log.db")
    log = await SqliteEventLog.open(writer, readers, clock=SystemClock())
    following = asyncio.create_task(follow(log))
    door = await EmbeddedDoor.open(writer, readers, log, MemoryKnownReadings(), clock=SystemClock())
    async with ingestion_service(
        door=door,
        log_health=writer.health,
        directory=FixedDirectory(),
        clock=SystemClock(),
        simulation=NoSimulation(),  # type: ignore[arg-type]  # never called here
    ) as app:
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        await uvicorn.Server(config).serve(sockets=[listener])
    following.cancel()


def run_server(folder: Path, listener: socket.socket, switch_interval_s: float) -> None:
    """Be the server process."""
    uvloop.run(serve(folder, listener, switch_interval_s))


def request(path: str, body: bytes) -> bytes:
    """Return a POST as it goes over the socket."""
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\n\r\n".encode() + body


def requests(round_number: int, count: int, size: int) -> list[bytes]:
    """Make requests of `size` readings (0: single ones), each reading a new one."""
    made = []
    for number in range(count):
        items = []
        for item in range(max(size, 1)):
            index = number * max(size, 1) + item
            at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(START_S + round_number * 500_000 + index // DEVICES))
            device = f'"deviceId":{index % DEVICES + 1},"energyConsumed":0.{index % 9973:05d}'
            items.append(f'{{{device},"timestamp":"{at}.{index % 1000:03d}Z"}}')
        body = f"[{','.join(items)}]" if size else items[0]
        made.append(request("/api/v1/ingestion" + ("/batch" if size else ""), body.encode()))
    return made


@dataclass(frozen=True, slots=True)
class Outcome:
    """Requests a second, and latencies in ms, sorted."""

    rate: float
    latencies_ms: Sequence[float]

    def percentile(self, share: float) -> float:
        """Return a latency that this share of the requests does not exceed."""
        return self.latencies_ms[min(int(len(self.latencies_ms) * share), len(self.latencies_ms) - 1)]


class Connection(asyncio.Protocol):
    """One socket kept alive; one request at a time."""

    def __init__(self) -> None:
        self.answer = b""
        self.done: asyncio.Future[bytes] | None = None

    def connection_made(  # noqa: D102 - asyncio calls it
        self, transport: asyncio.BaseTransport
    ) -> None:
        self.transport = transport

    def data_received(  # noqa: D102 - asyncio calls it
        self, data: bytes
    ) -> None:
        self.answer += data
        head, separator, body = self.answer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) >= length and self.done is not None and not self.done.done():
            self.done.set_result(self.answer)

    async def post(self, message: bytes) -> bytes:
        """Send a request and return its answer."""
        self.answer = b""
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(message)  # type: ignore[attr-defined]  # a stream transport
        return await self.done


@contextlib.asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Give open connections."""
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(Connection, "127.0.0.1", port) for _ in range(count)]
    yield [protocol for _, protocol in opened]
    for transport, _ in opened:
        transport.close()


async def load(port: int, messages: list[bytes], *, parallel: int, rate: float | None = None) -> Outcome:
    """Send all messages, as fast as `parallel` connections do, or at `rate` requests a second."""
    queue = iter(enumerate(messages))
    latencies: list[float] = []
    begin = time.perf_counter()

    async def sender(connection: Connection) -> None:
        for number, message in queue:
            due = begin if rate is None else begin + number / rate
            if (pause := due - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            start = time.perf_counter() if rate is None else due
            answer = await connection.post(message)
            latencies.append((time.perf_counter() - start) * 1e3)
            if not answer.startswith((b"HTTP/1.1 201", b"HTTP/1.1 202")) or ALL_NEW.search(answer) is None:
                raise RuntimeError(answer.decode())

    async with connections(port, parallel) as opened:
        begin = time.perf_counter()
        await asyncio.gather(*(sender(connection) for connection in opened))
    return Outcome(len(messages) / (time.perf_counter() - begin), sorted(latencies))


async def measure(port: int, *, seconds: float, rounds: int) -> dict[str, object]:
    """Run all rounds and return the figures."""
    result: dict[str, object] = {}
    result_rates: list[float] = []
    number = 0
    for name, size, guess, parallel in (("batches of 100", 100, 1_500, 64), ("single", 0, 10_000, 128)):
        per = max(size, 1)
        rates = []
        for _ in range(rounds):
            number += 1
            outcome = await load(port, requests(number, int(guess * seconds), size), parallel=parallel)
            rates.append(outcome.rate * per)
        number += 1
        half = statistics.median(rates) / per / 2
        steady = await load(port, requests(number, int(half * seconds), size), parallel=parallel, rate=half)
        result[name] = {
            "readings_per_s": round(statistics.median(rates)),
            "rounds": [round(rate) for rate in rates],
            "half_load_p50_ms": round(steady.percentile(0.5), 2),
            "half_load_p99_ms": round(steady.percentile(0.99), 2),
            "full_load_p99_ms": round(outcome.percentile(0.99), 2),
        }
        result_rates.append(statistics.median(rates))
    result["batches over single"] = round(result_rates[0] / result_rates[1], 1)
    return result


def main() -> None:
    """Start the server process, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--switch-interval", type=float, default=0.005)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        context = multiprocessing.get_context("fork")
        server = context.Process(target=run_server, args=(Path(folder), listener, options.switch_interval), daemon=True)
        server.start()
        try:
            figures = uvloop.run(measure(port, seconds=options.seconds, rounds=options.rounds))
            pages = Path(f"/proc/{server.pid}/status").read_text()
            figures["server_rss_mib"] = int(pages.partition("VmRSS:")[2].split()[0]) // 1024
            print(json.dumps(figures, indent=2))
        finally:
            server.terminate()
            server.join()


if __name__ == "__main__":
    main()
