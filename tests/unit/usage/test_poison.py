"""What is poison on the log, and what does not happen because of it."""

from pathlib import Path

import pytest
from tests.support.clock import VirtualClock
from tests.support.usage import KnownHomes, Usage, usage_on

from energy_tracker.eventlog.port import Record
from energy_tracker.services.usage.adapters.embedded import EMBEDDED_PLACE
from energy_tracker.services.usage.batches import TooMuchPoison


def record(usage: Usage, value: bytes) -> Record:
    usage.offset += 1
    return Record("energy-usage", 0, usage.offset, None, value, {}, usage.clock.now_ms())


async def test_more_poison_in_a_row_than_the_limit_stops_the_flow_instead_of_draining_the_log(tmp_path: Path) -> None:
    async with usage_on(tmp_path, KnownHomes(), VirtualClock()) as usage:
        usage.service.recorder.poison_limit = 3
        for _ in range(3):
            await usage.service.record_readings(records=[record(usage, b"not a reading")])
        with pytest.raises(TooMuchPoison):
            await usage.service.record_readings(records=[record(usage, b"not a reading")])
        holdings = await usage.store.holdings()
        assert (holdings.dead_lettered, holdings.positions[EMBEDDED_PLACE]) == (3, 3)


async def test_a_good_reading_between_ends_the_row(tmp_path: Path) -> None:
    good = b'{"deviceId": 1, "energyConsumed": 0.1, "timestamp": "2026-03-01T11:00:00Z"}'
    async with usage_on(tmp_path, KnownHomes(), VirtualClock()) as usage:
        usage.service.recorder.poison_limit = 3
        for _ in range(4):
            values = [b"", b"null", b"[1, 2", good]
            await usage.service.record_readings(records=[record(usage, value) for value in values])
        assert (await usage.store.holdings()).dead_lettered == 12


@pytest.mark.parametrize(
    "value", [b"[" * 100_000, b'{"deviceId": 1, "x": ' + b"[" * 100_000, b'[{"a": ' * 50_000, b"9" * 5_000]
)
async def test_what_is_nested_without_end_is_one_dead_letter(tmp_path: Path, value: bytes) -> None:
    async with usage_on(tmp_path, KnownHomes(), VirtualClock()) as usage:
        await usage.service.record_readings(records=[record(usage, value)])
        assert (await usage.store.holdings()).dead_lettered == 1


async def test_more_parked_readings_than_are_taken_at_once_are_all_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from energy_tracker.contracts.directory import Assignment, DirectoryDevice
    from energy_tracker.services.usage import service, waiting

    monkeypatch.setattr(service, "PARKED_AT_ONCE", 2)
    monkeypatch.setattr(waiting, "PARKED_AT_ONCE", 2)
    homes = KnownHomes()
    async with usage_on(tmp_path, homes, VirtualClock()) as usage:
        values = [
            b'{"deviceId": %d, "energyConsumed": 0.1, "timestamp": "2026-03-01T11:%02d:00Z"}' % (device, minute)
            for device in (1, 2, 3)
            for minute in range(5)
        ]
        await usage.service.record_readings(records=[record(usage, value) for value in values])
        homes.add(DirectoryDevice(id=1, version=1, user_id=1, assignments=(Assignment(user_id=1),)))
        homes.add(DirectoryDevice(id=2, version=2, user_id=1, erased=True))
        await usage.service.follow_registry()
        holdings = await usage.store.holdings()
        assert (holdings.stored, holdings.dead_lettered, holdings.parked) == (5, 5, 5)
        await usage.clock.advance(3_601)
        await usage.service.check(caught_up=True)
        holdings = await usage.store.holdings()
        assert (holdings.stored, holdings.dead_lettered, holdings.parked) == (5, 10, 0)
