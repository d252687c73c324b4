"""ingestion-service on a folder, over HTTP in this process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
import httpx
import msgspec

from energy_tracker.contracts.ingestion import SimulationStatus
from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.eventlog.sqlite_schema import prepare_log
from energy_tracker.kit.clock import SystemClock
from energy_tracker.services.ingestion.adapters.memory import FixedDirectory, MemoryKnownReadings
from energy_tracker.services.ingestion.adapters.sqlite import DEFAULT_QUEUE_LIMIT, EmbeddedDoor
from energy_tracker.services.ingestion.adapters.sqlite_schema import prepare_door
from energy_tracker.services.ingestion.model.admission import Refusal
from energy_tracker.services.ingestion.ports import SimulationAlreadyRunning, SimulationNotRunning
from energy_tracker.storage.sqlite_readers import SqliteReaders
from energy_tracker.storage.sqlite_writer import SqliteWriter
from energy_tracker.wiring.ingestion import ingestion_service

NOW_MS = 1_780_000_000_000  # 2026-05-28T20:26:40Z


class FixedClock(SystemClock):
    def now_ms(self) -> int:
        return NOW_MS


class SwitchedSimulation:
    """A simulation that only knows whether it runs."""

    def __init__(self) -> None:
        self.running = False

    async def start(self) -> SimulationStatus:
        if self.running:
            raise SimulationAlreadyRunning("It runs already.")
        self.running = True
        return await self.status()

    async def stop(self) -> SimulationStatus:
        if not self.running:
            raise SimulationNotRunning("It does not run.")
        self.running = False
        return await self.status()

    async def status(self) -> SimulationStatus:
        return SimulationStatus(running=self.running)


def prepare(connection: apsw.Connection) -> None:
    prepare_log(connection)
    prepare_door(connection)


@dataclass(frozen=True)
class Ingestion:
    http: httpx.AsyncClient
    log: SqliteEventLog
    writer: SqliteWriter
    known: MemoryKnownReadings

    async def logged(self) -> list[ReadingMessage]:
        """Every reading in the stream."""
        return await self.logged_in(self.log)

    @staticmethod
    async def logged_in(log: SqliteEventLog) -> list[ReadingMessage]:
        """Every reading in a stream."""
        messages: list[ReadingMessage] = []
        after = 0
        while records := await log.read(ENERGY_USAGE, after=after):
            for record in records:
                packed = msgspec.json.decode(record.value, type=list[ReadingMessage])
                assert len(packed) == record.readings
                messages += packed
            after = records[-1].offset
        return messages

    async def ledger(self) -> dict[str, int]:
        ledger: dict[str, int] = (await self.http.get("/actuator/ledger")).json()
        assert ledger["received"] == ledger["accepted"] + ledger["duplicate"] + ledger["rejected"]
        return ledger


@asynccontextmanager
async def ingestion(
    folder: Path,
    *,
    known: MemoryKnownReadings | None = None,
    refused: dict[int, Refusal] | None = None,
    queue_limit: int = DEFAULT_QUEUE_LIMIT,
) -> AsyncIterator[Ingestion]:
    known = known or MemoryKnownReadings()
    clock = FixedClock()
    async with AsyncExitStack() as stack:
        writer = await SqliteWriter.open(folder / "log.db", prepare=prepare)
        stack.push_async_callback(writer.close)
        readers = SqliteReaders(folder / "log.db")
        stack.push_async_callback(readers.close)
        log = await SqliteEventLog.open(writer, readers, clock=clock)
        service = ingestion_service(
            door=await EmbeddedDoor.open(writer, readers, log, known, clock=clock, queue_limit=queue_limit),
            log_health=writer.health,
            directory=FixedDirectory(refused),
            clock=clock,
            simulation=SwitchedSimulation(),
        )
        app = await stack.enter_async_context(service)
        transport = httpx.ASGITransport(app)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://ingestion"))
        yield Ingestion(http, log, writer, known)
