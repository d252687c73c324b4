"""What people ask and say about unusual use, over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.support.energy import DAY, T0_MS
from tests.support.usage import Usage, usage_on
from tests.unit.usage_unusual.test_watching import at, broken, device, home, look, readings, record, told, watching

from energy_tracker.kit.health import Health
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.usage.api_watch import watch_routes
from energy_tracker.services.usage.rehearsal import RehearsalService
from energy_tracker.services.usage.unusual import UnusualWatch
from energy_tracker.services.usage.unusual_wishes import WatchWishes


@asynccontextmanager
async def asked(usage: Usage, unusual: UnusualWatch) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app("usage", description="", health=Health(), telemetry=Telemetry("usage"))
    app.include_router(watch_routes(WatchWishes(unusual, usage.clock), RehearsalService(unusual)))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://usage/api/v1/usage") as client:
        yield client


@pytest.fixture
async def usage(tmp_path: Path) -> AsyncIterator[Usage]:
    async with usage_on(tmp_path, home(device(1), device(2)), at(T0_MS + 24 * DAY)) as opened:
        yield opened


async def test_an_episode_is_shown_with_what_was_seen_beside_what_is_usual(usage: Usage) -> None:
    await record(usage, readings(24))
    unusual = watching(usage)
    assert await look(usage, unusual)
    async with asked(usage, unusual) as client:
        answer = (await client.get("/1/unusual")).json()
    assert answer["judgedUntil"] == "2026-06-24T23:45:00Z"
    episode = answer["items"][-1]
    assert (episode["deviceId"], episode["deviceName"], episode["held"], episode["normal"]) == (
        1,
        "Device 1",
        False,
        False,
    )
    assert episode["since"] <= episode["decidedAt"]
    assert episode["extraPowerW"] > 20
    assert episode["extraKwhAMonth"] == pytest.approx(episode["extraPowerW"] * 0.72, abs=0.01)
    chart = episode["chart"]
    assert chart["seen"] > chart["usualHigh"] >= chart["usualLow"]


async def test_what_somebody_calls_normal_ends_and_does_not_come_again(tmp_path: Path) -> None:
    async with usage_on(tmp_path, home(device(1)), at(T0_MS + 22 * DAY)) as usage:
        await _call_normal_what_is_found(usage)


async def _call_normal_what_is_found(usage: Usage) -> None:
    await record(usage, readings(22))
    unusual = watching(usage)
    assert await look(usage, unusual)
    async with asked(usage, unusual) as client:
        open_ones = [each for each in (await client.get("/1/unusual")).json()["items"] if each["until"] is None]
        for each in open_ones:
            answer = await client.post(f"/1/unusual/{each['id']}/normal")
            assert (answer.status_code, answer.json()["normal"]) == (200, True)
            assert answer.json()["until"] is not None
        before = len((await client.get("/1/unusual")).json()["items"])
        await record(usage, readings(10, first=22))
        await usage.clock.advance(10 * 86_400)
        await look(usage, unusual)
        items = (await client.get("/1/unusual")).json()["items"]
    assert len(items) == before
    ended = [transition for transition in await told(usage) if transition.state == "ended"]
    assert ended
    assert not any(transition.notify for transition in ended)
    assert "normal" in ended[-1].message


async def test_a_muted_device_and_a_home_that_wants_no_notices_are_left_alone(usage: Usage) -> None:
    unusual = watching(usage)
    async with asked(usage, unusual) as client:
        assert (await client.get("/1/watch")).json() == {
            "userId": 1,
            "noticesAMonth": 4,
            "mutedDeviceIds": [],
            "monthLimitKwh": None,
        }
        wanted = {"noticesAMonth": 0, "mutedDeviceIds": [2]}
        assert (await client.put("/1/watch", json=wanted)).json() == {"userId": 1, **wanted, "monthLimitKwh": None}
        assert (await client.get("/1/watch")).json() == {"userId": 1, **wanted, "monthLimitKwh": None}
        await record(usage, readings(24, number=1, of=broken))
        await record(usage, readings(24, number=2, of=broken))
        found = await look(usage, unusual)
    assert {each.device_id for each in found} == {1}
    assert all(each.held and not each.notify for each in found)


async def test_what_is_not_there_is_not_found_and_what_is_not_acceptable_refused(usage: Usage) -> None:
    async with asked(usage, watching(usage)) as client:
        for path in ("/2/unusual", "/x/unusual", "/2/watch"):
            assert (await client.get(path)).status_code == 404
        assert (await client.post("/1/unusual/none/normal")).status_code == 404
        for body in ({"noticesAMonth": -1}, {}, {"noticesAMonth": 1, "mutedDeviceIds": [77]}, {"noticesAMonth": "x"}):
            assert (await client.put("/1/watch", json=body)).status_code == 422


async def test_a_home_that_another_process_looks_after_is_asked_there(usage: Usage) -> None:
    unusual = watching(usage)
    unusual.homes = type("Elsewhere", (), {"partitions": (), "partition_of": staticmethod(lambda _: 0)})()
    async with asked(usage, unusual) as client:
        answer = await client.get("/1/unusual")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
