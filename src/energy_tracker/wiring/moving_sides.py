"""The two sides of a move: a data folder, and the servers that services in processes of their own share."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from energy_tracker.contracts import topics
from energy_tracker.contracts.ingestion import IngestionLedger
from energy_tracker.eventlog.kafka import KafkaEventLog
from energy_tracker.eventlog.kafka_client import KafkaOptions, ensure_topics, partitions
from energy_tracker.eventlog.kafka_flow import PartitionsMoved
from energy_tracker.eventlog.kafka_members import members_of
from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import Problem
from energy_tracker.services.alert.adapters.sql import SqlAlertRepository
from energy_tracker.services.ingestion.adapters.openings import open_embedded_ledger, open_intake
from energy_tracker.services.ingestion.adapters.sqlite import EmbeddedDoor
from energy_tracker.services.usage.adapters.embedded import EMBEDDED_PLACE
from energy_tracker.services.usage.adapters.influx_devices import devices_in
from energy_tracker.services.usage.adapters.sqlite import SqliteReadingStore
from energy_tracker.services.usage.intake import IntakeLedger
from energy_tracker.services.usage.model.ledger import Holdings, Intake
from energy_tracker.services.usage.model.readings import Place
from energy_tracker.services.usage.ports import EveryHome, Homes, ReadingStore
from energy_tracker.settings import InvalidConfiguration, Settings, WrongVariable
from energy_tracker.storage.influx import InfluxDatabase, InfluxOptions
from energy_tracker.storage.migrations import migrate
from energy_tracker.storage.sql import create_engine
from energy_tracker.wiring import options
from energy_tracker.wiring.folder_files import folder_files
from energy_tracker.wiring.outgoing import http_client
from energy_tracker.wiring.usage_stream import kafka_and_influx

MEMBERS_PATIENCE_S: Final = 25.0
"""As long as a member that was killed still counts, and a little more."""


class ServicesAreRunning(Problem):
    """Services work on what is to be moved, or on the place where it goes."""

    status = 409
    title = "The services are running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Where users, devices and alerts are, the log, and the readings."""

    database_url: str | URL
    kafka: KafkaOptions
    influx: InfluxOptions


