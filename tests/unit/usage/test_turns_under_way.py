"""A turn is prepared while the one before it is being stored: what that changes, and what must not come of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.clock import VirtualClock
from tests.support.usage import KnownHomes, Usage, usage_on

from energy_tracker.contracts.directory import Assignment, DirectoryDevice
from energy_tracker.eventlog.port import Record
from energy_tracker.kit.ids import derived_event_key
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.services.usage.adapters.embedded import EMBEDDED_PLACE
from energy_tracker.services.usage.batches import decode_together
from energy_tracker.services.usage.decoding import to_message
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.ports import ReadingsRefused, Recorded
from energy_tracker.services.usage.under_way import UnderWay

NOON_MS = 1_772_366_400_000
Failure = Callable[[Recorded], Exception]


class SlowStore:
    """A store that stores a turn once it is let, and fails those it is told to. What else it is asked is noted."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.may_store = asyncio.Event()
        self.failures: list[Failure | None] = []
        self.stored = 0
        self.asked: list[tuple[str, int]] = []

    async def commit(self, recorded: Recorded) -> None:
        await self.may_store.wait()
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure(recorded)
        await self._store.commit(recorded)
        self.stored += 1

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(member):
            return member

        async def call(*arguments: Any, **named: Any) -> Any:
            self.asked.append((name, self.stored))
            return await member(*arguments, **named)

        return call


def plug() -> KnownHomes:
    return KnownHomes().add(DirectoryDevice(id=1, version=1, user_id=1, assignments=(Assignment(user_id=1),)))


def reading(minute: int, kwh: float = 0.1) -> Reading:
    time_ms = NOON_MS + minute * 60_000
    key = derived_event_key(1, time_ms * 1000, "interval", "import", kwh, None)
    return Reading(1, time_ms, key, "interval", kwh)


def slowed(usage: Usage) -> SlowStore:
    store = SlowStore(usage.store)
    recorder = usage.service.recorder
    for part in (recorder, recorder.deriver, recorder.sorter, recorder.waiting, usage.service.watch):
        part.store = store  # type: ignore[attr-defined]  # stands for it
    return store


async def begin(usage: Usage, *readings: Reading) -> UnderWay:
    usage.offset += 1
    return await begin_at(usage, usage.offset, readings)


async def begin_at(usage: Usage, offset: int, readings: Sequence[Reading]) -> UnderWay:
    value = msgspec.json.encode([to_message(each) for each in readings])
    record = Record("energy-usage", 0, offset, None, value, {}, usage.clock.now_ms())
    under_way = await usage.service.recorder.begin(decoded=await decode_together([record]))
    assert under_way is not None
    return under_way


async def soon(work: Awaitable[Any]) -> asyncio.Future[Any]:
    """Begin something, and let it go as far as it gets."""
    task = asyncio.ensure_future(work)
    for _ in range(50):
        await asyncio.sleep(0)
    return task


async def totals(usage: Usage) -> tuple[int, int, int, int]:
    holdings = await usage.store.holdings()
    return holdings.stored, holdings.repeated, holdings.dead_lettered, holdings.positions[EMBEDDED_PLACE]


async def test_what_follows_is_prepared_meanwhile_and_stored_after_it(tmp_path: Path) -> None:
    async with usage_on(tmp_path, plug(), VirtualClock()) as usage:
        await usage.record([reading(0)])
        store = slowed(usage)
        first = await begin(usage, reading(1))
        second = await soon(begin(usage, reading(2), reading(2)))
        assert not first.task.done()
        assert not second.done()
        assert store.asked == []
        store.may_store.set()
        assert await usage.service.recorder.finish(first) == 1
        assert await usage.service.recorder.finish(await second) == 1
        assert await totals(usage) == (3, 1, 0, usage.offset)


async def test_a_repeat_of_what_is_under_way_is_looked_for_once_that_is_stored(tmp_path: Path) -> None:
    async with usage_on(tmp_path, plug(), VirtualClock()) as usage:
        await usage.record([reading(0)])
        store = slowed(usage)
        await begin(usage, reading(1), reading(3))
        second = await soon(begin(usage, reading(1), reading(2), reading(4)))
        assert store.asked == []
        store.may_store.set()
        assert await usage.service.recorder.finish(await second) == 2
        assert ("find", 1) in store.asked
        assert await totals(usage) == (5, 1, 0, usage.offset)


async def test_nothing_is_stored_on_top_of_what_failed_until_it_is_taken_up_again(tmp_path: Path) -> None:
    async with usage_on(tmp_path, plug(), VirtualClock()) as usage:
        await usage.record([reading(0)])
        position = usage.offset
        store = slowed(usage)
        store.failures = [lambda _: TemporarilyUnavailable("It does not answer.")]
        recorder = usage.service.recorder
        first = await begin(usage, reading(1))
        second = await soon(begin(usage, reading(2)))
        store.may_store.set()
        for wait in (recorder.finish(first), second, begin_at(usage, usage.offset, [reading(2)])):
            with pytest.raises(TemporarilyUnavailable, match="does not answer"):
                await wait
        await usage.service.check(caught_up=False)  # what has nothing to do with it goes on
        with pytest.raises(TemporarilyUnavailable):
            await begin_at(usage, usage.offset, [reading(2)])
        assert await totals(usage) == (1, 0, 0, position)
        assert (await recorder.take_up())[EMBEDDED_PLACE] == position
        await begin_at(usage, position + 1, [reading(1)])
        assert await recorder.finish(await begin_at(usage, position + 2, [reading(2)])) == 1
        assert await totals(usage) == (3, 0, 0, position + 2)


async def test_what_the_store_refuses_is_a_dead_letter_and_what_follows_is_prepared_without_it(tmp_path: Path) -> None:
    async with usage_on(tmp_path, plug(), VirtualClock()) as usage:
        await usage.record([reading(0)])
        store = slowed(usage)
        store.failures = [lambda turn: ReadingsRefused({turn.readings[-1].identity: "too good"})]
        first = await begin(usage, reading(1), reading(5))
        second = await soon(begin(usage, reading(2)))  # behind the one that is refused, in front of it otherwise
        store.may_store.set()
        assert await usage.service.recorder.finish(await second) == 1
        assert await usage.service.recorder.finish(first) == 1
        assert await totals(usage) == (3, 0, 1, usage.offset)
        (state,) = (await usage.store.device_states([1])).values()
        assert [head.last_ms for head in state.heads.values()] == [reading(2).time_ms]


async def test_whoever_changes_the_store_otherwise_waits(tmp_path: Path) -> None:
    async with usage_on(tmp_path, plug(), VirtualClock()) as usage:
        await usage.record([reading(0)])
        store = slowed(usage)
        first = await begin(usage, reading(1))
        rebuilding = await soon(usage.service.rebuild())
        assert not rebuilding.done()
        store.may_store.set()
        assert (await rebuilding).readings == 2
        assert await usage.service.recorder.finish(first) == 1


async def test_what_is_given_up_comes_again(tmp_path: Path) -> None:
    async with usage_on(tmp_path, plug(), VirtualClock()) as usage:
        store = slowed(usage)
        recorder = usage.service.recorder
        first = await begin(usage, reading(1))
        await recorder.abandon()
        with pytest.raises(TemporarilyUnavailable, match="given up"):
            await recorder.finish(first)
        store.may_store.set()
        position = (await recorder.take_up())[EMBEDDED_PLACE]
        assert await recorder.finish(await begin_at(usage, position + 1, [reading(1)])) == 1
