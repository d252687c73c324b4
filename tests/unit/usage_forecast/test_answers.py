"""Forecasts as they are asked for over HTTP: what can be said, and what cannot and why."""

from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
import pytest
from tests.support.usage_queries import HOME, Home, StoppedClock, at, interval

from energy_tracker.kit.health import Health
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR
from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app
from energy_tracker.services.usage.api_forecast import forecast_routes
from energy_tracker.services.usage.forecasting import ForecastService

NOW = "2026-06-10T12:07:30"


@pytest.fixture
def home() -> Home:
    return Home(clock=StoppedClock(NOW))


def service(home: Home) -> ForecastService:
    return ForecastService(home.queries, home.readings, home.clock)


@asynccontextmanager
async def asking(forecasts: ForecastService):
    app = create_app("usage", description="", health=Health(), telemetry=Telemetry("usage"))
    app.include_router(forecast_routes(forecasts))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://usage/api/v1/usage") as client:
        yield client


async def ask(home: Home, path: str = f"/{HOME}/forecast", **params: object) -> dict:
    async with asking(service(home)) as client:
        answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def use(home: Home, device_id: int, days: float, *, scale: float = 1.0, until: str = NOW) -> None:
    """Record hours: 0.3 kWh, 1.2 in the evening, a little different each day."""
    end_ms = at(until) // MS_PER_HOUR * MS_PER_HOUR
    home.readings.append(
        interval(
            device_id,
            start_ms + MS_PER_HOUR,
            scale * (1.2 if start_ms // MS_PER_HOUR % 24 in {17, 18, 19} else 0.3 + start_ms // MS_PER_DAY % 5 / 50),
            since=start_ms,
        )
        for start_ms in range(end_ms - round(days * 24) * MS_PER_HOUR, end_ms, MS_PER_HOUR)
    )


async def test_the_hours_to_the_end_of_tomorrow_with_ordered_quantiles(home: Home) -> None:
    home.add_device(1)
    use(home, 1, 60)
    answer = await ask(home)
    hours = answer["hours"]
    assert (hours[0]["start"], hours[-1]["end"]) == (
        "2026-06-10T12:00:00Z",
        "2026-06-11T22:00:00Z",
    )  # Berlin's midnight
    assert len(hours) == 34
    assert all(before["end"] == after["start"] for before, after in pairwise(hours))
    for hour in hours:
        quantiles = [hour[f"p{level}Kwh"] for level in (10, 25, 50, 75, 90)]
        assert quantiles == sorted(quantiles)
        assert quantiles[0] <= hour["meanKwh"] <= quantiles[-1]
    evening = next(hour for hour in hours if hour["start"] == "2026-06-10T18:00:00Z")
    assert evening["p50Kwh"] == pytest.approx(1.2, abs=0.1)
    assert (answer["littleHistory"], answer["reason"], answer["madeAt"]) == (False, None, "2026-06-10T12:00:00Z")


async def test_the_month_is_what_was_used_and_what_is_to_come(home: Home) -> None:
    home.add_device(1)
    use(home, 1, 60)
    month = (await ask(home))["month"]
    assert (month["from"], month["to"]) == ("2026-05-31T22:00:00Z", "2026-06-30T22:00:00Z")
    assert 0 < month["usedKwh"] < month["lowKwh"] < month["expectedKwh"] < month["highKwh"]
    a_day = 3 * 1.2 + 21 * 0.34
    assert month["expectedKwh"] == pytest.approx(30 * a_day, rel=0.02)
    assert (month["gapsKwh"], month["reason"]) == (0, None)


async def test_how_good_the_forecasts_of_past_days_would_have_been(home: Home) -> None:
    home.add_device(1)
    use(home, 1, 60)
    accuracy = (await ask(home))["accuracy"]
    assert (accuracy["days"], accuracy["hours"]) == (28, 28 * 24)
    assert (accuracy["from"], accuracy["to"]) == ("2026-05-12T22:00:00Z", "2026-06-09T22:00:00Z")
    assert 0 < accuracy["meanAbsoluteErrorKwh"] < 0.05
    assert 0 < accuracy["relativeError"] < 1
    assert accuracy["statedBandShare"] == 0.8


async def test_too_little_history_is_said_and_nothing_is_made_up(home: Home) -> None:
    home.add_device(1)
    answer = await ask(home)
    assert (answer["hours"], answer["accuracy"], answer["measuredDays"]) == (None, None, 0)
    assert answer["reason"] == "Nothing was measured in the last 7 days."
    assert {answer["month"][name] for name in ("usedKwh", "gapsKwh", "expectedKwh", "lowKwh", "highKwh")} == {None}
    use(home, 1, 2)
    answer = await ask(home)
    assert (answer["hours"], answer["accuracy"]) == (None, None)
    assert answer["reason"] == answer["month"]["reason"]
    assert "needs 3 measured days" in answer["reason"]
    assert answer["month"]["usedKwh"] > 0
    assert answer["month"]["expectedKwh"] is None


async def test_with_a_few_days_it_says_that_there_is_little_history(home: Home) -> None:
    home.add_device(1)
    use(home, 1, 5)
    answer = await ask(home)
    assert answer["littleHistory"] is True
    assert answer["hours"] is not None
    assert answer["accuracy"] is None


async def test_what_has_not_been_measured_for_a_week_has_no_tomorrow(home: Home) -> None:
    home.add_device(1)
    use(home, 1, 40, until="2026-06-02T12:00")
    answer = await ask(home)
    assert (answer["hours"], answer["month"]["expectedKwh"]) == (None, None)
    assert answer["month"]["usedKwh"] > 0


async def test_one_device_and_the_home_of_which_it_is_a_part(home: Home) -> None:
    home.add_device(1)
    home.add_device(2)
    use(home, 1, 60)
    use(home, 2, 60, scale=0.5)
    whole, one = await ask(home), await ask(home, deviceId=2)
    assert (whole["deviceId"], one["deviceId"]) == (None, 2)
    assert whole["month"]["expectedKwh"] == pytest.approx(3 * one["month"]["expectedKwh"], rel=1e-3)


async def test_a_silent_plug_takes_its_own_part_of_the_home_with_it_and_a_new_one_is_not_missing_before(
    home: Home,
) -> None:
    for device_id in (1, 2, 3):
        home.add_device(device_id)
    use(home, 1, 60)
    use(home, 2, 58, scale=0.01, until="2026-06-08T12:00")  # fell silent two days ago
    use(home, 3, 1, scale=0.01)  # new
    answer = await ask(home)
    assert answer["month"]["expectedKwh"] == pytest.approx(30 * (3 * 1.2 + 21 * 0.34), rel=0.04)
    assert answer["month"]["gapsKwh"] < 1


async def test_sub_meters_do_not_count(home: Home) -> None:
    home.add_device(1)
    home.add_device(2, parent_id=1)
    use(home, 1, 20)
    before = (await ask(home))["month"]
    use(home, 2, 20)
    assert (await ask(home))["month"] == before


async def test_playing_past_days_again_is_only_done_where_their_hours_have_changed(home: Home, monkeypatch) -> None:
    from energy_tracker.services.usage import forecasting

    played: list[int] = []
    judge = forecasting.judge_past_days
    monkeypatch.setattr(
        forecasting, "judge_past_days", lambda *args, **kwargs: played.append(1) or judge(*args, **kwargs)
    )
    home.add_device(1)
    use(home, 1, 20)
    forecasts = service(home)
    async with asking(forecasts) as client:
        first = (await client.get(f"/{HOME}/forecast")).json()
        assert (await client.get(f"/{HOME}/forecast")).json() == first
        assert len(played) == 1
        home.readings.append([interval(1, "2026-06-05T10:30", 5.0, since="2026-06-05T10:29")])
        assert (await client.get(f"/{HOME}/forecast")).json()["accuracy"] != first["accuracy"]
        assert len(played) == 2


async def test_who_and_what_is_not_there_and_what_is_not_acceptable(home: Home) -> None:
    home.add_device(1)
    async with asking(service(home)) as client:
        for path, status in (
            ("/8/forecast", 404),
            ("/x/forecast", 404),
            (f"/{HOME}/forecast?deviceId=9", 404),
            (f"/{HOME}/forecast?deviceId=x", 404),
            (f"/{HOME}/forecast?days=3", 422),
        ):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_a_store_that_is_down_is_no_empty_forecast(home: Home) -> None:
    home.add_device(1)

    class Down:
        async def bucket_sums(self, **_: object) -> None:
            raise TemporarilyUnavailable("The readings cannot be read.")

    forecasts = ForecastService(home.queries, Down(), home.clock)
    async with asking(forecasts) as client:
        assert (await client.get(f"/{HOME}/forecast")).status_code == 503


@pytest.mark.parametrize(
    ("now", "start", "count"),
    [
        ("2026-03-28T11:20:00", "2026-03-28T11:00:00Z", 35),  # 23 hours tomorrow
        ("2026-10-24T10:20:00", "2026-10-24T10:00:00Z", 37),  # 25 hours tomorrow
        ("2026-06-10T22:00:00", "2026-06-10T22:00:00Z", 48),  # midnight itself
    ],
)
async def test_days_on_which_clocks_change(now: str, start: str, count: int) -> None:
    home = Home(clock=StoppedClock(now))
    home.add_device(1)
    use(home, 1, 20, until=now)
    answer = await ask(home)
    assert (answer["hours"][0]["start"], len(answer["hours"])) == (start, count)