def servers_of(settings: Settings) -> Servers:
    """Return the servers that settings name. Raises `InvalidConfiguration`, which names all that are missing."""
    named = {
        "SPRING_DATASOURCE_URL": settings.datasource.kind == "mysql",
        "SPRING_KAFKA_BOOTSTRAP_SERVERS": settings.log.kind == "kafka",
        "INFLUX_URL": settings.readings.kind == "influx",
    }
    message = "is needed to reach what the services share; give this command the variables that they have"
    missing = tuple(WrongVariable(name, message) for name, is_named in named.items() if not is_named)
    if missing:
        raise InvalidConfiguration(missing)
    return Servers(
        database_url=options.database_url(settings),
        kafka=options.kafka(settings, client_id="energy-tracker-move"),
        influx=options.influx(settings),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side, held so that nothing else writes to it. `name` is how sentences call it."""

    name: str
    engine: AsyncEngine
    store: ReadingStore
    homes: Homes
    positions: Mapping[Place, int]
    """Up to where the log is in the store."""
    intake: IntakeLedger
    open_intake: Callable[[Intake], Awaitable[None]]
    """Takes over what doors have counted elsewhere."""
    waiting: Callable[[], Awaitable[Sequence[str]]]
    """Tells what is in the log, or on its way there, and not stored yet."""
    devices: Callable[[], Awaitable[set[int]]]
    """Tells which devices have readings or figures."""


@dataclass(frozen=True, slots=True)
class _FolderIntake:
    """`IntakeLedger` of `log.db`."""

    door: EmbeddedDoor

    async def intake(self, *, beyond: Holdings) -> Intake:
        ledger = await self.door.ledger(after=beyond.positions[EMBEDDED_PLACE])
        return Intake(ledger.received, ledger.accepted, ledger.duplicate, ledger.rejected, ledger.queued)


@asynccontextmanager
async def folder_side(home: Path, clock: Clock, *, within: str = "") -> AsyncIterator[Side]:
    """Give the files of a folder whose lock the caller holds; those that are missing are made.

    `within` is the name of a folder inside it that has the files for now.
    """
    name, home = f"the folder {home}", home / within
    async with AsyncExitStack() as stack:
        engine = create_engine(f"sqlite+aiosqlite:///{home / 'relational.db'}")
        stack.push_async_callback(engine.dispose)
        await migrate(engine)
        files = await stack.enter_async_context(folder_files(home))
        log = await SqliteEventLog.open(files.log_writer, files.log_readers, clock=clock)
        store = SqliteReadingStore(files.writer, files.readers)
        positions = await store.take_up()
        door = await EmbeddedDoor.open(files.log_writer, files.log_readers, log, files.known, clock=clock)
        alerts = SqlAlertRepository(engine, clock=clock)

        async def waiting() -> Sequence[str]:
            found = []
            if await log.read(topics.ENERGY_USAGE, after=positions[EMBEDDED_PLACE], limit=1):
                found.append("readings wait in the log")
            told = max([log.committed_offset(topics.ENERGY_ALERT_EPISODES, topics.ALERT_GROUP), *await told_up_to()])
            untold = await log.read(topics.ENERGY_ALERT_EPISODES, after=told, limit=1)
            if untold or await store.outgoing(limit=1):
                found.append("news of alerts waits")
            return found

        async def told_up_to() -> Sequence[int]:
            return list((await alerts.positions()).values())

        async def set_ledger(intake: Intake) -> None:
            counted = IngestionLedger(
                received=intake.received,
                accepted=intake.accepted,
                duplicate=intake.duplicate,
                rejected=intake.rejected,
                queued=0,
            )
            await open_embedded_ledger(files.log_writer, counted)

        async def devices() -> set[int]:
            return set(await store.known_devices())

        yield Side(
            name=name,
            engine=engine,
            store=store,
            homes=EveryHome(),
            positions=positions,
            intake=_FolderIntake(door),
            open_intake=set_ledger,
            waiting=waiting,
            devices=devices,
        )


@asynccontextmanager
async def servers_side(servers: Servers, clock: Clock) -> AsyncIterator[Side]:
    """Give the servers, as the only usage-service: it is a member of the group, and a second one would end the move.

    Raises `ServicesAreRunning` where usage-service or alert-service runs, and the problems of the servers.
    """
    kafka = servers.kafka
    async with AsyncExitStack() as stack:
        stack.enter_context(_alone())
        engine = create_engine(servers.database_url)
        stack.push_async_callback(engine.dispose)
        await migrate(engine)
        await ensure_topics(kafka)
        await _refuse_members(kafka)
        count = await partitions(kafka, topics.ENERGY_USAGE)
        http = await stack.enter_async_context(http_client(servers.influx.url))
        backends = await stack.enter_async_context(
            kafka_and_influx(kafka=kafka, influx=servers.influx, partitions=count, clock=clock)
        )
        log = await stack.enter_async_context(KafkaEventLog.open(options=kafka, clock=clock))
        database, store = InfluxDatabase(servers.influx, http), backends.store
        positions = await store.take_up()
        if len(backends.homes.partitions) != count:
            raise ServicesAreRunning("Another usage-service shares the homes with this move: stop it first.")

        async def waiting() -> Sequence[str]:
            found = []
            holdings = await store.holdings()
            if (await backends.intake.intake(beyond=holdings)).queued or holdings.on_the_way > 0:
                found.append("readings wait in the log")
            if await log.lag(topics.ENERGY_ALERT_EPISODES, group=topics.ALERT_GROUP):
                found.append("news of alerts waits")
            return found

        async def devices() -> set[int]:
            return {*await devices_in(database), *await store.known_devices()}

        yield Side(
            name="the servers of the services",
            engine=engine,
            store=store,
            homes=backends.homes,
            positions=positions,
            intake=backends.intake,
            open_intake=lambda intake: open_intake(log, duplicate=intake.duplicate, rejected=intake.rejected),
            waiting=waiting,
            devices=devices,
        )


@contextmanager
def _alone() -> Iterator[None]:
    try:
        yield
    except PartitionsMoved as error:
        message = "usage-service was started, so the move has stopped. Stop it, and start the move again: it goes on."
        raise ServicesAreRunning(message) from error


async def _refuse_members(kafka: KafkaOptions) -> None:
    for service, group in (("usage-service", topics.USAGE_GROUP), ("alert-service", topics.ALERT_GROUP)):
        members = await members_of(kafka, group, patience_s=MEMBERS_PATIENCE_S)
        if members:
            message = f"{service} is running ({members} consumers). Stop all six services, then start the move again."
            raise ServicesAreRunning(message)
