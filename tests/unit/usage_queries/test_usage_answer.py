"""The contract's usage call."""

import pytest
from tests.support.usage_queries import HOME, at, interval

from energy_tracker.contracts.directory import Assignment, DirectoryUser


async def usage(client, **params: object):
    response = await client.get(f"/api/v1/usage/{HOME}", params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def test_it_names_each_device_and_what_it_used(home, client):
    home.add_device(1, name="Kettle", type="MISC", location="Kitchen")
    home.readings.append([interval(1, "2026-06-10T11:00", 0.5), interval(1, "2026-06-10T11:10", 0.25)])
    assert await usage(client, days=3) == {
        "userId": HOME,
        "devices": [
            {
                "id": 1,
                "name": "Kettle",
                "type": "MISC",
                "location": "Kitchen",
                "userId": HOME,
                "energyConsumed": 0.75,
                "energyExported": None,
            }
        ],
    }


async def test_a_reading_of_this_moment_is_in_it(home, client):
    home.add_device(1)
    home.readings.append([interval(1, home.clock.now_ms(), 0.5)])
    assert (await usage(client))["devices"][0]["energyConsumed"] == 0.5


async def test_three_days_are_the_default_and_what_is_older_is_out(home, client):
    home.add_device(1)
    home.readings.append(
        [
            interval(1, "2026-06-07T11:45", 4.0, since="2026-06-07T11:30"),
            interval(1, "2026-06-07T12:30", 1.0, since="2026-06-07T12:15"),
        ]
    )
    assert (await usage(client))["devices"][0]["energyConsumed"] == 1.0
    assert (await usage(client, days=4))["devices"][0]["energyConsumed"] == 5.0


async def test_days_go_by_the_local_clock_over_a_change(home, client):
    home.add_device(1)
    home.clock.instant_ms = at("2026-03-30T10:00:00+02:00")
    home.readings.append([interval(1, "2026-03-28T10:15:00+01:00", 1.0, since="2026-03-28T10:00:00+01:00")])
    home.readings.append([interval(1, "2026-03-28T10:00:00+01:00", 8.0, since="2026-03-28T09:45:00+01:00")])
    assert (await usage(client, days=2))["devices"][0]["energyConsumed"] == 1.0


async def test_absent_is_not_zero(home, client):
    home.add_device(1)
    home.add_device(2)
    home.readings.append([interval(2, "2026-06-10T11:00", 0.0)])
    assert [device["energyConsumed"] for device in (await usage(client))["devices"]] == [None, 0.0]


async def test_export_stands_beside(home, client):
    home.add_device(1, direction="export")
    home.readings.append(
        [interval(1, "2026-06-10T11:00", 2.0), interval(1, "2026-06-10T11:00", 0.1, direction="import")]
    )
    device = (await usage(client))["devices"][0]
    assert (device["energyConsumed"], device["energyExported"]) == (0.1, 2.0)


async def test_a_retired_device_shows_where_it_has_a_past(home, client):
    home.add_device(1, retired_at_ms=at("2026-06-09T00:00"))
    home.add_device(2, retired_at_ms=at("2026-05-01T00:00"))
    home.readings.append([interval(1, "2026-06-08T11:00", 1.0), interval(2, "2026-04-08T11:00", 1.0)])
    assert [device["id"] for device in (await usage(client))["devices"]] == [1]
    assert [device["id"] for device in (await usage(client, days=100))["devices"]] == [1, 2]


async def test_what_a_device_used_elsewhere_is_not_told(home, client):
    home.directory.put_user(DirectoryUser(id=8, version=1))
    home.add_device(
        1,
        assignments=(
            Assignment(user_id=8),
            Assignment(from_ms=at("2026-06-09T00:00"), user_id=HOME),
            Assignment(from_ms=at("2026-06-10T00:00"), user_id=8),
        ),
        user_id=8,
    )
    home.readings.append(
        interval(1, f"2026-06-{day:02}T12:00", day, since=f"2026-06-{day:02}T11:45") for day in (8, 9, 10)
    )
    assert [device["energyConsumed"] for device in (await usage(client))["devices"]] == [9.0]
    assert (await usage(client, days=1))["devices"] == [
        {
            "id": 1,
            "name": "device 1",
            "type": "MISC",
            "location": "",
            "userId": HOME,
            "energyConsumed": None,
            "energyExported": None,
        }
    ]
    other = (await client.get("/api/v1/usage/8")).json()
    assert [device["energyConsumed"] for device in other["devices"]] == [18.0]


@pytest.mark.parametrize("user", ["8", "9", "0", "-1", "abc", "1.0", "9" * 20, "' OR 1=1--", "%00", "\uff17"])
async def test_who_is_not_there_is_not_found(home, client, user):
    home.directory.put_user(DirectoryUser(id=8, version=2, deleted=True))
    for call in ("", "/series", "/readings"):
        response = await client.get(f"/api/v1/usage/{user}{call}")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == 404


async def test_somebody_registered_a_moment_ago_is_asked_for(home, client):
    async def refresh() -> None:
        home.directory.put_user(DirectoryUser(id=9, version=3))

    home.directory.refresh = refresh
    assert (await client.get("/api/v1/usage/9")).json() == {"userId": 9, "devices": []}


async def test_a_stale_directory_answers_about_whom_it_knows(home, client):
    home.add_device(1)
    home.directory.stale = True
    assert len((await usage(client))["devices"]) == 1
    response = await client.get("/api/v1/usage/9")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "days", ["0", "-1", "1000000000", "3661", "1.5", "3.0", "x", "", "1_0", " 3", "1e3", "٣", "9" * 5000]
)
async def test_days_that_are_none_are_refused_by_name(client, days):
    response = await client.get(f"/api/v1/usage/{HOME}", params={"days": days})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "?days"


async def test_a_misspelt_parameter_is_refused(client):
    response = await client.get(f"/api/v1/usage/{HOME}", params={"day": "3"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "?day"


async def test_no_store_is_no_answer(home, client):
    home.add_device(1)
    home.readings.available = False
    for call in ("", "/series", "/readings"):
        response = await client.get(f"/api/v1/usage/{HOME}{call}")
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) > 0


async def test_ten_years_are_answered(home, client):
    home.add_device(1)
    home.readings.append([interval(1, "2017-06-08T11:00", 1.0)])
    assert (await usage(client, days=3660))["devices"][0]["energyConsumed"] == 1.0
