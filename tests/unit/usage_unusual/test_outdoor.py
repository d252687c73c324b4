"""How cold it was outside: told over HTTP, kept beside what a home wants, and taken into account where it is judged."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.support.energy import DAY, T0_MS
from tests.support.usage import Usage, usage_on
from tests.unit.usage_unusual.test_watching import at, device, home, look, power, record, watching

from energy_tracker.kit.health import Health
from energy_tracker.kit.instants import from_ms
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.usage.api_outdoor import outdoor_routes
from energy_tracker.services.usage.outdoor import OutdoorTemperatures

COLD = [60, 80, 100, 70, 90, 110, 50, 75, 95, 65, 85, 105, 55, 100, 60, 80, 90, 70, 100, 60, -30, -40, -35, -45, -30]
"""Tenths of a degree, day after day."""


@pytest_asyncio.fixture
async def usage(tmp_path: Path) -> AsyncIterator[Usage]:
    async with usage_on(tmp_path, home(device(1, type="HEATER")), at(T0_MS + len(COLD) * DAY)) as opened:
        yield opened


@pytest_asyncio.fixture
async def http(usage: Usage) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app("usage", description="", health=Health(), telemetry=Telemetry("usage"))
    app.include_router(outdoor_routes(OutdoorTemperatures(watching(usage))))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://usage/api/v1/usage") as client:
        yield client


def told(*days: tuple[str, float | None]) -> dict[str, Any]:
    return {"days": [{"date": day, "meanC": mean} for day, mean in days]}


async def test_days_are_added_to_those_that_are_known_and_null_takes_one_back(http: httpx.AsyncClient) -> None:
    assert (await http.get("/1/outdoor")).json() == {"userId": 1, "days": []}
    await http.put("/1/outdoor", json=told(("2026-06-02", 14.26), ("2026-06-01", -3)))
    answer = await http.put("/1/outdoor", json=told(("2026-06-01", None), ("2026-06-03", 2.0), ("2026-06-03", 2.5)))
    assert answer.status_code == 200
    assert answer.json() == (await http.get("/1/outdoor")).json()
    assert answer.json()["days"] == [{"date": "2026-06-02", "meanC": 14.3}, {"date": "2026-06-03", "meanC": 2.5}]


async def test_the_newest_days_are_kept(http: httpx.AsyncClient) -> None:
    days = [(f"{date(2025, 1, 1) + timedelta(days=number)}", 1.0) for number in range(400)]
    await http.put("/1/outdoor", json=told(*days))
    known = (await http.put("/1/outdoor", json=told(("2026-06-05", 2.0)))).json()["days"]
    assert (len(known), known[0]["date"], known[-1]["meanC"]) == (400, "2025-01-02", 2.0)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"days": [{"date": "2026-06-01"}]},
        {"days": [{"date": "2026-02-30", "meanC": 1.0}]},
        {"days": [{"date": "2026-6-1", "meanC": 1.0}]},
        {"days": [{"date": "2026-06-01T00:00", "meanC": 1.0}]},
        {"days": [{"date": "2026-06-01", "meanC": 61}]},
        {"days": [{"date": "1969-12-31", "meanC": 1.0}]},
        {"days": [{"date": "2027-06-01", "meanC": 1.0}]},
        {"days": [{"date": "2026-06-01", "meanC": -90.1}]},
        {"days": [{"date": "2026-06-01", "meanC": "1"}]},
        {"days": [{"date": "2026-06-01", "meanC": 1.0, "unit": "F"}]},
        {"days": [{"date": "2026-06-01", "meanC": 1.0}] * 401},
    ],
)
async def test_what_is_no_temperature_of_a_day_is_refused(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await http.put("/1/outdoor", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_a_home_that_nobody_knows_has_no_weather(http: httpx.AsyncClient) -> None:
    assert (await http.get("/9/outdoor")).status_code == 404
    assert (await http.put("/9/outdoor", json=told(("2026-06-01", 1.0)))).status_code == 404


async def record_heating(usage: Usage) -> None:
    """Let a heater of 4 kW run for the share of each hour that the temperature asks for."""
    await record(usage, (heated_day(number, tenths) for number, tenths in enumerate(COLD)))


def heated_day(number: int, tenths: int) -> list[Any]:
    on = (180 - tenths) * 60 // 400
    return [
        power(1, T0_MS + number * DAY + minute * 60_000, 4_000.0 + minute % 7 if minute % 60 < on else 5.0 + minute % 3)
        for minute in range(1_440)
    ]


async def test_a_cold_spell_is_told_where_nobody_knows_of_it(usage: Usage) -> None:
    await record_heating(usage)
    assert await look(usage)


async def test_a_cold_spell_that_is_known_is_no_news(usage: Usage, http: httpx.AsyncClient) -> None:
    first = from_ms(T0_MS).date()
    days = ((f"{first + timedelta(days=number)}", tenths / 10) for number, tenths in enumerate(COLD))
    assert (await http.put("/1/outdoor", json=told(*days))).status_code == 200
    await record_heating(usage)
    assert await look(usage) == []
