"""The whole flow at its ports, from the door to the mailbox, on virtual time: it ends anywhere and starts again.

A `World` is what survives a process: the two files of `apsw`, the alerts, the registry, the mailbox, and the client,
who sends again what was not acknowledged. A `Process` is what is lost. Nothing here has threads, so a schedule that
failed fails again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import apsw
import msgspec
from tests.support.clock import VirtualClock
from tests.support.crashing import ProcessEnded
from tests.support.faults import Fate, Faulty, FaultyLog
from tests.support.ingestion import SwitchedSimulation
from tests.support.inline_sqlite import Disk, InlineReaders, InlineWriter
from tests.support.usage import KnownHomes

from energy_tracker.clients.directory import DirectoryChange
from energy_tracker.contracts import topics
from energy_tracker.contracts.ingestion import ReadingBody
from energy_tracker.eventlog.sqlite import SqliteEventLog
from energy_tracker.eventlog.sqlite_schema import prepare_log
from energy_tracker.kit.principal import LOCAL
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.services.alert.adapters.memory import MemoryAlertStore
from energy_tracker.services.alert.model.mails import Deferred, Delivered, Mail, MailPolicy, Outcome
from energy_tracker.services.alert.service.episodes import AlertService
from energy_tracker.services.alert.service.mailing import Mailing
from energy_tracker.services.alert.worker import EpisodeFollower, MailSender, UserEraser
from energy_tracker.services.ingestion.adapters.sqlite import EmbeddedDoor
from energy_tracker.services.ingestion.adapters.sqlite_schema import prepare_door
from energy_tracker.services.ingestion.model.admission import Refusal
from energy_tracker.services.ingestion.service import IngestionService
from energy_tracker.services.usage.adapters.embedded import EmbeddedStream
from energy_tracker.services.usage.adapters.sqlite import SqliteReadingStore
from energy_tracker.services.usage.adapters.sqlite_lookups import SqliteKnownReadings
from energy_tracker.services.usage.adapters.sqlite_rows import read_rules
from energy_tracker.services.usage.adapters.sqlite_schema import prepare as prepare_readings
from energy_tracker.services.usage.service import UsageService, rules_of
from energy_tracker.services.usage.watch import HomeWatch
from energy_tracker.services.usage.worker import UsageWorker

ROUNDS = 4_000
LOOK_EVERY_S = 5.0
AT_REST_S = 11.0
"""How long a process goes on undisturbed before it counts as at rest: all that only time brings was looked at."""


class LeapingClock(VirtualClock):
    """A virtual clock of a machine that can sleep, in a process without threads: it sees when nobody can go on."""

    async def settle(self) -> None:
        """Let every task go as far as it gets."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # no public way tells
        await asyncio.sleep(0)
        while ready:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)

    async def leap(self, seconds: float) -> None:
        """Let time pass with nobody looking; then everyone who wanted to be woken meanwhile is."""
        self._now_ms += round(seconds * 1000)
        await self.advance(0)


@dataclass
class Directory(KnownHomes):
    """A process's copy of the registry, which it looks into every few seconds."""

    registry: KnownHomes = field(default_factory=KnownHomes)
    subscribers: list[Callable[[DirectoryChange], Awaitable[None]]] = field(default_factory=list)

    def subscribe(self, subscriber: Callable[[DirectoryChange], Awaitable[None]]) -> None:
        self.subscribers.append(subscriber)

    def refused(self) -> Mapping[int, Refusal]:
        return {number: Refusal(None) for number, device in self.all_devices.items() if device.erased}

    async def refresh(self) -> None:
        registry = self.registry
        users = {number for number, user in registry.all_users.items() if self.all_users.get(number) != user}
        devices = {number for number, each in registry.all_devices.items() if self.all_devices.get(number) != each}
        self.all_users, self.all_devices = dict(registry.all_users), dict(registry.all_devices)
        if users or devices:
            for subscriber in self.subscribers:
                await subscriber(DirectoryChange(frozenset(users), frozenset(devices)))


@dataclass
class Mailbox:
    """The mail server, which lives on; an unreliable one breaks every third conversation after taking the mail."""

    unreliable: bool = False
    delivers: bool = True
    taken: list[Mail] = field(default_factory=list)

    async def send(self, mail: Mail) -> Outcome:
        self.taken.append(mail)
        if self.unreliable and len(self.taken) % 3 == 0:
            return Deferred("connection lost after DATA", whole_server=True)
        return Delivered()


def prepare_log_file(connection: apsw.Connection) -> None:
    prepare_log(connection)
    prepare_door(connection)


@dataclass
class Process:
    """The services of one process, whose ports are subject to its fate."""

    fate: Fate
    ingestion: IngestionService
    usage: UsageService
    worker: UsageWorker
    log: SqliteEventLog
    writers: tuple[InlineWriter, ...]
    tasks: list[asyncio.Task[Any]]

    @property
    def has_ended(self) -> bool:
        return self.fate.ended


Action = Callable[[Process], Awaitable[None]]


