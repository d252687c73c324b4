"""What every `ReadingStore` does: it takes a turn as a whole, and says what usage-service needs to go on from it."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.support.clock import START, VirtualClock
from tests.support.usage import KnownHomes, Usage, usage_on
from tests.support.usage_influx import real_bucket, usage_on_influx
from tests.support.usage_queries import at, interval

from energy_tracker.contracts.directory import Assignment, DirectoryDevice, DirectoryUser
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from energy_tracker.services.usage.model.episodes import open_episode
from energy_tracker.services.usage.model.readings import DeviceRules, Reading, Stream
from energy_tracker.services.usage.ports import Recorded, Span

BEGIN = at("2026-02-01T00:00")
HOME, DEVICE, METER, STRANGER = 7, 1, 2, 99
STREAM = Stream(DEVICE, "import", "")


class Homes(KnownHomes):
    """A directory that knows who owned devices before."""

    def devices_of(self, user_id):
        return [
            device
            for device in self.devices()
            if user_id in {device.user_id, *(assignment.user_id for assignment in device.assignments)}
        ]


def registry() -> KnownHomes:
    return Homes().add(
        DirectoryUser(id=HOME, version=1),
        DirectoryDevice(id=DEVICE, version=1, user_id=HOME, assignments=(Assignment(user_id=HOME),)),
        DirectoryDevice(id=METER, version=2, user_id=HOME, kind="register", assignments=(Assignment(user_id=HOME),)),
    )


@pytest.fixture(
    params=["sqlite", "influx", pytest.param("real influx", marks=pytest.mark.servers("ENERGY_TEST_INFLUX"))]
)
async def usage(request, tmp_path) -> AsyncIterator[Usage]:
    if request.param == "sqlite":
        async with usage_on(tmp_path, registry(), VirtualClock()) as opened:
            yield opened
    else:
        async with usage_on_influx(registry(), VirtualClock(), is_real=request.param == "real influx") as opened:
            yield opened


def plain(readings):
    return [msgspec.structs.replace(reading, source=None) for reading in readings]


def minutes(*numbers: int) -> list[Reading]:
    return [interval(DEVICE, BEGIN + number * MS_PER_MINUTE, 0.1) for number in numbers]


async def test_a_device_without_readings_has_no_state(usage):
    state = (await usage.store.device_states([DEVICE]))[DEVICE]
    assert state.heads == {}
    assert await usage.store.last_reading_ms(DEVICE) is None
    assert await usage.store.known_devices() == {}


async def test_the_state_of_a_device_is_that_after_its_last_reading(usage):
    await usage.record(minutes(5, 15))
    state = (await usage.store.device_states([DEVICE]))[DEVICE]
    assert state.is_whole
    assert state.rules == DeviceRules("interval")
    assert state.heads[STREAM].last_ms == BEGIN + 15 * MS_PER_MINUTE
    assert await usage.store.last_reading_ms(DEVICE) == BEGIN + 15 * MS_PER_MINUTE
    assert await usage.store.known_devices() == {DEVICE: DeviceRules("interval")}


async def test_stored_readings_are_found_by_identity(usage):
    sent = minutes(1, 2, 600)
    await usage.record(sent)
    unknown = (DEVICE, BEGIN + MS_PER_MINUTE, b"other")
    found = await usage.store.find([*(reading.identity for reading in sent), unknown])
    assert plain(found.values()) == sent
    assert list(found) == [reading.identity for reading in sent]


async def test_pages_of_a_device_follow_each_other(usage):
    sent = [interval(DEVICE, BEGIN + number // 3, 0.1, key=f"key-{number}") for number in range(20)]
    await usage.record(sent)
    found, after = [], (-1, b"")
    while page := await usage.store.device_readings(DEVICE, after=after, limit=3):
        assert len(page) <= 3
        found += page
        after = (page[-1].time_ms, page[-1].key)
    assert plain(found) == sorted(sent, key=lambda reading: (reading.time_ms, reading.key))


async def test_the_last_checkpoint_at_or_before_an_instant(usage):
    await usage.record(minutes(5, 65, 185))
    assert await usage.store.checkpoint(STREAM, BEGIN - 1) is None
    for minute, hour in ((5, 0), (59, 0), (60, 1), (179, 1), (180, 3), (9_999, 3)):
        checkpoint = await usage.store.checkpoint(STREAM, BEGIN + minute * MS_PER_MINUTE)
        assert checkpoint is not None
        assert checkpoint.boundary_ms == BEGIN + hour * MS_PER_HOUR
    assert await usage.store.checkpoint(Stream(DEVICE, "import", "other"), BEGIN + MS_PER_DAY) is None


async def test_kinds_are_told_by_direction_as_it_was_sent_and_channel(usage):
    await usage.record(minutes(1))
    assert await usage.store.kinds(DEVICE) == {(None, ""): {"interval"}}
    await usage.record(
        [
            interval(DEVICE, BEGIN + 2 * MS_PER_MINUTE, 0.1, direction="export", channel="a"),
            Reading(DEVICE, BEGIN + 3 * MS_PER_MINUTE, b"p", "power", 5.0),
        ]
    )
    assert await usage.store.kinds(DEVICE) == {(None, ""): {"interval", "power"}, ("export", "a"): {"interval"}}
    assert await usage.store.kinds(METER) == {}


async def test_readings_of_strangers_wait_and_are_released(usage):
    room = await usage.store.room_for_parked()
    sent = [interval(STRANGER, BEGIN + minute * MS_PER_MINUTE, 0.1) for minute in (2, 1)]
    await usage.record(sent)
    assert await usage.store.room_for_parked() == room - 2
    assert set(await usage.store.parked_devices()) == {STRANGER}
    waiting = await usage.store.parked(limit=10)
    assert plain(entry.reading for entry in waiting) == sent
    assert await usage.store.parked(device_ids=[DEVICE], limit=10) == []
    assert await usage.store.parked(until_ms=usage.clock.now_ms() - 1, limit=10) == []
    assert len(await usage.store.parked(device_ids=[STRANGER], until_ms=usage.clock.now_ms(), limit=1)) == 1
    usage.directory.add(DirectoryDevice(id=STRANGER, version=3, user_id=HOME))
    await usage.service.follow_registry(device_ids=[STRANGER])
    assert await usage.store.parked(limit=10) == []
    found = await usage.store.device_readings(STRANGER, after=(-1, b""), limit=10)
    assert plain(found) == sorted(sent, key=lambda reading: reading.time_ms)


async def test_episodes_are_open_until_they_end(usage):
    opened_ms = BEGIN + MS_PER_HOUR
    episode = open_episode("silent-device", user_id=HOME, device_id=DEVICE, opened_ms=opened_ms, now_ms=opened_ms)
    await usage.store.commit(Recorded(episodes=[episode]))
    assert await usage.store.open_episodes() == [episode]
    ended = episode.ended(opened_ms + 1_000, now_ms=opened_ms + 1_000)
    await usage.store.commit(Recorded(episodes=[ended]))
    assert await usage.store.open_episodes() == []
    for from_ms, to_ms, found in (
        (opened_ms, opened_ms + 1, [ended]),
        (opened_ms + 999, opened_ms + MS_PER_DAY, [ended]),
        (opened_ms + 1_000, opened_ms + MS_PER_DAY, []),
        (0, opened_ms, []),
    ):
        assert await usage.store.episodes(user_id=HOME, from_ms=from_ms, to_ms=to_ms) == found
    assert await usage.store.episodes(user_id=HOME + 1, from_ms=0, to_ms=2**53) == []
    await usage.store.commit(Recorded(forgotten_users={HOME}))
    assert await usage.store.episodes(user_id=HOME, from_ms=0, to_ms=2**53) == []


async def test_states_of_detectors_are_kept_until_they_begin_anew_or_their_subject_goes(usage):
    await usage.record(minutes(1))
    store = usage.store
    await store.commit(Recorded(detectors={(HOME, 0): b"home", (HOME, DEVICE): b"one", (HOME + 1, 9): b"other"}))
    assert await store.detectors(HOME) == {0: b"home", DEVICE: b"one"}
    await store.commit(Recorded(detectors={(HOME, 0): None, (HOME, DEVICE): b"two"}))
    assert await store.detectors(HOME) == {DEVICE: b"two"}
    usage.directory.add(DirectoryDevice(id=DEVICE, version=9, user_id=HOME, erased=True))
    await usage.service.follow_registry(device_ids=[DEVICE])
    assert await store.detectors(HOME) == {}
    assert await store.detectors(HOME + 1) == {9: b"other"}
    await store.commit(Recorded(forgotten_users={HOME + 1}))
    assert await store.detectors(HOME + 1) == {}


async def test_spans_wait_to_be_judged(usage):
    first, second = Span(HOME, BEGIN, BEGIN + 10), Span(HOME, BEGIN + 5, BEGIN + 20)
    await usage.store.commit(Recorded(to_judge=[first]))
    assert list(await usage.store.to_judge()) == [first]
    await usage.store.commit(Recorded(to_judge=[second]))
    (both,) = await usage.store.to_judge()
    assert both == Span(HOME, BEGIN, BEGIN + 20)
    await usage.store.commit(Recorded(judged=[both], to_judge=[second]))
    assert list(await usage.store.to_judge()) == [second]
    await usage.store.commit(Recorded(judged=[second]))
    assert list(await usage.store.to_judge()) == []


async def test_nothing_stays_of_an_erased_device(usage):
    await usage.record([*minutes(1, 20), interval(METER, BEGIN, 0.1)])
    usage.directory.add(DirectoryDevice(id=DEVICE, version=9, user_id=HOME, erased=True))
    await usage.service.follow_registry(device_ids=[DEVICE])
    assert await usage.store.device_readings(DEVICE, after=(-1, b""), limit=10) == []
    assert list(await usage.store.known_devices()) == [METER]
    sums = await usage.store.bucket_sums(device_ids=[DEVICE], boundaries_ms=[BEGIN - MS_PER_DAY, BEGIN + MS_PER_DAY])
    assert sums == []
    assert len(await usage.store.device_readings(METER, after=(-1, b""), limit=10)) == 1


async def test_the_time_of_a_deleted_owner_is_erased(usage):
    heir, change_ms = HOME + 1, BEGIN + 30 * MS_PER_MINUTE
    usage.directory.add(
        DirectoryUser(id=heir, version=2),
        DirectoryDevice(
            id=DEVICE,
            version=9,
            user_id=heir,
            assignments=(Assignment(user_id=HOME), Assignment(user_id=heir, from_ms=change_ms)),
        ),
    )
    await usage.record(minutes(15, 45, 60))
    usage.directory.add(DirectoryUser(id=HOME, version=3, deleted=True))
    await usage.service.forget_users(user_ids=[HOME])
    assert plain(await usage.store.device_readings(DEVICE, after=(-1, b""), limit=10)) == minutes(45, 60)
    (row,) = await usage.store.bucket_sums(device_ids=[DEVICE], boundaries_ms=[BEGIN, BEGIN + MS_PER_DAY])
    assert row.energy_mj == 2 * 360_000_000


@pytest.mark.servers("ENERGY_TEST_INFLUX")
async def test_what_influx_refuses_becomes_a_dead_letter_and_adds_nothing():
    now_ms = round(START.timestamp() * 1000)
    async with real_bucket() as database:
        await database.write([f'energy_power,deviceId=5 powerW="much" {BEGIN}000000'])  # a foreign writer's text
        async with usage_on_influx(registry(), VirtualClock(), database=database) as usage:
            await usage.record([*minutes(1), Reading(METER, BEGIN, b"p", "power", 5.0, received_ms=now_ms)])
            holdings = await usage.store.holdings()
            assert (holdings.stored, holdings.dead_lettered) == (1, 1)
            sums = await usage.store.bucket_sums(device_ids=[METER], boundaries_ms=[BEGIN, BEGIN + MS_PER_DAY])
            assert sums == []
