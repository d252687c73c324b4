"""What waited for its device is stored before what comes after it, whoever hears of the device first."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.clock import START, VirtualClock
from tests.support.usage import KnownHomes, Usage, usage_on

from energy_tracker.contracts.directory import Assignment, DirectoryDevice
from energy_tracker.kit.ids import event_key
from energy_tracker.services.usage import waiting
from energy_tracker.services.usage.adapters.sqlite import SqliteReadingStore
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.ports import ReadingsRefused, Recorded

NOON_MS = round(START.timestamp() * 1000)
PLUG = 1


def reading(event_id: str, kwh: float = 0.1, *, minute: int = 0) -> Reading:
    return Reading(PLUG, NOON_MS - minute * 60_000, event_key(event_id), "interval", kwh)


def register(homes: KnownHomes) -> None:
    homes.add(DirectoryDevice(id=PLUG, version=1, user_id=1, assignments=(Assignment(user_id=1),)))


async def stored(usage: Usage) -> list[float]:
    readings = await usage.store.readings(device_ids=[PLUG], from_ms=0, to_ms=2**41, after=None, limit=100)
    return [each.amount for each in readings]


async def counts(usage: Usage) -> tuple[int, int, int, int]:
    holdings = await usage.store.holdings()
    return holdings.stored, holdings.repeated, holdings.dead_lettered, holdings.parked


async def test_what_waited_is_stored_before_what_comes(tmp_path: Path) -> None:
    homes = KnownHomes()
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        await usage.record([reading("a", 0.1)])
        register(homes)
        assert await usage.record([reading("a", 0.2), reading("b", 0.3)]) == 1
        assert sorted(await stored(usage)) == [0.1, 0.3]
        assert await counts(usage) == (2, 0, 1, 0)


async def test_all_that_waited_is_stored_before_in_parts_where_it_is_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "PARKED_AT_ONCE", 2)
    homes = KnownHomes()
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        await usage.record([reading(f"id-{minute}", minute=minute) for minute in range(5)])
        register(homes)
        await usage.record([reading("id-4", minute=4)])
        assert await counts(usage) == (5, 1, 0, 0)


async def test_what_waited_when_the_process_ended_is_stored_before_what_comes(tmp_path: Path) -> None:
    homes = KnownHomes()
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        await usage.record([reading("a", 0.1)])
    register(homes)
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        await usage.record([reading("a", 0.2)])
        assert await stored(usage) == [0.1]


async def test_of_a_device_that_nobody_knows_yet_everything_waits(tmp_path: Path) -> None:
    homes = KnownHomes()
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        await usage.record([reading("a", 0.1)])
        await usage.record([reading("a", 0.1)])
        assert await counts(usage) == (0, 0, 0, 2)
        register(homes)
        await usage.service.follow_registry(device_ids=[PLUG])
        assert await counts(usage) == (1, 1, 0, 0)


class RefusingStore:
    """Never takes one reading."""

    def __init__(self, store: SqliteReadingStore, refused: Reading) -> None:
        self.store, self.refused = store, refused

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def commit(self, recorded: Recorded) -> None:
        if any(each.identity == self.refused.identity for each in recorded.readings):
            raise ReadingsRefused({self.refused.identity: "it is too old"})
        await self.store.commit(recorded)


async def test_what_waited_and_is_refused_by_the_store_is_a_dead_letter_and_holds_up_nothing(tmp_path: Path) -> None:
    homes = KnownHomes()
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        await usage.record([reading("a", 0.1), reading("b", 0.2)])
        usage.service.recorder.store = RefusingStore(usage.store, reading("a"))  # type: ignore[assignment]  # stands for it
        register(homes)
        await usage.service.follow_registry(device_ids=[PLUG])
        assert await stored(usage) == [0.2]
        assert await counts(usage) == (1, 0, 1, 0)
        assert await usage.record([reading("c", 0.3)]) == 1
