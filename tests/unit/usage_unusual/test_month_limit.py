"""A limit of the month: told once when it is likely to be passed, ended with the month or by another limit."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.support.energy import DAY, HOUR, T0_MS
from tests.support.usage import KnownHomes, Usage, usage_on
from tests.support.usage_influx import usage_on_influx
from tests.unit.usage_unusual.test_watching import at, device, home, power, told, watching
from tests.unit.usage_unusual.test_wishes import asked

from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.month_limit import describe_month_limit, month_of
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.month_limit import LOOK_AGAIN_MS, MonthLimitWatch
from energy_tracker.services.usage.unusual import UnusualWatch

JULY_10_MS = T0_MS + 39 * DAY + 9 * HOUR


def hours(until_ms: int, days: int = 39, watts: float = 400) -> Iterator[list[Reading]]:
    """About 9.6 kWh a day, about 298 kWh a month, until an instant."""
    for begin_ms in range(until_ms - days * DAY, until_ms, DAY):
        yield [power(1, at_ms, watts + 40 * (at_ms // DAY % 3) - 40) for at_ms in range(begin_ms, begin_ms + DAY, HOUR)]


def one_home() -> KnownHomes:
    return home(device(1, max_hold_ms=HOUR))


@asynccontextmanager
async def on(kind: str, folder: Path, directory: KnownHomes, clock: object) -> AsyncIterator[Usage]:
    opened = usage_on(folder, directory, clock) if kind == "sqlite" else usage_on_influx(directory, clock)  # type: ignore[arg-type]  # a virtual clock
    async with opened as usage:
        yield usage


@pytest.fixture(params=["sqlite", "influx"])
async def usage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Usage]:
    async with on(request.param, tmp_path, one_home(), at(JULY_10_MS)) as usage:
        for day in hours(JULY_10_MS - 9 * HOUR):
            await usage.record(day)
        yield usage


async def limit(usage: Usage, unusual: UnusualWatch, limit_kwh: float | None) -> None:
    async with asked(usage, unusual) as client:
        answer = await client.put("/1/watch", json={"noticesAMonth": 4, "monthLimitKwh": limit_kwh})
        assert (answer.status_code, answer.json()["monthLimitKwh"]) == (200, limit_kwh)


async def look(usage: Usage, limits: MonthLimitWatch) -> list[Episode]:
    await usage.clock.advance(LOOK_AGAIN_MS / 1000)
    await limits.look()
    episodes = await usage.store.episodes(user_id=1, from_ms=0, to_ms=2**53)
    return [each for each in episodes if each.rule == "month-limit"]


@pytest.fixture
async def on_sqlite(tmp_path: Path) -> AsyncIterator[Usage]:
    """A store whose messages can be looked at; behind Kafka they go with the turn."""
    async with usage_on(tmp_path, one_home(), at(JULY_10_MS)) as usage:
        for day in hours(JULY_10_MS - 9 * HOUR):
            await usage.record(day)
        yield usage


async def test_a_limit_that_the_month_will_pass_is_told_once_in_words(on_sqlite: Usage) -> None:
    usage = on_sqlite
    unusual = watching(usage)
    limits = MonthLimitWatch(unusual)
    assert await look(usage, limits) == []
    await limit(usage, unusual, 400)
    assert await look(usage, limits) == []
    await limit(usage, unusual, 250)
    (episode,) = await look(usage, limits)
    assert (episode.ended_ms, episode.notify, episode.version) == (None, True, 1)
    (transition,) = await told(usage)
    assert (transition.rule, transition.state, transition.notify) == ("month-limit", "open", True)
    assert transition.threshold_kwh == 250
    assert transition.energy_consumed_kwh == pytest.approx(9 * 9.6, rel=0.02)
    assert transition.message.startswith("This month will end at 281 to 313 kWh")
    assert transition.message.endswith(", more than your limit of 250 kWh.")
    for _ in range(3):
        await usage.clock.advance(DAY / 1000)
        assert await look(usage, limits) == [episode]
    assert len(await told(usage)) == 1


async def test_a_limit_that_was_just_set_is_judged_at_once(usage: Usage) -> None:
    unusual = watching(usage)
    limits = MonthLimitWatch(unusual)
    await limits.look()
    await limit(usage, unusual, 250)
    await limits.look()
    assert [each.rule for each in await usage.store.open_episodes()] == ["month-limit"]


async def test_another_process_or_a_restart_judges_again_and_changes_nothing(usage: Usage) -> None:
    unusual = watching(usage)
    await limit(usage, unusual, 250)
    found = await look(usage, MonthLimitWatch(unusual))
    assert len(found) == 1
    assert await look(usage, MonthLimitWatch(watching(usage))) == found


async def test_it_ends_without_another_mail(on_sqlite: Usage) -> None:
    await end_by_limit_and_month(on_sqlite)
    transitions = await told(on_sqlite)
    assert [each.notify for each in transitions] == [True, False, False, False, False]
    assert transitions[2].message == "The month that was to pass the limit of 200 kWh has another limit now."
    assert transitions[-1].message == "The month that was to pass the limit of 260 kWh is over."


async def test_it_ends_with_the_month_or_by_the_limit(usage: Usage) -> None:
    await end_by_limit_and_month(usage)


async def end_by_limit_and_month(usage: Usage) -> None:
    unusual = watching(usage)
    limits = MonthLimitWatch(unusual)
    await limit(usage, unusual, 250)
    assert len(await look(usage, limits)) == 1
    await limit(usage, unusual, 200)  # lowered: it goes on
    (episode,) = await look(usage, limits)
    assert (episode.ended_ms, episode.threshold_mj, episode.version) == (None, 200 * 3_600_000_000, 2)
    await limit(usage, unusual, 500)  # raised
    (episode,) = await look(usage, limits)
    assert episode.ended_ms is not None
    await limit(usage, unusual, 260)  # passed again, in the same month
    (episode,) = await look(usage, limits)
    assert (episode.ended_ms, episode.version) == (None, 4)
    await usage.clock.advance(22 * DAY / 1000)
    (episode,) = await look(usage, limits)
    assert episode.ended_ms == month_of(ZoneInfo("UTC"), JULY_10_MS)[1]


async def test_a_limit_that_is_taken_away_ends_it_and_one_that_is_not_said_stays(usage: Usage) -> None:
    unusual = watching(usage)
    limits = MonthLimitWatch(unusual)
    await limit(usage, unusual, 250)
    await look(usage, limits)
    async with asked(usage, unusual) as client:
        kept = await client.put("/1/watch", json={"noticesAMonth": 2})
        assert (kept.json()["noticesAMonth"], kept.json()["monthLimitKwh"]) == (2, 250)
        for wrong in (0, -1, "x", 1e9):
            assert (await client.put("/1/watch", json={"noticesAMonth": 2, "monthLimitKwh": wrong})).status_code == 422
    await limit(usage, unusual, None)
    (episode,) = await look(usage, limits)
    assert episode.ended_ms is not None


async def test_the_look_at_time_leaves_the_episodes_of_others_alone(usage: Usage) -> None:
    unusual = watching(usage)
    await limit(usage, unusual, 250)
    found = await look(usage, MonthLimitWatch(unusual))
    await usage.service.check(caught_up=True)
    assert await look(usage, MonthLimitWatch(unusual)) == found


async def test_with_too_little_history_only_what_was_used_counts(tmp_path: Path) -> None:
    async with usage_on(tmp_path, one_home(), at(JULY_10_MS)) as usage:
        for day in hours(JULY_10_MS, days=2):
            await usage.record(day)
        unusual = watching(usage)
        limits = MonthLimitWatch(unusual)
        await limit(usage, unusual, 30)
        assert await look(usage, limits) == []
        await limit(usage, unusual, 10)
        (episode,) = await look(usage, limits)
        assert episode.range_mj is None
        (transition,) = await told(usage)
        assert transition.message == "This month has used 19 kWh, more than your limit of 10 kWh."


async def test_a_home_that_is_elsewhere_or_gone_is_not_judged(usage: Usage) -> None:
    unusual = watching(usage)
    await limit(usage, unusual, 250)
    usage.directory.add(DirectoryUser(id=1, version=2, deleted=True))
    assert await look(usage, MonthLimitWatch(unusual)) == []


@pytest.mark.parametrize(
    ("used", "low", "high", "expected"),
    [
        (100, 310, 340, "This month will end at 310 to 340 kWh, more than your limit of 300 kWh."),
        (100, 290, 340, "This month will end at 290 to 340 kWh, probably more than your limit of 300 kWh."),
        (305, 310, 340, "This month has used 305 kWh, more than your limit of 300 kWh; it will end at 310 to 340 kWh."),
        (299, 310.1, 310.2, "This month will end at 310 kWh, more than your limit of 300 kWh."),
    ],
)
def test_it_is_told_in_words(used: float, low: float, high: float, expected: str) -> None:
    in_mj = [round(energy * 3_600_000_000) for energy in (300, used, low, high)]
    limit_mj, used_mj, low_mj, high_mj = in_mj
    episode = Episode(
        "x", "month-limit", 1, None, T0_MS, True, threshold_mj=limit_mj, energy_mj=used_mj, range_mj=(low_mj, high_mj)
    )
    assert describe_month_limit(episode, ZoneInfo("UTC")) == expected


async def test_a_limit_can_be_tried_before_it_is_set(usage: Usage) -> None:
    window = {"rule": "month-limit", "from": "2026-06-20T00:00:00Z", "to": "2026-07-11T00:00:00Z"}
    async with asked(usage, watching(usage)) as client:
        assert (await client.get("/1/rehearsal", params=window)).status_code == 422  # there is none to be tried
        answer = (await client.get("/1/rehearsal", params={**window, "thresholdKwh": 250})).json()
        none = (await client.get("/1/rehearsal", params={**window, "thresholdKwh": 400})).json()
    assert (none["episodes"], none["mails"]) == ([], 0)
    assert [each["openedAt"][:10] for each in answer["episodes"]] == ["2026-06-20", "2026-07-01"]
    assert [each["endedAt"] for each in answer["episodes"]] == ["2026-07-01T00:00:00Z", None]
    assert answer["mails"] == 2
    assert answer["episodes"][0]["message"].endswith("more than your limit of 250 kWh.")
