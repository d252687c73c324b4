"""What usage-service keeps, carried from SQLite to InfluxDB and Kafka in memory and back; broken off at every call."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.clock import VirtualClock
from tests.support.energy import DAY, HOUR, MINUTE, T0_MS, reading, registers
from tests.support.flow_memory import FlowBroker, FlowMember
from tests.support.influx_memory import InfluxMemory
from tests.support.usage import KnownHomes, Usage, usage_on

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.eventlog.kafka_flow import FlowCommit
from energy_tracker.services.usage import moving
from energy_tracker.services.usage.adapters.influx import InfluxReadingStore
from energy_tracker.services.usage.adapters.kafka_stream import KafkaHomes
from energy_tracker.services.usage.decoding import to_message
from energy_tracker.services.usage.model.episodes import open_episode
from energy_tracker.services.usage.model.ledger import Holdings
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.moving import ReadingsCannotBeMoved, Removal
from energy_tracker.services.usage.ports import EveryHome, ReadingStore, Recorded, Span
from energy_tracker.services.usage.sameness import compare_device, compare_episodes, compare_parked
from energy_tracker.services.usage.service import UsageService
from energy_tracker.services.usage.watch import HomeWatch
from energy_tracker.storage.influx import RefusedLine

PARTITIONS = 3
USERS = (1, 2)
OWNERS = {1: 1, 2: 1, 3: 2}
ACCEPTED = 400


def homes() -> KnownHomes:
    """Two homes with a plug, a meter that counts both ways, and a device that sends intervals."""
    known = KnownHomes()
    for user_id in USERS:
        known.add(DirectoryUser(id=user_id, name="Home", version=1, time_zone="UTC", alerting=True))
    for device_id, kind in ((1, "power"), (2, "register"), (3, "interval")):
        known.add(
            DirectoryDevice(id=device_id, name="Device", version=1, user_id=OWNERS[device_id], kind=kind)  # type: ignore[arg-type]  # one of the kinds
        )
    return known


def all_readings() -> list[Reading]:
    """Readings over three months, some with ids, channels and directions of their own, two in one millisecond."""
    plug = [reading("power", number * MINUTE, 600.0 + number / 7) for number in range(120)]
    plug += [reading("power", 40 * DAY + number * MINUTE, 30.0) for number in range(30)]
    meter = [msgspec.structs.replace(each, device_id=2) for each in registers(*(n / 3 for n in range(60)))]
    meter += [
        reading("register", n * HOUR, 70 + n / 9, direction="export", channel="b / ü", device_id=2) for n in range(20)
    ]
    named = [
        msgspec.structs.replace(
            reading("interval", 60 * DAY + n * HOUR, 0.1, since=60 * DAY + (n - 1) * HOUR, device_id=3),
            given_key=f"id {n}".encode(),
            received_ms=T0_MS + 61 * DAY + n,
        )
        for n in range(20)
    ]
    twins = [
        msgspec.structs.replace(reading("interval", 70 * DAY, amount, device_id=3), received_ms=T0_MS + 71 * DAY)
        for amount in (0.25, 0.75)
    ]
    return [*plug, *meter, *named, *twins]


EPISODES = [
    open_episode("high-usage", user_id=1, opened_ms=T0_MS, now_ms=T0_MS, threshold_mj=9, energy_mj=10).ended(
        T0_MS + HOUR, now_ms=T0_MS + HOUR
    ),
    open_episode("silent-device", user_id=2, device_id=3, opened_ms=T0_MS + DAY, now_ms=T0_MS + DAY),
]
UNKNOWN = [reading("power", number, 5.0, device_id=77) for number in range(3)]


@asynccontextmanager
async def source_on(folder: Path, *, every: int = 1) -> AsyncIterator[Usage]:
    """Usage-service's side of a data folder with all of that in it, or every few of the readings."""
    await asyncio.to_thread(folder.mkdir)
    async with usage_on(folder, homes(), VirtualClock()) as usage:
        readings = all_readings()[::every]
        await usage.record(readings[::2])
        await usage.record(readings[1::2])  # each of them late
        await usage.record([*readings[:5], *UNKNOWN])
        await usage.store.commit(Recorded(episodes=EPISODES, to_judge=[Span(1, T0_MS, T0_MS + DAY)]))
        yield usage