@dataclass
class World:
    """What survives; `fates` gives each process its own, in order, and from the last on an undisturbed one."""

    fates: list[Fate] = field(default_factory=list)
    registry: KnownHomes = field(default_factory=KnownHomes)
    mailbox: Mailbox = field(default_factory=Mailbox)
    clock: LeapingClock = field(default_factory=LeapingClock)
    policy: MailPolicy = field(default_factory=MailPolicy)
    starts: int = 0
    process: Process | None = None
    acknowledged: int = 0

    def __post_init__(self) -> None:
        self.log_disk, self.readings_disk = Disk(prepare_log_file), Disk(prepare_readings)
        self.alerts = MemoryAlertStore()

    async def do(self, action: Action) -> None:
        """Have the client do something, again and again until it is acknowledged by a process."""
        for _ in range(ROUNDS):
            process = await self._running()
            work = asyncio.ensure_future(action(process))
            await self._pass_time(work.done, process)
            if not work.done():
                work.cancel()
            (outcome,) = await asyncio.gather(work, return_exceptions=True)
            if outcome is None:
                return
            assert isinstance(outcome, ProcessEnded | TemporarilyUnavailable | asyncio.CancelledError), outcome
            if process.has_ended:
                await self.end()
            else:
                await self.clock.advance(1)
        message = "the client was never answered"
        raise AssertionError(message)

    async def send(self, *readings: ReadingBody) -> None:
        """Send readings until they are acknowledged."""

        async def record(process: Process) -> None:
            receipt = await process.ingestion.record_readings(principal=LOCAL, readings=readings)
            assert receipt.rejected == 0

        await self.do(record)
        self.acknowledged += len(readings)

    async def rest(self) -> None:
        """Let processes live, and start them again, until one has nothing left to do for a while."""
        for _ in range(ROUNDS):
            process = await self._running()
            await self._pass_time(partial(self._has_rested, process, self.clock.now_ms()), process)
            if not process.has_ended:
                return
            await self.end()
        message = "the world did not come to rest"
        raise AssertionError(message)

    async def end(self) -> None:
        """End the process here and now; nothing that it does from now on has an effect."""
        if self.process is None:
            return
        process, self.process = self.process, None
        process.fate.ended = True
        if process.fate.keeps_lazy_writes:
            for writer in process.writers:
                writer.write_lazily()
        for task in process.tasks:
            task.cancel()
        for end in await asyncio.gather(*process.tasks, return_exceptions=True):
            assert isinstance(end, asyncio.CancelledError | ProcessEnded), end

    async def _running(self) -> Process:
        """Return the running process, or start one, of which no task has done anything yet: the client may be first."""
        if self.process is not None and self.process.has_ended:
            await self.end()
        if self.process is None:
            fate = self.fates.pop(0) if self.fates else Fate()
            self.starts += 1
            self.process = await self._start(fate)
        return self.process

    async def _start(self, fate: Fate) -> Process:
        clock = self.clock
        log_writer, log_readers = InlineWriter(self.log_disk, fate), InlineReaders(self.log_disk)
        writer: Any = InlineWriter(self.readings_disk, fate)
        readers: Any = InlineReaders(self.readings_disk)
        plain_log = await SqliteEventLog.open(log_writer, log_readers, clock=clock)  # type: ignore[arg-type]  # without threads
        log: Any = FaultyLog(plain_log, "log", fate, clock)
        known = SqliteKnownReadings(lambda: self.readings_disk.connection)
        door = await EmbeddedDoor.open(log_writer, log_readers, plain_log, known, clock=clock)  # type: ignore[arg-type]  # as above
        directory = Directory(registry=self.registry)
        await directory.refresh()
        ingestion = IngestionService(
            door=Faulty(door, "door", fate, clock),
            directory=directory,
            clock=clock,
            simulation=SwitchedSimulation(),
        )
        store: Any = Faulty(SqliteReadingStore(writer, readers), "readings", fate, clock)
        usage = UsageService(store, directory, HomeWatch(store, directory), clock)
        worker = UsageWorker(log, EmbeddedStream(log), store, usage, clock)
        directory.subscribe(worker.registry_changed)
        alerts: Any = Faulty(self.alerts, "alerts", fate, clock)
        notifier: Any = Faulty(self.mailbox, "notifier", fate, clock)
        telemetry = Telemetry("alert")
        service = AlertService(repository=alerts, outbox=alerts, directory=directory, clock=clock, policy=self.policy)
        mailing = Mailing(outbox=alerts, notifier=notifier, clock=clock, policy=self.policy, random=lambda: 0.5)
        sender = MailSender(mailing=mailing, repository=alerts, clock=clock, telemetry=telemetry)
        eraser = UserEraser(service=service, clock=clock)
        directory.subscribe(eraser.on_change)
        follower = EpisodeFollower(
            event_log=log,
            service=service,
            repository=alerts,
            clock=clock,
            telemetry=telemetry,
            on_stored=sender.wake,
        )
        work = (
            worker.follow_registry,
            worker.consume,
            worker.publish,
            worker.watch_time,
            follower.run,
            sender.run,
            eraser.run,
            lambda: self._look_around(directory),
        )
        tasks = [asyncio.ensure_future(each()) for each in work]
        return Process(fate, ingestion, usage, worker, plain_log, (log_writer, writer), tasks)

    async def _look_around(self, directory: Directory) -> None:
        while True:
            await self.clock.sleep(LOOK_EVERY_S)
            await directory.refresh()

    async def _pass_time(self, reached: Callable[[], bool], process: Process | None) -> None:
        """Let time pass until a condition holds, or the process has ended."""
        for _ in range(ROUNDS):
            await self.clock.settle()
            if reached() or (process is not None and process.has_ended):
                return
            wake_ms = self.clock.next_wake_ms
            step_s = 0.0 if wake_ms is None else (wake_ms - self.clock.now_ms()) / 1000
            await self.clock.advance(max(step_s, 0))
        message = "nothing came of waiting"
        raise AssertionError(message)

    def _has_rested(self, process: Process, since_ms: int) -> bool:
        if self.clock.now_ms() - since_ms < AT_REST_S * 1000:
            return False
        log = process.log
        usage_at = log.committed_offset(topics.ENERGY_USAGE, topics.USAGE_GROUP)
        alerts_at = log.committed_offset(topics.ENERGY_ALERT_EPISODES, topics.ALERT_GROUP)
        behind = self.log_disk.connection.execute(
            'SELECT count(*) FROM record WHERE (topic = ? AND "offset" > ?) OR (topic = ? AND "offset" > ?)',
            (topics.ENERGY_USAGE, usage_at, topics.ENERGY_ALERT_EPISODES, alerts_at),
        ).get
        waiting = self.readings_disk.connection.execute(
            "SELECT (SELECT count(*) FROM outgoing) + (SELECT count(*) FROM to_judge)"
        ).get
        queued = [mail for mail in self.alerts._mails.values() if mail.state == "queued"]
        return not (behind or waiting or queued or process.worker.errors or self._registry_is_ahead())

    def _registry_is_ahead(self) -> bool:
        """Return whether usage-service has yet to act on what the registry says."""
        parked = {number for (number,) in self.readings_disk.rows("SELECT device_id FROM parked")}
        rules = dict(self.readings_disk.rows("SELECT device_id, rules FROM device"))
        return any(
            number in parked or (number in rules and (each.erased or read_rules(rules[number]) != rules_of(each)))
            for number, each in self.registry.all_devices.items()
        )


