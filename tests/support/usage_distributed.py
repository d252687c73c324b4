"""usage-service in several processes on InfluxDB and Kafka in memory, to which anything may happen, drawn by a seed.

A `World` is what outlives processes: the log and the state, the points, the registry, and writes that are still under
way. A `Process` is one usage-service. Steps are taken one after the other; a process that hangs in the middle of a call
is one during whose call the others take steps.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from tests.support.clock import VirtualClock
from tests.support.crashing import ProcessEnded
from tests.support.flow_memory import FlowBroker, FlowMember
from tests.support.influx_memory import InfluxMemory
from tests.support.usage import KnownHomes

from energy_tracker.contracts.topics import ENERGY_USAGE
from energy_tracker.eventlog.kafka_flow import Assignment, FlowCommit
from energy_tracker.eventlog.port import Batch, Record
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.usage.adapters.influx import InfluxReadingStore
from energy_tracker.services.usage.adapters.kafka_stream import KafkaHomes, KafkaStream
from energy_tracker.services.usage.batches import decode_together
from energy_tracker.services.usage.decoding import to_message
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.service import UsageService
from energy_tracker.services.usage.under_way import UnderWay
from energy_tracker.services.usage.watch import HomeWatch
from energy_tracker.storage.influx import InfluxUnavailable, RefusedLine, Series

ROUNDS = 60


@dataclass(frozen=True)
class Trouble:
    """The chances, at each call of a port, that it fails, that the process ends, that it hangs while others go on."""

    fails: float = 0.0
    ends: float = 0.0
    hangs: float = 0.0


@dataclass
class CopiedHomes(KnownHomes):
    """A process's copy of the registry; `changed` are devices and users that it has not acted on."""

    world: "World | None" = None
    changed: set[int] = field(default_factory=set)
    changed_users: set[int] = field(default_factory=set)

    async def refresh(self) -> None:
        assert self.world is not None
        if self.world.draw(self.world.trouble.fails):
            return
        registry = self.world.registry
        self.changed |= {key for key, each in registry.all_devices.items() if self.all_devices.get(key) != each}
        self.changed_users |= {key for key, each in registry.all_users.items() if self.all_users.get(key) != each}
        self.all_users, self.all_devices = dict(registry.all_users), dict(registry.all_devices)


class Port:
    """A port of one process, of which each call may fail, be the last, or take so long that others go on."""

    def __init__(self, process: "Process") -> None:
        self.process = process
        self.world = process.world

    async def happen(self, work: Callable[[], Awaitable[Any]], failure: Callable[[], Exception]) -> Any:
        """Make a call that has its effect or not, whatever is said of it."""
        world, trouble = self.world, self.world.trouble
        self.process.alive()
        world.calls += 1
        if world.end_at is not None:
            return await self._end_at_call(work)
        if world.draw(trouble.hangs):
            await world.go_on_without(self.process)
            self.process.alive()
        if world.draw(trouble.ends):
            self.process.end()
        if world.draw(trouble.fails):
            raise failure()
        answer = await work()
        if world.draw(trouble.ends):
            self.process.end()
        if world.draw(trouble.fails):
            raise failure()
        return answer

    async def _end_at_call(self, work: Callable[[], Awaitable[Any]]) -> Any:
        assert self.world.end_at is not None
        call, after = self.world.end_at
        if self.world.calls == call and not after:
            self.process.end()
        answer = await work()
        if self.world.calls == call:
            self.process.end()
        return answer


class UnreliableInflux(Port):
    """Stands for `InfluxDatabase`; what is written may arrive in parts, or after it was given up."""

    async def write(self, lines: Sequence[str]) -> list[RefusedLine]:
        return await self.happen(lambda: self._write(list(lines)), _influx_fails)

    async def _write(self, lines: list[str]) -> list[RefusedLine]:
        world = self.world
        if world.draw(world.trouble.fails + world.trouble.ends):
            arriving = [line for line in lines if world.draw(0.5)]
            await world.influx.write(arriving)
            if world.draw(0.5):
                world.under_way.append([line for line in lines if line not in arriving])
            if world.draw(world.trouble.ends / (world.trouble.fails + world.trouble.ends)):
                self.process.end()
            raise _influx_fails()
        if world.draw(world.trouble.hangs / 2):
            world.under_way.append(lines)
            raise _influx_fails()
        return await world.influx.write(lines)

    async def query(self, influxql: str) -> list[list[Series]]:
        return await self.happen(lambda: self.world.influx.query(influxql), _influx_fails)

    async def delete(self, predicate: str, *, from_ms: int, to_ms: int) -> None:
        await self.happen(lambda: self.world.influx.delete(predicate, from_ms=from_ms, to_ms=to_ms), _influx_fails)


