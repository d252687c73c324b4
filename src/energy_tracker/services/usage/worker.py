"""The edges of usage-service that nobody calls: the log, the clock and the registry."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from traceback import clear_frames

from energy_tracker.clients.directory import DirectoryChange
from energy_tracker.eventlog.port import Batch, EventLog, Message
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import PartHealth
from energy_tracker.kit.instants import MS_PER_SECOND
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.services.usage.batches import DecodedRecords, decode_together
from energy_tracker.services.usage.intake import UsageStream
from energy_tracker.services.usage.month_limit import MonthLimitWatch
from energy_tracker.services.usage.ports import ReadingStore, Recorded
from energy_tracker.services.usage.service import UsageService
from energy_tracker.services.usage.under_way import UnderWay
from energy_tracker.services.usage.unusual import UnusualWatch

log = logging.getLogger(__name__)

CHECK_INTERVAL_S = 10.0
RETRY_S = 1.0
_NEWS_AT_ONCE = 500
_FEW = 2_000  # readings that are stored about as soon as one
_FLOW = "flow"
_REGISTRY = "registry"
_Ready = asyncio.Queue[tuple[Batch, list[DecodedRecords]] | None]
_Begun = asyncio.Queue[tuple[Batch, UnderWay | None] | None]


@dataclass
class UsageWorker:
    """Runs the flow: consume, record, commit; publish what was decided; look at the time; follow the registry."""

    eventlog: EventLog
    stream: UsageStream
    store: ReadingStore
    service: UsageService
    clock: Clock
    check_interval_s: float = CHECK_INTERVAL_S
    errors: dict[str, str] = field(default_factory=dict)
    """What does not go on now, by the name of the work, and why."""
    telemetry: Telemetry = field(default_factory=lambda: Telemetry("usage"))
    unusual: UnusualWatch | None = None
    limits: MonthLimitWatch | None = None
    _devices: set[int] = field(default_factory=set)
    _users: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._registry_news = asyncio.Event()
        self._readings = self.telemetry.counter("usage_readings", "Readings taken, by what became of them", "outcome")
        self._position = self.telemetry.gauge("usage_position", "Last offset that is stored", "topic", "partition")
        self._lag = self.telemetry.gauge("usage_lag_records", "Records that wait in the log for this process")
        self._delay = self.telemetry.histogram("usage_delay_seconds", "From a record's append until it is stored")
        self.service.recorder.on_stored = self._count

    async def registry_changed(self, change: DirectoryChange) -> None:
        """Take note that the directory has changed."""
        self._users |= change.users
        self._devices |= change.devices
        self._registry_news.set()

    async def consume(self) -> None:
        """Record what comes on `energy-usage`, for ever; a store that does not answer makes the log wait."""
        while True:
            await self._guarded(_FLOW, self._consume_from_position)

    async def publish(self) -> None:
        """Append stored news to the log, in order, for ever."""
        self.service.recorder.news.set()
        while True:
            await self.service.recorder.news.wait()
            self.service.recorder.news.clear()
            if not await self._guarded("news", self._publish_waiting):
                self.service.recorder.news.set()

    async def watch_time(self) -> None:
        """Look every few seconds at what only time brings about."""
        while True:
            await self._guarded("time", self._check)
            await self.clock.sleep(self.check_interval_s)

    async def watch_for_unusual_use(self) -> None:
        """Judge closed quarter-hours, for ever, as long as nothing waits in the log."""
        while True:
            await self._guarded("unusual use", self._judge_what_is_closed)
            await self.clock.sleep(self.check_interval_s)

    async def watch_month_limits(self) -> None:
        """Judge the months of homes that have a limit, for ever, as long as nothing waits in the log."""
        while True:
            await self._guarded("month limits", self._judge_months)
            await self.clock.sleep(self.check_interval_s)

    async def follow_registry(self) -> None:
        """Act on changes of users and devices; the flow begins with all that may have changed before."""
        while True:
            await self._registry_news.wait()
            self._registry_news.clear()
            devices, self._devices = self._devices, set()
            users, self._users = self._users, set()
            if not await self._guarded(_REGISTRY, lambda: self._follow(users, devices)):  # noqa: B023 - called before the loop goes on
                await self.registry_changed(DirectoryChange(frozenset(users), frozenset(devices)))

    async def health(self) -> PartHealth:
        """Report the lag, and what does not go on; DOWN while there is anything."""
        lag = await self.stream.lag()
        details: dict[str, object] = {"lag": lag, "pastToJudge": len(await self.store.to_judge())}
        if not self.errors:
            return PartHealth("UP", details)
        return PartHealth("DOWN", details | {"errors": dict(self.errors)})

    async def _consume_from_position(self) -> None:
        recorder = self.service.recorder
        positions = await recorder.take_up()
        await self._follow_all()
        if not await self.stream.lag():
            self.errors.pop(_FLOW, None)
        decoded: _Ready = asyncio.Queue(maxsize=1)
        begun: _Begun = asyncio.Queue(maxsize=1)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._decode(self.stream.batches(after=positions), decoded))
                group.create_task(self._begin(decoded, begun))
                group.create_task(self._finish(begun))
        except BaseExceptionGroup as failures:  # what failed first is what there is to say
            raise failures.exceptions[0] from None
        finally:
            await recorder.abandon()

    async def _decode(self, batches: AsyncIterator[Batch], decoded: _Ready) -> None:
        """Take batches and decode them, one ahead of what is being stored; None says that there are no more.

        After a small one the next is taken only once this one is on its way: it has more in it then, and waits less.
        """
        async with aclosing(batches):  # type: ignore[type-var]  # every implementation is an async generator
            async for batch in batches:
                await decoded.join()  # of those that were taken no more than one is large in memory, decoded
                records = await decode_together(batch.records)
                await decoded.put((batch, records))
                if sum(len(alike.readings) for alike in records) < _FEW:
                    await decoded.join()
        await decoded.put(None)

    async def _begin(self, decoded: _Ready, begun: _Begun) -> None:
        """Prepare batches, one ahead of what is being stored."""
        while (ready := await decoded.get()) is not None:
            batch, records = ready
            await begun.put((batch, await self.service.recorder.begin(decoded=records)))
            decoded.task_done()
        await begun.put(None)

    async def _finish(self, begun: _Begun) -> None:
        """Wait until batches are stored, one after the other, and commit them."""
        while (ready := await begun.get()) is not None:
            batch, under_way = ready
            if under_way is not None:
                await self.service.recorder.finish(under_way)
            await batch.commit()
            self.errors.pop(_FLOW, None)
            if batch.records:
                waited_ms = self.clock.now_ms() - batch.records[0].appended_ms
                self._delay.observe(max(0, waited_ms) / MS_PER_SECOND)

    def _count(self, turn: Recorded) -> None:
        """Take a stored turn into the metrics."""
        self._readings.labels("stored").inc(len(turn.readings))
        self._readings.labels("repeated").inc(turn.repeated)
        self._readings.labels("forwarded").inc(turn.forwarded)
        self._readings.labels("parked").inc(len(turn.parked))
        self._readings.labels("dead-lettered").inc(sum(letter.readings for letter in turn.dead_letters))
        for place, offset in turn.positions.items():
            self._position.labels(place.topic, str(place.partition)).set(offset)

    async def _publish_waiting(self) -> None:
        while waiting := await self.store.outgoing(limit=_NEWS_AT_ONCE):
            by_topic: dict[str, list[Message]] = {}
            for _, news in waiting:
                message = Message(news.key, news.value, news.headers, news.readings)
                by_topic.setdefault(news.topic, []).append(message)
            for topic, messages in by_topic.items():
                await self.eventlog.append(topic, messages)
            await self.store.forget_outgoing(waiting[-1][0])

    async def _check(self) -> None:
        lag = await self.stream.lag()
        self._lag.set(lag)
        await self.service.check(caught_up=lag == 0)

    async def _judge_what_is_closed(self) -> None:
        while not await self.stream.lag() and not self.service.directory.stale:
            if self.unusual is None or not await self.unusual.look():
                return

    async def _judge_months(self) -> None:
        if self.limits is not None and not await self.stream.lag() and not self.service.directory.stale:
            await self.limits.look()

    async def _follow_all(self) -> None:
        await self.service.follow_registry()
        await self.service.forget_users(user_ids=self.service.directory.deleted_users())

    async def _follow(self, users: Collection[int], devices: Collection[int]) -> None:
        if devices:
            await self.service.follow_registry(device_ids=devices)
        if users:
            await self.service.forget_users(user_ids=users)
            await self.service.judge_homes(user_ids=users)

    async def _guarded(self, name: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Do a piece of work; where it fails, say so, wait a little and return False: the worker's outermost loop."""
        try:
            await work()
        except Exception as error:
            self.errors[name] = f"{type(error).__name__}: {error}"[:300]
            log.exception("usage-service could not go on; it tries again in %s s", RETRY_S)
            clear_frames(error.__traceback__)  # they hold turns, in cycles that are not collected for minutes
            await self.clock.sleep(RETRY_S)
            return False
        self.errors.pop(name, None)
        return True