@dataclass(frozen=True)
class Picture:
    """What is to be the same however often the processes ended."""

    readings: Sequence[tuple[Any, ...]]
    quarters: Sequence[tuple[Any, ...]]
    heads: Sequence[tuple[Any, ...]]
    episodes: Sequence[tuple[Any, ...]]
    mails: frozenset[tuple[str, str]]
    accounts: Mapping[str, int]


def picture_of(world: World) -> Picture:
    """Look at what the world holds."""
    disk = world.readings_disk
    episodes = [
        (body["rule"], body["user_id"], body["device_id"], body["opened_ms"], body.get("ended_ms"), body["notify"])
        for body in (msgspec.json.decode(row[0]) for row in disk.rows("SELECT body FROM episode"))
    ]
    received, accepted, duplicate, rejected = world.log_disk.rows(
        "SELECT received, accepted, duplicate, rejected FROM ledger"
    )[0]
    _, stored, dead, repeated = disk.rows("SELECT position, stored, dead_lettered, repeated FROM tally")[0]
    (parked,) = disk.rows("SELECT count(*) FROM parked")[0]
    assert received == accepted + duplicate + rejected
    assert accepted - repeated == stored + parked + dead
    assert received >= world.acknowledged
    return Picture(
        readings=disk.rows("SELECT device_id, time_ms, hex(key), kind, direction, amount, since_ms FROM reading"),
        quarters=disk.rows("SELECT * FROM quarter_hour WHERE energy_mj <> 0 OR estimated_mj <> 0 OR covered_ms <> 0"),
        heads=disk.rows("SELECT device_id, direction, channel, head FROM stream"),
        episodes=sorted(episodes, key=str),
        mails=frozenset((mail.message_id, mail.kind) for mail in world.mailbox.taken),
        accounts={"accepted": accepted, "stored": stored, "dead": dead, "parked": parked, "repeated": repeated},
    )


def check_alerts(world: World) -> None:
    """Check that alert-service knows the episodes of usage-service, and that a mail is repeated only as itself."""
    known = {
        (episode.id, episode.opened_at_ms, episode.ended_at_ms, episode.version)
        for episode in world.alerts._episodes.values()
    }
    bodies = [msgspec.json.decode(row[0]) for row in world.readings_disk.rows("SELECT body FROM episode")]
    assert known == {(body["id"], body["opened_ms"], body.get("ended_ms"), body["version"]) for body in bodies}
    first: dict[str, Mail] = {}
    for mail in world.mailbox.taken:
        before = first.setdefault(mail.message_id, mail)
        assert (before.kind, before.subject, before.text) == (mail.kind, mail.subject, mail.text)
    told: dict[str, list[str]] = {}
    for mail in first.values():
        told.setdefault(mail.episode_id, []).append(mail.kind)
    assert all(kinds in (["opened"], ["opened", "ended"], ["ended"]) for kinds in told.values()), told