def _influx_fails() -> Exception:
    return InfluxUnavailable("InfluxDB fails by chance.")


class UnreliableFlow(Port):
    """Stands for `KafkaFlow`."""

    def __init__(self, process: "Process", member: FlowMember) -> None:
        super().__init__(process)
        self.member = member

    async def assigned(self) -> Assignment:
        return await self.happen(self.member.assigned, self.member.fail)

    async def next_batch(self, number: int) -> Sequence[Record] | None:
        return await self.happen(lambda: self.member.next_batch(number), self.member.fail)

    async def rewind(self, number: int) -> bool:
        return await self.happen(lambda: self.member.rewind(number), self.member.fail)

    async def commit(self, number: int, commit: FlowCommit) -> None:
        await self.happen(lambda: self.member.commit(number, commit), self.member.fail)


class Process:
    """One usage-service: its recording side, and what its worker does, a step at a time."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.ended = False
        self.is_up = False
        self.member = FlowMember(world.broker, world.size_of_batch)
        self.directory = CopiedHomes(world=world)
        self.directory.all_users = dict(world.registry.all_users)
        self.directory.all_devices = dict(world.registry.all_devices)
        homes = KafkaHomes(world.broker.partitions)
        database: Any = UnreliableInflux(self)
        flow: Any = UnreliableFlow(self, self.member)
        ledger: Any = world.broker
        self.batches: AsyncIterator[Batch] | None = None
        self.under_way: UnderWay | None = None
        self.work = asyncio.Lock()
        """Held by whoever lets it do something: it does one thing after the other."""
        self.store = InfluxReadingStore(database, flow, ledger, homes.partition_of)
        homes.follow(self.store)
        self.stream = KafkaStream(flow, self.store)
        watch = HomeWatch(self.store, self.directory, homes)
        self.service = UsageService(
            self.store, self.directory, watch, world.clock, patience_ms=world.patience_ms, homes=homes
        )

    def end(self) -> None:
        """End the process."""
        self.ended = True
        raise ProcessEnded

    def alive(self) -> None:
        """Go no further in a process that has ended."""
        if self.ended:
            raise ProcessEnded

    async def step(self) -> None:
        """Do one of the things that a worker does."""
        world = self.world
        if not self.is_up:
            await self._take_up()
        elif world.draw(0.1):
            await self.look_around()
        elif world.draw(0.07):
            await self.service.check(caught_up=self.member.lag() == 0)
        elif world.draw(0.02):
            await self.service.rebuild()
        else:
            await self.consume()

    async def look_around(self) -> None:
        """Look into the registry, and act on what has changed."""
        await self.directory.refresh()
        devices, self.directory.changed = self.directory.changed, set()
        users, self.directory.changed_users = self.directory.changed_users, set()
        try:
            await self.service.follow_registry(device_ids=devices)
            await self.service.forget_users(user_ids=users)
        except BaseException:
            self.directory.changed |= devices
            self.directory.changed_users |= users
            raise

    async def consume(self) -> None:
        """Take a batch, and mostly leave it under way; where that fails, or the partitions have moved, begin again."""
        self.is_up = False
        recorder = self.service.recorder
        assert self.batches is not None
        async for batch in self.batches:
            if batch.records:
                if self.world.draw(self.world.trouble.hangs):
                    await self.world.go_on_without(self)
                begun = await recorder.begin(decoded=await decode_together(batch.records))
                before, self.under_way = self.under_way, begun
                if before is not None:
                    await recorder.finish(before)
            if self.under_way is not None and (not self.member.lag() or self.world.draw(0.3)):
                await recorder.finish(self.under_way)
                self.under_way = None
            self.is_up = True
            return

    async def _take_up(self) -> None:
        self.under_way = None
        if not self.world.others_go_on and self.world.draw(0.5):  # what is cancelled is this process's alone
            await self.service.recorder.abandon()
        positions = await self.service.recorder.take_up()
        await self.service.follow_registry()
        await self.service.forget_users(user_ids=self.directory.deleted_users())
        self.batches = self.stream.batches(after=positions)
        self.is_up = True


@dataclass
class World:
    """What outlives processes."""

    chance: random.Random
    partitions: int = 2
    trouble: Trouble = field(default_factory=Trouble)
    end_at: tuple[int, bool] | None = None
    """A call at which the process ends, and whether after it."""
    patience_ms: int = 2**40
    in_batches_of: int | None = None
    influx: InfluxMemory = field(default_factory=InfluxMemory)
    registry: KnownHomes = field(default_factory=KnownHomes)
    clock: VirtualClock = field(default_factory=VirtualClock)
    processes: list[Process] = field(default_factory=list)
    under_way: list[list[str]] = field(default_factory=list)
    """Lines that will arrive in InfluxDB, though nobody waits for them any more."""
    accepted: list[Reading] = field(default_factory=list)
    has_moved_devices: bool = False
    calls: int = 0
    _depth: int = 0

    def __post_init__(self) -> None:
        self.broker = FlowBroker(self.partitions, self.clock.now_ms)

    def draw(self, chance: float) -> bool:
        """Let something happen with a chance."""
        return chance > 0 and self.chance.random() < chance

    def size_of_batch(self, waiting: int) -> int:
        """Return how many records a batch has."""
        return self.in_batches_of or self.chance.choice((1, 2, 5, waiting))

    def send(self, *readings: Reading, key: int | None, partition: int | None = None) -> None:
        """Append readings as one record, as anybody may: of a home, without a key, or wherever."""
        value = msgspec.json.encode([to_message(reading) for reading in readings])
        text = None if key is None else str(key)
        if partition is None:
            self.broker.append(ENERGY_USAGE, text, value)
        else:
            self.broker.append_to(ENERGY_USAGE, partition, text, value)
        self.accepted += readings

    def start(self, processes: int) -> None:
        """Start processes, which share the partitions."""
        self.processes += [Process(self) for _ in range(processes)]
        self.rebalance()

    def rebalance(self, *, without: Process | None = None) -> None:
        """Give the partitions anew to those that live; `without` one that does not know of it."""
        alive = [process for process in self.processes if process is not without]
        shares: dict[FlowMember, list[int]] = {process.member: [] for process in alive}
        for number in range(self.partitions):
            shares[self.chance.choice(alive).member].append(number)
        self.broker.assign(shares)

    @property
    def others_go_on(self) -> bool:
        """Whether some process hangs in the middle of a call just now."""
        return self._depth > 0

    async def go_on_without(self, process: Process) -> None:
        """Let others take some steps while a process hangs; mostly the group declares it dead before."""
        if self._depth or len(self.processes) < 2:
            return
        self._depth += 1  # at once: of two whose stores hang together, each would wait for the other
        others = asyncio.ensure_future(self._go_on_without(process))
        try:
            await asyncio.shield(others)
        except asyncio.CancelledError:
            await others  # what is cancelled is the process's own call, not what the others do
            raise

    async def _go_on_without(self, process: Process) -> None:
        try:
            if self.draw(0.8):
                self.rebalance(without=process if self.draw(0.8) else None)
            for _ in range(self.chance.randint(1, 8)):
                await self.step(self.chance.choice([each for each in self.processes if each is not process]))
        finally:
            self._depth -= 1

    async def step(self, process: Process) -> None:
        """Let a process take a step; another is started where it ends."""
        if self.under_way and self.draw(0.2):
            await self.arrive()
        if process.work.locked():
            return
        try:
            async with process.work:
                await process.step()
        except ProcessEnded:
            self.replace(process)
        except TemporarilyUnavailable:
            pass  # the worker goes on

    def replace(self, process: Process) -> None:
        """Start another process instead of one that has ended, once."""
        if process not in self.processes:
            return  # whoever took a step of it meanwhile has seen that it ended
        self.processes[self.processes.index(process)] = Process(self)
        self.rebalance()

    async def arrive(self) -> None:
        """Let a write that was under way arrive."""
        await self.influx.write(self.under_way.pop(self.chance.randrange(len(self.under_way))))

    async def rest(self) -> None:
        """Let all processes go on undisturbed until nothing is left to do."""
        trouble, self.trouble = self.trouble, Trouble()
        end_at, self.end_at = self.end_at, None
        if self.draw(0.5) or any(process.member.is_dead for process in self.processes):
            self.rebalance()
        for _ in range(ROUNDS):
            before = repr(self.broker.states)
            for process in self.processes:
                await self._go_on(process)
            is_at_rest = all(process.is_up for process in self.processes) and not self.broker.lag()
            if is_at_rest and before == repr(self.broker.states):
                self.trouble, self.end_at = trouble, end_at
                return
        message = "the world did not come to rest"
        raise AssertionError(message)

    async def _go_on(self, process: Process) -> None:
        """Let a process do all that there is to do for it."""
        try:
            async with process.work:
                if not process.is_up:
                    await process._take_up()
                await process.look_around()
                await process.consume()
                while process.is_up and process.member.lag():
                    await process.consume()
                await process.service.check(caught_up=self.broker.lag() == 0)
        except TemporarilyUnavailable:
            process.is_up = False  # its next batch would tell it
        except ProcessEnded:  # in the middle of what was under way
            self.replace(process)
