"""Rehearsals say what the rules then do, and change nothing."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.energy import DAY, HOUR, MINUTE, T0_MS
from tests.support.usage import KnownHomes, Usage, usage_on
from tests.unit.usage_unusual.test_watching import at, device, home, look, power, readings, record, watching
from tests.unit.usage_unusual.test_wishes import asked

from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.kit.instants import to_iso
from energy_tracker.services.usage.model.episodes import Episode

NOW_MS = T0_MS + 24 * DAY


@pytest.fixture
async def usage(tmp_path: Path) -> AsyncIterator[Usage]:
    async with usage_on(tmp_path, home(device(1), device(2)), at(NOW_MS)) as opened:
        yield opened


async def rehearsed(usage: Usage, rule: str, from_ms: int, to_ms: int = NOW_MS, **options: object) -> dict[str, Any]:
    query: dict[str, Any] = {"rule": rule, "from": to_iso(from_ms), "to": to_iso(to_ms), **options}
    async with asked(usage, watching(usage)) as client:
        answer = await client.get("/1/rehearsal", params=query)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def spans(episodes: list[Episode]) -> list[tuple[str, str | None]]:
    return [
        (to_iso(each.opened_ms), None if each.ended_ms is None else to_iso(each.ended_ms))
        for each in episodes
        if each.rule == "high-usage"
    ]


async def test_a_threshold_would_have_told_what_it_tells_once_it_is_set(tmp_path: Path) -> None:
    def kettle(time_ms: int) -> float:
        return 2_000.0 if time_ms // MINUTE % (24 * 60) in range(7 * 60, 8 * 60) else 10.0

    found = []
    for name, threshold in (("without", None), ("with", 1.0)):
        folder = tmp_path / name
        folder.mkdir()
        user = DirectoryUser(
            id=1, version=1, alerting=True, energy_alerting_threshold=threshold, email="a@b.example", time_zone="UTC"
        )
        async with usage_on(folder, KnownHomes().add(user, device(1)), at(T0_MS + 3 * DAY)) as usage:
            await record(usage, readings(3, of=kettle))
            rehearsal = await rehearsed(usage, "high-usage", T0_MS, T0_MS + 3 * DAY, thresholdKwh=1.0)
            found.append([(each["openedAt"], each["endedAt"]) for each in rehearsal["episodes"]])
            assert rehearsal["mails"] == 6
            told = spans(list(await usage.store.episodes(user_id=1, from_ms=0, to_ms=2**53)))
    assert len(found[0]) == 3
    assert found[0] == found[1] == told


async def test_the_detector_would_have_told_what_it_told(usage: Usage) -> None:
    await record(usage, readings(24))
    episodes = [each for each in await look(usage) if each.finding]
    before = await usage.store.detectors(1)
    rehearsal = await rehearsed(usage, "unusual-use", T0_MS)
    assert [(each["kind"], each["deviceId"]) for each in rehearsal["episodes"]] == [
        (each.finding.kind, each.device_id) for each in episodes if each.finding
    ]
    assert rehearsal["mails"] >= 1
    assert await usage.store.detectors(1) == before
    held = await rehearsed(usage, "unusual-use", T0_MS, noticesAMonth=0)
    assert (held["mails"], {each["held"] for each in held["episodes"]}) == (0, {True})


async def test_what_lies_before_the_range_is_learned_from_and_not_told(usage: Usage) -> None:
    await record(usage, readings(24))
    assert (await rehearsed(usage, "unusual-use", T0_MS + 23 * DAY))["episodes"] == []
    assert (await rehearsed(usage, "unusual-use", T0_MS, T0_MS + 20 * DAY))["episodes"] == []


async def test_silences_are_told_with_their_ends(usage: Usage) -> None:
    times_ms = [*range(0, 3 * HOUR, 5 * MINUTE), *range(6 * HOUR, 7 * HOUR, 5 * MINUTE)]
    await usage.record([power(1, T0_MS + time_ms, 10.0) for time_ms in times_ms])
    rehearsal = await rehearsed(usage, "silent-device", T0_MS, T0_MS + 7 * HOUR, silentAfter="PT1H")
    (episode,) = rehearsal["episodes"]
    assert (episode["openedAt"], episode["endedAt"]) == ("2026-06-01T03:55:00Z", "2026-06-01T06:00:00Z")
    assert rehearsal["mails"] == 2


@pytest.mark.parametrize(
    "query",
    [
        {"rule": "high-usage"},
        {"rule": "silent-device"},
        {"rule": "silent-device", "silentAfter": "an hour"},
        {"rule": "none"},
        {"rule": "unusual-use", "to": "2027-01-01T00:00:00Z"},
        {"rule": "unusual-use", "to": "2026-05-01T00:00:00Z"},
    ],
)
async def test_what_cannot_be_tried_is_refused(usage: Usage, query: dict[str, str]) -> None:
    async with asked(usage, watching(usage)) as client:
        answer = await client.get(
            "/1/rehearsal", params={"from": "2026-06-01T00:00:00Z", "to": "2026-06-02T00:00:00Z", **query}
        )
    assert answer.status_code == 422, answer.text


async def test_a_home_without_readings_has_nothing_to_tell(usage: Usage) -> None:
    assert (await rehearsed(usage, "unusual-use", T0_MS))["episodes"] == []
