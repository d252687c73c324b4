"""Whatever the order, repetition or lateness in which the same readings come, the same is stored and derived."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.clock import VirtualClock
from tests.support.usage import KnownHomes, dump, usage_on

from energy_tracker.contracts.directory import Assignment, DirectoryDevice
from energy_tracker.kit.ids import derived_event_key
from energy_tracker.services.usage.model.readings import Direction, Kind, Reading

BASE_MS = 1_780_000_000_000
DEVICES: dict[int, Kind] = {1: "interval", 2: "register", 3: "power"}


def known_homes() -> KnownHomes:
    homes = KnownHomes()
    for device_id, kind in DEVICES.items():
        homes.add(DirectoryDevice(id=device_id, version=1, user_id=1, kind=kind, assignments=(Assignment(user_id=1),)))
    return homes


@st.composite
def one_reading(draw: st.DrawFn) -> Reading:
    device_id = draw(st.sampled_from(sorted(DEVICES)))
    kinds: list[Kind] = [DEVICES[device_id]] * 8 + ["interval", "register", "power"]
    kind = draw(st.sampled_from(kinds))
    minutes = draw(st.integers(0, 4 * 24 * 60) | st.integers(0, 90))
    time_ms = BASE_MS + minutes * 60_000 + draw(st.sampled_from([0, 0, 0, 1, 30_000]))
    amounts = {
        "interval": st.sampled_from([0.0, 0.1, 0.25, 3.0]),
        "register": st.sampled_from([0.0, 0.001, 5.0, 5.004, 5.2, 9_999.5, 9_999.9, 0.3, 12_000.0, 5_000_000.0]),
        "power": st.sampled_from([0.0, 1.5, 60.0, 2_000.0, 33.333]),
    }
    amount = draw(amounts[kind])
    since = None
    if kind == "interval" and draw(st.booleans()):
        since = time_ms - draw(st.sampled_from([1, 60_000, 900_000, 5_400_000, 90_000_000]))
    directions: list[Direction | None] = [None, None, None, "import", "export"]
    direction = draw(st.sampled_from(directions))
    key = derived_event_key(device_id, time_ms * 1000, kind, direction or "import", amount, since)
    return Reading(device_id, time_ms, key, kind, amount, direction, since, 0, draw(st.sampled_from(["", "", "", "b"])))


def other_rules() -> KnownHomes:
    """The same home; what its devices are, how long they hold and what they can draw has changed."""
    homes = known_homes()
    for device in homes.devices():
        homes.add(replace(device, direction="export", max_hold_ms=7_000, rated_power_w=900.0, kind="register"))
    return homes


async def record_all(
    folder: Path, batches: list[list[Reading]], restarts: frozenset[int], homes: KnownHomes | None = None
) -> None:
    clock = VirtualClock()
    waiting = list(enumerate(batches))
    while True:
        async with usage_on(folder, homes or known_homes(), clock) as usage:
            while waiting:
                number, batch = waiting.pop(0)
                await usage.record(batch)
                if number in restarts:
                    break
            else:
                return


async def rebuilt(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    async with usage_on(folder, known_homes(), VirtualClock()) as usage:
        await usage.service.rebuild()
    return dump(folder)


async def under_other_rules(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    async with usage_on(folder, other_rules(), VirtualClock()) as usage:
        await usage.service.follow_registry()
    return dump(folder)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_order_gives_the_same_store(data: st.DataObject) -> None:
    readings = data.draw(
        st.lists(one_reading(), min_size=1, max_size=60, unique_by=lambda r: (r.device_id, r.time_ms, r.key))
    )
    repeated = data.draw(st.lists(st.sampled_from(readings), max_size=10))
    shuffled = data.draw(st.permutations(readings + repeated))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(shuffled)), max_size=12)) | {len(shuffled)})
    batches = [shuffled[a:b] for a, b in zip([0, *cuts], cuts, strict=False) if a < b]
    restarts = data.draw(st.frozensets(st.integers(0, 12), max_size=2))

    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
            in_order = sorted(readings, key=lambda reading: (reading.time_ms, reading.key))
            await record_all(Path(one), [in_order], frozenset())
            await record_all(Path(other), batches, restarts)
            expected = dump(Path(one))
            assert dump(Path(other)) == expected
            assert await rebuilt(Path(other)) == expected
            with tempfile.TemporaryDirectory() as third:
                await record_all(Path(third), [in_order], frozenset(), other_rules())
                assert await under_other_rules(Path(other)) == dump(Path(third))

    asyncio.run(scenario())
