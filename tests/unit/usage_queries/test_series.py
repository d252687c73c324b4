"""Energy over time: tiles, totals, coverage, sub-meters."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.usage_queries import HOME, Home, at, interval

from energy_tracker.contracts.directory import Assignment, DirectoryUser
from energy_tracker.kit.instants import MS_PER_MINUTE, MS_PER_QUARTER_HOUR, to_ms
from energy_tracker.kit.principal import LOCAL
from energy_tracker.kit.quantities import kwh_to_millijoules
from energy_tracker.services.usage.model.readings import Reading

DAY = {"from": "2026-06-01T00:00:00+02:00", "to": "2026-06-02T00:00:00+02:00"}


async def series(client, **params: object):
    response = await client.get(f"/api/v1/usage/{HOME}/series", params=params)
    assert response.status_code == 200, response.text
    return response.json()


def energies(buckets, name="importKwh"):
    return [bucket[name] for bucket in buckets]


async def test_hours_of_a_day(home, client):
    home.add_device(1)
    home.readings.append([interval(1, "2026-06-01T01:00", 0.5, since="2026-06-01T00:30")])
    answer = await series(client, **DAY, resolution="hour")
    assert {name: answer[name] for name in ("userId", "timeZone", "resolution", "from", "to")} == {
        "userId": HOME,
        "timeZone": "Europe/Berlin",
        "resolution": "hour",
        "from": "2026-05-31T22:00:00Z",
        "to": "2026-06-01T22:00:00Z",
    }
    (device,) = answer["devices"]
    assert (device["id"], device["name"]) == (1, "device 1")
    assert len(device["buckets"]) == 24
    assert device["buckets"][2] == {
        "start": "2026-06-01T00:00:00Z",
        "end": "2026-06-01T01:00:00Z",
        "importKwh": 0.5,
        "exportKwh": None,
        "coverage": 0.5,
        "estimatedKwh": 0.0,
    }
    assert device["buckets"][3] == {
        "start": "2026-06-01T01:00:00Z",
        "end": "2026-06-01T02:00:00Z",
        "importKwh": None,
        "exportKwh": None,
        "coverage": 0.0,
        "estimatedKwh": None,
    }
    assert answer["total"] == device["buckets"]


async def test_a_day_of_23_hours(home, client):
    home.add_device(1)
    home.readings.append([interval(1, "2026-03-29T22:00", 23.0, since="2026-03-28T23:00")])
    answer = await series(
        client, **{"from": "2026-03-28T00:00:00+01:00", "to": "2026-03-31T00:00:00+02:00"}, resolution="day"
    )
    assert energies(answer["total"]) == [None, 23.0, None]
    assert answer["total"][1] == {
        "start": "2026-03-28T23:00:00Z",
        "end": "2026-03-29T22:00:00Z",
        "importKwh": 23.0,
        "exportKwh": None,
        "coverage": 1.0,
        "estimatedKwh": 23.0,
    }


async def test_the_last_week_by_hours_is_the_default(home, client):
    home.add_device(1)
    answer = await series(client)
    assert (answer["from"], answer["to"], answer["resolution"]) == (
        "2026-06-03T12:15:00Z",
        "2026-06-10T12:15:00Z",
        "hour",
    )
    assert answer["total"][0]["end"] == "2026-06-03T13:00:00Z"


@pytest.mark.parametrize(
    ("resolution", "begins"),
    [("day", "2026-06-02T22:00:00Z"), ("week", "2026-04-12T22:00:00Z"), ("month", "2025-05-31T22:00:00Z")],
)
async def test_longer_buckets_begin_whole_by_default(home, client, resolution, begins):
    home.add_device(1)
    answer = await series(client, resolution=resolution)
    assert (answer["from"], answer["to"]) == (begins, "2026-06-10T12:15:00Z")


async def test_a_range_is_rounded_outward_to_quarter_hours_and_says_so(home, client):
    home.add_device(1)
    answer = await series(client, **{"from": "2026-06-01T10:07:00Z", "to": "2026-06-01T10:16:00Z"})
    assert (answer["from"], answer["to"]) == ("2026-06-01T10:00:00Z", "2026-06-01T10:30:00Z")
    assert [(bucket["start"], bucket["end"]) for bucket in answer["total"]] == [
        ("2026-06-01T10:00:00Z", "2026-06-01T10:30:00Z")
    ]


async def test_import_and_export_are_apart_and_channels_add_up(home, client):
    home.add_device(1)
    since = "2026-06-01T10:00"
    home.readings.append(
        [
            interval(1, "2026-06-01T10:30", 1.0, since=since, channel="a"),
            interval(1, "2026-06-01T10:15", 2.0, since=since, channel="b"),
            interval(1, "2026-06-01T10:15", 4.0, since=since, direction="export"),
        ]
    )
    answer = await series(client, **{"from": "2026-06-01T10:00Z", "to": "2026-06-01T11:00Z"})
    (bucket,) = answer["total"]
    assert (bucket["importKwh"], bucket["exportKwh"], bucket["coverage"]) == (3.0, 4.0, 0.5)


async def test_the_total_covers_what_its_devices_cover_on_average(home, client):
    for device_id in (1, 2, 3, 4):
        home.add_device(device_id, retired_at_ms=at("2026-05-01T00:00") if device_id == 4 else None)
    home.readings.append(
        [
            interval(1, "2026-06-01T11:00", 1.0, since="2026-06-01T10:00"),
            interval(2, "2026-06-01T11:00", 1.0, since="2026-06-01T10:30"),
        ]
    )
    answer = await series(client, **{"from": "2026-06-01T10:00Z", "to": "2026-06-01T11:00Z"})
    assert answer["total"][0]["coverage"] == 0.5
    assert [device["id"] for device in answer["devices"]] == [1, 2, 3]


async def test_sub_meters_are_shown_and_not_counted_twice(home, client):
    home.add_device(1)
    home.add_device(2, parent_id=1, assignments=(Assignment(user_id=HOME, parent_id=1),))
    home.add_device(3, parent_id=2)
    home.readings.append(
        interval(device_id, "2026-06-01T11:00", 8.0 / device_id, since="2026-06-01T10:00") for device_id in (1, 2, 3)
    )
    hour = {"from": "2026-06-01T10:00Z", "to": "2026-06-01T11:00Z"}
    answer = await series(client, **hour)
    assert [device["buckets"][0]["importKwh"] for device in answer["devices"]] == pytest.approx([8, 4, 8 / 3])
    assert energies(answer["total"]) == [8.0]
    chosen = await series(client, **hour, deviceId="2")
    assert ([device["id"] for device in chosen["devices"]], energies(chosen["total"])) == ([2], [4.0])
    both = await series(client, **hour, deviceId=["1", "3"])
    assert energies(both["total"]) == [8.0]


async def test_a_device_counts_until_it_becomes_a_sub_meter_in_the_middle_of_an_hour(home, client):
    home.add_device(1)
    home.add_device(
        2,
        assignments=(
            Assignment(user_id=HOME),
            Assignment(from_ms=at("2026-06-01T10:37"), user_id=HOME, parent_id=1),
        ),
    )
    home.readings.append(
        interval(device_id, "2026-06-01T11:00", 1.0 * device_id, since="2026-06-01T10:00") for device_id in (1, 2)
    )
    answer = await series(client, **{"from": "2026-06-01T10:00Z", "to": "2026-06-01T11:00Z"})
    assert energies(answer["total"]) == [2.0]
    assert answer["total"][0]["coverage"] == 1.0
    assert [device["buckets"][0]["importKwh"] for device in answer["devices"]] == [1.0, 2.0]


async def test_a_sub_meter_counts_once_its_parent_is_retired(home, client):
    home.add_device(1, retired_at_ms=at("2026-06-01T11:00"))
    home.add_device(2, parent_id=1)
    home.readings.append([interval(1, "2026-06-01T11:00", 5.0, since="2026-06-01T10:00")])
    home.readings.append([interval(2, "2026-06-01T12:00", 4.0, since="2026-06-01T10:00")])
    answer = await series(client, **{"from": "2026-06-01T10:00Z", "to": "2026-06-01T12:00Z"})
    assert energies(answer["total"]) == [5.0, 2.0]


async def test_another_zone_cuts_the_same_quarter_hours_elsewhere(home, client):
    home.add_device(1)
    home.readings.append([interval(1, "2026-06-01T22:30", 4.0, since="2026-06-01T21:30")])
    two_days = {"from": "2026-06-01T00:00Z", "to": "2026-06-03T00:00Z", "resolution": "day"}
    assert energies((await series(client, **two_days))["total"]) == [2.0, 2.0, None]
    home.directory.put_user(DirectoryUser(id=HOME, version=2, time_zone="UTC"))
    assert energies((await series(client, **two_days))["total"]) == [4.0, None]


async def test_a_zone_that_is_not_known_here_is_no_answer(home, client):
    for name in ("Mars/Olympus", "../../etc/passwd", "America", ""):
        home.directory.put_user(DirectoryUser(id=HOME, version=2, time_zone=name))
        assert (await client.get(f"/api/v1/usage/{HOME}/series")).status_code == 503


@pytest.mark.parametrize("device", ["2", "9", "-1", "x", "1.0", "99999999999999999999", ""])
async def test_a_device_of_somebody_else_is_not_found(home, client, device):
    home.add_device(1)
    home.add_device(2, user_id=8)
    for call in ("series", "readings"):
        response = await client.get(f"/api/v1/usage/{HOME}/{call}", params={"deviceId": device})
        assert response.status_code == 404


GOOD = {"from": "2026-06-01T00:00Z", "to": "2026-06-02T00:00Z"}


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        (GOOD | {"from": "2026-06-01T00:00"}, "?from"),
        (GOOD | {"from": "2026-06-01"}, "?from"),
        (GOOD | {"from": "1780000000"}, "?from"),
        (GOOD | {"from": "1780000000000"}, "?from"),
        (GOOD | {"from": "2026-02-30T00:00Z"}, "?from"),
        (GOOD | {"from": "2026-06-01T25:00Z"}, "?from"),
        (GOOD | {"from": "2026-06-01T00:00+99:00"}, "?from"),
        (GOOD | {"from": "0000-06-01T00:00Z"}, "?from"),
        (GOOD | {"from": "0001-01-01T00:00+14:00"}, "?from"),
        (GOOD | {"from": "1970-01-01T00:00Z"}, "?from"),
        (GOOD | {"to": "5138-01-01T00:00Z"}, "?to"),
        (GOOD | {"to": "9999-12-31T23:59-14:00"}, "?to"),
        ({"to": "9999-12-31T23:59:59Z"}, "?to"),
        ({"to": "0001-01-01T00:00Z"}, "?from"),
        ({"to": "2000-01-01T00:00Z"}, "?from"),
        ({"from": "9999-12-31T23:59:59Z"}, "?to"),
        (GOOD | {"to": "2026-06-01T00:00Z"}, "?to"),
        (GOOD | {"to": "2026-05-01T00:00Z"}, "?to"),
        (GOOD | {"to": "yesterday"}, "?to"),
        (GOOD | {"to": ""}, "?to"),
        (GOOD | {"resolution": "second"}, "?resolution"),
        (GOOD | {"resolution": ""}, "?resolution"),
        (GOOD | {"resolution": "HOUR"}, "?resolution"),
        (GOOD | {"form": "2026-06-01T00:00Z"}, "?form"),
        ({"from": "2000-01-01T00:00Z", "to": "2100-01-01T00:00Z"}, "?resolution"),
        ({"from": "2000-01-01T00:00Z", "to": "2099-01-01T00:00Z", "resolution": "day"}, "?resolution"),
    ],
)
async def test_what_is_not_acceptable_is_named(home, client, params, pointer):
    home.add_device(1)
    response = await client.get(f"/api/v1/usage/{HOME}/series", params=params)
    assert response.status_code == 422
    problem = response.json()
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert problem["errors"][0]["detail"]


async def test_a_hundred_years_of_months_and_one_of_hours_are_answered(home, client):
    home.add_device(1)
    months = await series(client, **{"from": "2000-01-01T00:00Z", "to": "2100-01-01T00:00Z"}, resolution="month")
    assert len(months["total"]) == 1201
    hours = await series(client, **{"from": "2026-01-01T00:00Z", "to": "2027-01-01T00:00Z"})
    assert len(hours["devices"][0]["buckets"]) == 8760


async def test_a_plus_that_was_not_escaped_is_understood(home, client):
    home.add_device(1)
    response = await client.get(
        f"/api/v1/usage/{HOME}/series?from=2026-06-01T02:00:00+02:00&to=2026-06-01T02:00:00.000Z&resolution=day"
    )
    assert response.json()["from"] == "2026-06-01T00:00:00Z"


async def test_a_home_without_devices_measures_nothing(home, client):
    home.readings.available = False  # nothing is there to be asked for
    answer = await series(client, **DAY, resolution="day")
    assert answer["devices"] == []
    assert [(bucket["importKwh"], bucket["coverage"]) for bucket in answer["total"]] == [(None, 0.0)]


amounts = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.integers(0, 24 * 60 * 35),
        st.floats(0, 50, allow_nan=False),
        st.sampled_from([None, "import", "export"]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda drawn: drawn[:2],
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(amounts, st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"]))
async def test_hours_days_weeks_and_months_add_up_to_the_same_millijoules(drawn, zone_name):
    home = Home()
    home.directory.put_user(DirectoryUser(id=HOME, version=1, time_zone=zone_name))
    home.add_device(1)
    home.add_device(2, direction="export")
    start = to_ms(datetime(2026, 3, 15, tzinfo=ZoneInfo(zone_name)))
    home.readings.append(
        Reading(device_id, start + minutes * MS_PER_MINUTE, b"%d" % index, "interval", kwh, direction)
        for index, (device_id, minutes, kwh, direction) in enumerate(drawn)
    )
    sums = []
    for resolution in ("hour", "day", "week", "month"):
        answer = await home.queries.series(
            principal=LOCAL,
            user_id=HOME,
            resolution=resolution,
            from_ms=start - MS_PER_QUARTER_HOUR,
            to_ms=start + 24 * 60 * 36 * MS_PER_MINUTE,
        )
        total = [
            sum(kwh_to_millijoules(getattr(bucket, name) or 0) for bucket in answer.total)
            for name in ("import_kwh", "export_kwh")
        ]
        by_device = sum(
            kwh_to_millijoules(bucket.import_kwh or 0) + kwh_to_millijoules(bucket.export_kwh or 0)
            for device in answer.devices
            for bucket in device.buckets
        )
        assert by_device == sum(total)
        sums.append(total)
    assert sums == [sums[0]] * 4
    assert sum(sums[0]) == sum(kwh_to_millijoules(kwh) for _, _, kwh, _ in drawn)