class MoveBroker(FlowBroker):
    """A broker to whom a position is committed again as it is: a turn says with it in which partition it belongs."""

    def apply(self, commit: FlowCommit) -> None:
        known = {place: self.states[place[1]].positions[place[0]] for place in commit.positions}
        moved = {place: offset for place, offset in commit.positions.items() if offset != known[place]}
        super().apply(replace(commit, positions=moved))


class Ended(BaseException):
    """The process was killed."""


@dataclass
class Cloud:
    """InfluxDB and Kafka, and how many calls it takes until the process that makes them is killed."""

    influx: InfluxMemory = field(default_factory=InfluxMemory)
    broker: FlowBroker = field(default_factory=lambda: MoveBroker(PARTITIONS, VirtualClock().now_ms, in_balance=False))
    left: int = -1
    after: bool = False

    async def open(self) -> tuple[InfluxReadingStore, KafkaHomes]:
        """Join the group anew, as its only member."""
        member, homes = FlowMember(self.broker), KafkaHomes(PARTITIONS)
        influx, flow = _Watched(self, self.influx), _Watched(self, member)
        store = InfluxReadingStore(influx, flow, self.broker, homes.partition_of)  # type: ignore[arg-type]  # in memory
        homes.follow(store)
        self.broker.assign({member: range(PARTITIONS)})
        return store, homes

    async def happen(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Make a call that changes something, unless the process ends before."""
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Ended
        answer = await work()
        if self.left == 0:
            raise Ended
        return answer


class _Watched:
    """What is called in the cloud; calls that change something may be the last."""

    def __init__(self, cloud: Cloud, inner: InfluxMemory | FlowMember) -> None:
        self._cloud = cloud
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def write(self, lines: Sequence[str]) -> list[RefusedLine]:
        """Write half of the lines before the process may end, then all."""
        assert isinstance(self._inner, InfluxMemory)
        await self._inner.write(lines[: len(lines) // 2])
        refused: list[RefusedLine] = await self._cloud.happen(lambda: self._inner.write(lines))  # type: ignore[union-attr]  # see above
        return refused

    async def commit(self, number: int, commit: FlowCommit) -> None:
        await self._cloud.happen(lambda: self._inner.commit(number, commit))  # type: ignore[union-attr]  # a member


async def carry(source: ReadingStore, target: ReadingStore, target_homes: Any) -> None:
    """Carry everything, in the order in which it is done."""
    removal = Removal(source, target, target_homes, await target.take_up())
    for device_id, rules in (await source.known_devices()).items():
        await removal.carry_device(device_id, rules, user_id=OWNERS[device_id])
    await removal.carry_homes(USERS)
    await removal.carry_parked()
    was = await source.holdings()
    await removal.open_ledger(replace(was, positions={}, consumed=ACCEPTED))


async def assert_same(source: ReadingStore, target: ReadingStore) -> None:
    ids = await source.known_devices()
    assert await target.known_devices() == ids
    for device_id in ids:
        compared = await compare_device(source, target, device_id)
        assert compared.same, compared
        assert compared.readings.source > 0
        assert any(month.source_mj for month in compared.months)
    episodes = await compare_episodes(source, target, USERS)
    assert episodes.same
    assert episodes.source == len(EPISODES)
    parked = await compare_parked(source, target)
    assert parked.same
    assert parked.source == len(UNKNOWN)
    ours, theirs = await source.holdings(), await target.holdings()
    counts = [(each.stored, each.dead_lettered, each.repeated, each.parked) for each in (ours, theirs)]
    assert counts[0] == counts[1]
    assert counts[0][2:] == (5, len(UNKNOWN))


async def test_everything_arrives_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "READINGS_AT_ONCE", 17)
    cloud = Cloud()
    async with source_on(tmp_path / "source") as source:
        store, there = await cloud.open()
        await carry(source.store, store, there)
        await assert_same(source.store, store)
        assert (await store.holdings()).consumed == ACCEPTED
        (tmp_path / "back").mkdir()
        async with usage_on(tmp_path / "back", homes(), VirtualClock()) as back:
            await carry(store, back.store, EveryHome())
            await assert_same(store, back.store)
            await assert_same(source.store, back.store)


async def test_a_device_lies_in_the_partition_of_its_home(tmp_path: Path) -> None:
    cloud = Cloud()
    async with source_on(tmp_path / "source") as source:
        store, there = await cloud.open()
        await carry(source.store, store, there)
    for device_id, user_id in OWNERS.items():
        holding = [n for n, state in cloud.broker.states.items() if f"device:{device_id}" in state.entries]
        assert holding == [there.partition_of(user_id)]
    assert {there.partition_of(user_id) for user_id in USERS} != {0}, "the test needs homes that are spread"


async def test_the_flow_goes_on_behind_a_move(tmp_path: Path) -> None:
    """Readings that come to the log afterwards are folded in, and those that were carried are known repeats."""
    cloud = Cloud()
    news = [reading("power", 40 * DAY + 31 * MINUTE, 90.0), reading("power", 20 * MINUTE + 1, 1_000.0)]
    async with source_on(tmp_path / "source") as source:
        store, there = await cloud.open()
        await carry(source.store, store, there)
        store, there = await cloud.open()
        service = UsageService(store, homes(), HomeWatch(store, homes(), there), VirtualClock(), homes=there)
        await service.recorder.take_up()
        record = cloud.broker.append("energy-usage", "1", _packed([*all_readings()[:9], *news]))
        assert await service.record_readings(records=[record]) == len(news)
        await source.record([*all_readings()[:9], *news])
        assert (await compare_device(source.store, store, 1)).same
        holdings = await store.holdings()
        assert (holdings.repeated, holdings.consumed) == (5 + 9, ACCEPTED + 9 + len(news))


def _packed(readings: Sequence[Reading]) -> bytes:
    return msgspec.json.encode([to_message(each) for each in readings])


@pytest.mark.parametrize("after", [False, True])
async def test_a_move_that_is_killed_at_any_call_and_started_again_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    monkeypatch.setattr(moving, "READINGS_AT_ONCE", 20)
    kills = 0
    async with source_on(tmp_path / "source", every=4) as source:
        while True:
            cloud = Cloud(left=kills + 1, after=after)
            try:
                await carry(source.store, *await cloud.open())
            except Ended:
                kills += 1
            else:
                break
            cloud.left = 2 + kills % 7  # the second attempt is killed, too
            try:
                await carry(source.store, *await cloud.open())
            except Ended:
                cloud.left = -1
            store, there = await cloud.open()
            await carry(source.store, store, there)
            await assert_same(source.store, store)
            assert (await store.holdings()).consumed == ACCEPTED
            await asyncio.sleep(0)
    assert kills > 20, "a move has more calls than that"


async def test_readings_that_are_refused_end_the_move_with_a_reason(tmp_path: Path) -> None:
    cloud = Cloud(InfluxMemory(oldest_ns=(T0_MS + DAY) * 1_000_000))
    async with source_on(tmp_path / "source") as source:
        store, there = await cloud.open()
        with pytest.raises(ReadingsCannotBeMoved, match=r"device 1 are refused.*beyond retention"):
            await carry(source.store, store, there)


async def test_what_differs_is_found(tmp_path: Path) -> None:
    cloud = Cloud()
    async with source_on(tmp_path / "source") as source:
        store, there = await cloud.open()
        await carry(source.store, store, there)
        await source.record([reading("power", 80 * DAY, 1.0)])
        compared = await compare_device(source.store, store, 1)
        assert not compared.same
        assert compared.readings.source == compared.readings.target + 1
        assert [month.month for month in compared.months if not month.same] == ["2026-08"]
        await source.store.commit(Recorded(episodes=[msgspec.structs.replace(EPISODES[1], version=4)]))
        assert not (await compare_episodes(source.store, store, USERS)).same
        await source.record([reading("power", 5, 1.0, device_id=78)])
        assert not (await compare_parked(source.store, store)).same


def test_totals_without_positions_are_an_opening() -> None:
    assert Recorded().opening is None
    assert Recorded(opening=Holdings({}, 1, 2, 3, 4, 5)) != Recorded()
