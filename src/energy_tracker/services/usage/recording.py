"""Recording: from records of the log to stored readings, derived energy and episodes, in one transaction a turn.

A turn is prepared while the one before it is on its way into the store: what that one changes is taken as done, and
whatever asks the store waits until it is. Where it was not done, what was prepared on top of it is thrown away.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from energy_tracker.eventlog.port import Record
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.usage.batches import POISON_LIMIT, DecodedRecords, behind, decode_together
from energy_tracker.services.usage.deriving import Deriver
from energy_tracker.services.usage.late import LateReadings
from energy_tracker.services.usage.model.readings import Place, Reading
from energy_tracker.services.usage.news import bury_all, dead_letter_of
from energy_tracker.services.usage.ports import DeadLetter, Directory, Homes, ReadingsRefused, ReadingStore, Recorded
from energy_tracker.services.usage.routing import RecordKind, Sorter, hand_over, handed_over_device, place_of, rules_of
from energy_tracker.services.usage.under_way import UnderWay
from energy_tracker.services.usage.waiting import Waiting
from energy_tracker.services.usage.watch import HomeWatch


@dataclass
class Recorder:
    """Takes records, a turn at a time; `alone` is for whoever changes the store otherwise."""

    store: ReadingStore
    directory: Directory
    watch: HomeWatch
    clock: Clock
    homes: Homes
    poison_limit: int = POISON_LIMIT
    on_stored: Callable[[Recorded], None] = lambda _: None
    """Told of every turn that is stored."""
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever messages wait to be appended to the log."""

    def __post_init__(self) -> None:
        self.deriver = Deriver(self.store, self._nothing_under_way)
        self.watch.settled = self._nothing_under_way
        self.late = LateReadings(self.store, self._nothing_under_way)
        self.sorter = Sorter(self.store, self.directory, self.homes, self._nothing_under_way)
        self.waiting = Waiting(self.store, self.directory, self._all_is_stored, self._take, self.commit)
        self._lock = asyncio.Lock()
        self._under_way: UnderWay | None = None
        self._failure: BaseException | None = None
        self._positions: dict[Place, int] | None = None
        self._poison_in_a_row = 0

    async def take_up(self) -> Mapping[Place, int]:
        """Begin anew with the homes that are this process's now; return up to where their readings are stored."""
        async with self._lock:
            await self._nothing_under_way()
            if (under_way := self._under_way) is not None and under_way.failed:
                self._poison_in_a_row = under_way.poison_before
            self._under_way = self._failure = None
            self._forget_all()
            return dict(await self._stored_positions())

    async def record(self, *, decoded: Sequence[DecodedRecords]) -> int:
        """Store records that follow each other, and return how many readings were new.

        Raises what `begin` and `finish` do; the same records may come again then.
        """
        self._failure = None
        stored = 0
        for alike in decoded:
            under_way = await self.begin(decoded=[alike])
            stored += 0 if under_way is None else await self.finish(under_way)
        return stored

    async def begin(self, *, decoded: Sequence[DecodedRecords]) -> UnderWay | None:
        """Prepare the readings of records that follow each other, with all that they change and the position.

        What was begun before is stored when this returns, and these are on their way, to be waited for by `finish`.
        Records up to the stored position are known already and are passed over; None: all of them.
        Raises `TemporarilyUnavailable` or `StorageFull`, also of what was begun before: nothing goes on then until
        `take_up`; `TooMuchPoison` where the log seems to hold something else altogether.
        """
        async with self._lock:
            last: UnderWay | None = None
            for alike in decoded:
                self._raise_failure()
                waiting = behind(await self._stored_positions(), alike.records)
                if waiting and alike.kind is RecordKind.HAND_OVER:
                    await self._settle()
                    self._raise_failure()
                    for record in waiting:
                        await self._take_handed_over(record)
                elif waiting and len(waiting) == len(alike.records):
                    last = await self._begin(alike)
                elif waiting:
                    (rest,) = await decode_together(waiting)
                    last = await self._begin(rest)
            return last

    async def finish(self, under_way: UnderWay) -> int:
        """Wait until a turn is stored, and return how many of its readings were new. Raises what `begin` does."""
        await asyncio.wait([under_way.task])
        if not under_way.failed:
            return under_way.task.result()
        async with self._lock:
            if self._under_way is under_way:
                await self._settle()
        if under_way.stored_without is None:
            self._raise_failure()
        return under_way.stored_without or 0

    async def abandon(self) -> None:
        """Give up what is under way: it comes again after `take_up`, as far as it was not stored."""
        if self._under_way is not None:
            self._under_way.task.cancel()
            await self._nothing_under_way()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Have the store to oneself: nothing is under way, and nothing begins before the block ends."""
        async with self._lock:
            await self._settle()
            await self._stored_positions()  # where something failed, so that no two attempts write at one place
            yield

    async def _take(self, readings: Sequence[Reading], turn: Recorded, *, may_wait: bool = True) -> None:
        """Add to a turn what readings change, and what becomes of those that are not stored here."""
        now_ms = self.clock.now_ms()
        known = await self.sorter.sort(readings, turn, may_wait=may_wait, now_ms=now_ms)
        await self.deriver.load([device.id for device, _ in known])
        await self.watch.load([device for device, _ in known])
        await self.late.load([device.user_id for device, _ in known])
        for device, group in known:
            fresh, changes = len(turn.readings), len(turn.changes)
            await self.deriver.take(device.id, rules_of(device), group, turn)
            self.late.note(device, turn.readings[fresh : fresh + 1], turn.changes[changes:], turn)
        self.watch.observe(turn, now_ms=now_ms)

    async def commit(self, turn: Recorded) -> None:
        """Store a turn that was prepared `alone`. On failure all caches start again from the store."""
        bury_all(turn, now_ms=self.clock.now_ms())
        try:
            await self.store.commit(turn)
        except BaseException:
            self._forget_all()
            raise
        self._follow(turn)
        self._tell(turn)
        if turn.released:
            await self.waiting.look()

    async def _begin(self, decoded: DecodedRecords) -> UnderWay:
        """Prepare records of one kind, wait for what is under way, and send them after it."""
        try:
            turn = await self._prepare(decoded)
            self.store.lay_out(turn)
            if not await self._settle():
                self._raise_failure()
                turn = await self._prepare(decoded)  # on top of what is stored in truth
            poison = decoded.poison_at_end(self._poison_in_a_row, limit=self.poison_limit)
        except BaseException:
            self._forget_all()  # the caches have followed what will not be stored
            raise
        under_way = UnderWay(decoded, self._poison_in_a_row, asyncio.create_task(self._store(turn)))
        self._under_way, self._poison_in_a_row = under_way, poison
        self._follow(turn)
        return under_way

    async def _prepare(self, decoded: DecodedRecords, refused: Sequence[DeadLetter] = ()) -> Recorded:
        """Return the turn that stores what was decoded, but for the readings that are dead letters already."""
        replayed = decoded.kind is RecordKind.REPLAYED
        turn = decoded.turn(refused)
        devices = {reading.device_id for reading in decoded.readings}
        await self.sorter.ask_about(devices)
        await self.waiting.release_known(devices)
        await self._take(decoded.readings, turn, may_wait=not replayed)
        self.waiting.follow(turn)
        if replayed:
            # They were counted when they came first: only what is no dead letter any more changes the ledger.
            dead_again = sum(letter.readings for letter in turn.dead_letters)
            turn.revived, turn.repeated = len(turn.readings) + dead_again + turn.forwarded, 0
        bury_all(turn, now_ms=self.clock.now_ms())
        return turn

    async def _store(self, turn: Recorded) -> int:
        await self.store.commit(turn)
        self._tell(turn)
        return len(turn.readings)

    async def _settle(self) -> bool:
        """Wait for the turn under way; return whether all that was begun is stored as it was prepared.

        What the store refuses is set aside, and the rest stored without it. Any other failure stays until `take_up`.
        """
        under_way = self._under_way
        if under_way is None:
            return self._failure is None
        await asyncio.wait([under_way.task])
        self._under_way = None
        if not under_way.failed:
            return True
        given_up = TemporarilyUnavailable("What was to be stored was given up.")
        self._failure = given_up if under_way.task.cancelled() else under_way.task.exception()
        self._forget_all()
        self._poison_in_a_row = under_way.poison_before
        if isinstance(self._failure, ReadingsRefused):
            again = self._store_without(under_way.decoded, self._failure)
            (outcome,) = await asyncio.gather(again, return_exceptions=True)
            if isinstance(outcome, int):
                under_way.stored_without, self._failure = outcome, None
            else:
                self._failure = outcome
                self._forget_all()
        return False

    async def _store_without(self, decoded: DecodedRecords, refusal: ReadingsRefused) -> int:
        """Store what was decoded without what the store refuses, which are dead letters then."""
        refused: list[DeadLetter] = []
        while True:
            why = refusal.reasons
            refused += [dead_letter_of(each, why[each.identity]) for each in decoded.readings if each.identity in why]
            decoded = replace(decoded, readings=[each for each in decoded.readings if each.identity not in why])
            await self._stored_positions()
            turn = await self._prepare(decoded, refused)
            try:
                stored = await self._store(turn)
            except ReadingsRefused as again:
                refusal = again
                self._forget_all()
            else:
                self._poison_in_a_row = decoded.poison_at_end(self._poison_in_a_row, limit=self.poison_limit)
                self._follow(turn)
                return stored

    async def _nothing_under_way(self) -> None:
        """Wait until nothing is on its way into the store, whatever became of it."""
        if self._under_way is not None:
            await asyncio.wait([self._under_way.task])

    async def _all_is_stored(self) -> None:
        """Wait until all that was begun is stored. Raises what kept it from that."""
        if self._under_way is not None and not await self._settle():
            self._raise_failure()
        await self._stored_positions()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _take_handed_over(self, record: Record) -> None:
        """Derive a device that belongs here now from all of its readings."""
        await self.directory.refresh()  # the copy of whoever handed it over may be newer
        turn = Recorded(positions={place_of(record): record.offset})
        device = self.directory.device(handed_over_device(record))
        if device is not None and not self.sorter.is_here(device.user_id):
            turn.outgoing.append(hand_over(device))
        elif device is not None:
            turn.rules[device.id] = rules_of(device)
            await self.deriver.take_anew(device.id, rules_of(device), turn)
        await self.commit(turn)
        if device is not None:
            self.watch.forget({device.user_id})

    async def _stored_positions(self) -> Mapping[Place, int]:
        if self._positions is None:
            positions = dict(await self.store.take_up())
            await self.waiting.look()
            self._positions = positions
        return self._positions

    def _forget_all(self) -> None:
        self._positions = None
        self.deriver.reset()
        self.watch.reset()
        self.late.reset()

    def _follow(self, turn: Recorded) -> None:
        """Let the caches follow a turn that is stored, or will be before anything is stored on top of it."""
        self.deriver.follow(turn)
        self.late.follow(turn)
        if self._positions is not None:
            self._positions.update(turn.positions)

    def _tell(self, turn: Recorded) -> None:
        self.on_stored(turn)
        if turn.outgoing:
            self.news.set()
