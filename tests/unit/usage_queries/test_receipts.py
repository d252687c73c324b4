"""Raw readings, page by page; the calls that are passed on; the ledger; the document."""

import base64
from collections.abc import Iterator

import pytest
from tests.support.usage_queries import HOME, at, interval

from energy_tracker.contracts.directory import Assignment
from energy_tracker.kit.ids import event_key
from energy_tracker.services.usage.model.ledger import Holdings
from energy_tracker.services.usage.model.readings import Reading


def cursor_of(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def readings(client, **params: object):
    response = await client.get(f"/api/v1/usage/{HOME}/readings", params=params)
    assert response.status_code == 200, response.text
    return response.json()


async def test_readings_are_as_they_were_stored(home, client):
    home.add_device(1, direction="export")
    home.readings.append(
        [
            interval(1, "2026-06-01T10:00", 0.5, since="2026-06-01T09:00", key="a"),
            Reading(1, at("2026-06-01T10:01"), event_key("b"), "register", 12.5, direction="import", channel="L1"),
            Reading(1, at("2026-06-01T10:02:00.250"), event_key("c"), "power", -3.0),
        ]
    )
    answer = await readings(client)
    assert answer == {
        "items": [
            {
                "deviceId": 1,
                "timestamp": "2026-06-01T10:00:00Z",
                "eventId": "a",
                "kind": "interval",
                "direction": "export",
                "energyConsumed": 0.5,
                "since": "2026-06-01T09:00:00Z",
                "receivedAt": "2026-01-01T00:00:00Z",
            },
            {
                "deviceId": 1,
                "timestamp": "2026-06-01T10:01:00Z",
                "eventId": "b",
                "kind": "register",
                "direction": "import",
                "registerKwh": 12.5,
                "channel": "L1",
            },
            {
                "deviceId": 1,
                "timestamp": "2026-06-01T10:02:00.250Z",
                "eventId": "c",
                "kind": "power",
                "direction": "export",
                "powerW": -3.0,
            },
        ],
        "next": None,
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 12, 13])
async def test_pages_follow_each_other_without_gap_or_repetition(home, client, limit):
    home.add_device(1)
    home.add_device(2)
    home.readings.append(
        interval(device_id, f"2026-06-01T10:{minute:02}", 1.0, key=f"{minute}{twin}")
        for minute in (0, 1, 2)
        for device_id in (2, 1)
        for twin in "xy"
    )
    pages, cursor = [], None
    while True:
        answer = await readings(client, limit=limit, **({"cursor": cursor} if cursor else {}))
        pages.append([(item["timestamp"], item["deviceId"], item["eventId"]) for item in answer["items"]])
        cursor = answer["next"]
        if cursor is None:
            break
    together = [item for page in pages for item in page]
    assert together == sorted(set(together))
    assert len(together) == 12
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages) == -(-12 // limit)


async def test_the_greatest_id_has_pages_too(home, client):
    greatest = 2**63 - 1
    home.add_device(greatest)
    home.readings.append(interval(greatest, f"2026-06-01T10:0{minute}", 1.0, key="e" * 64) for minute in (1, 2))
    first = await readings(client, limit=1, deviceId=greatest)
    second = await readings(client, limit=1, cursor=first["next"])
    assert [page["items"][0]["timestamp"][14:16] for page in (first, second)] == ["01", "02"]
    assert second["next"] is None


async def test_readings_are_picked_by_time_and_device(home, client):
    home.add_device(1)
    home.add_device(2)
    home.readings.append(
        interval(device_id, f"2026-06-01T1{hour}:00", 1.0) for hour in range(4) for device_id in (1, 2)
    )
    answer = await readings(client, **{"from": "2026-06-01T11:00Z", "to": "2026-06-01T13:00Z", "deviceId": 2})
    assert [(item["timestamp"], item["deviceId"]) for item in answer["items"]] == [
        ("2026-06-01T11:00:00Z", 2),
        ("2026-06-01T12:00:00Z", 2),
    ]


async def test_readings_of_a_former_owner_stay_with_them_to_the_millisecond(home, client):
    changed = at("2026-06-01T11:07:00.500")
    home.add_device(1, assignments=(Assignment(user_id=8), Assignment(from_ms=changed, user_id=HOME)))
    home.readings.append(interval(1, changed + offset, 1.0) for offset in (-1, 0, 1))
    assert len((await readings(client))["items"]) == 2
    first = await readings(client, limit=1)
    assert len((await readings(client, limit=1, cursor=first["next"]))["items"]) == 1


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"limit": "0"}, "?limit"),
        ({"limit": "-1"}, "?limit"),
        ({"limit": "10001"}, "?limit"),
        ({"limit": "ten"}, "?limit"),
        ({"cursor": "x"}, "?cursor"),
        ({"cursor": ""}, "?cursor"),
        ({"cursor": "MS4yLnp6"}, "?cursor"),
        ({"cursor": "ümlaut"}, "?cursor"),
        ({"cursor": cursor_of("1.9223372036854775808.00")}, "?cursor"),
        ({"cursor": cursor_of("-1.1.00")}, "?cursor"),
        ({"cursor": cursor_of("1.1.0")}, "?cursor"),
        ({"cursor": "9" * 401}, "?cursor"),
        ({"cursor": "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5LjEuMDA"}, "?cursor"),
        ({"from": "2026-06-01T00:00Z", "to": "2026-06-01T00:00Z"}, "?to"),
        ({"from": "now"}, "?from"),
        ({"device": "1"}, "?device"),
    ],
)
async def test_what_is_not_acceptable_is_named(home, client, params, pointer):
    home.add_device(1)
    response = await client.get(f"/api/v1/usage/{HOME}/readings", params=params)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


async def test_explaining_is_passed_on(home, client):
    home.add_device(1)
    params = {"deviceId": "1", "from": "2026-06-01T00:00Z", "to": "2026-06-02T00:00Z"}
    response = await client.get(f"/api/v1/usage/{HOME}/explain", params=params)
    assert response.json() == {
        "userId": HOME,
        "deviceId": 1,
        "from": "2026-06-01T00:00:00Z",
        "to": "2026-06-02T00:00:00Z",
        "importKwh": None,
        "exportKwh": None,
        "streams": [],
    }
    for missing in params:
        fewer = {name: text for name, text in params.items() if name != missing}
        response = await client.get(f"/api/v1/usage/{HOME}/explain", params=fewer)
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == f"?{missing}"
    assert (await client.get(f"/api/v1/usage/{HOME}/explain", params=params | {"deviceId": "x"})).status_code == 404
    for to in ("2026-06-01T00:00Z", "9999-12-31T23:59:59Z"):
        assert (await client.get(f"/api/v1/usage/{HOME}/explain", params=params | {"to": to})).status_code == 422


async def test_rebuilding_answers_what_was_done(home, client):
    assert (await client.post("/actuator/rebuild")).json() == {"devices": 1, "readings": 0, "seconds": 0.0}
    assert (await client.get("/actuator/rebuild")).status_code == 405
    assert home.rebuilder.times == 1


async def test_the_ledger_balances_and_names_what_waits(home, client):
    home.readings.append([interval(1, "2026-06-01T10:00", 1.0), interval(1, "2026-06-01T11:00", 1.0)])
    home.readings.append([interval(1, "2026-06-01T11:00", 1.0)])
    home.intake.accepted, home.intake.duplicate, home.intake.rejected = 5, 1, 2
    assert (await client.get("/api/v1/ledger")).json() == {
        "received": 8,
        "accepted": 4,
        "duplicate": 2,
        "rejected": 2,
        "stored": 2,
        "queued": 2,
        "deadLettered": 0,
        "balanced": True,
    }
    assert (await client.get("/api/v1/ledger?x=1")).status_code == 422
    home.readings.available = False
    assert (await client.get("/api/v1/ledger")).status_code == 503


async def test_a_reading_that_moves_while_the_ledger_is_drawn_is_counted_once(home):
    home.intake.accepted = 1
    holdings = home.readings.holdings

    async def holdings_then_a_reading() -> Holdings:
        before = await holdings()
        home.readings.append([interval(1, "2026-06-01T10:00", 1.0)])
        return before

    home.readings.holdings = holdings_then_a_reading
    ledger = await home.queries.ledger()
    assert (ledger.stored, ledger.queued, ledger.balanced) == (0, 1, True)


async def test_the_document_describes_every_answer(client):
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert {"importKwh", "exportKwh", "coverage", "estimatedKwh", "start", "end"} == schemas["Bucket"][
        "properties"
    ].keys()
    answer = document["paths"]["/api/v1/usage/{userId}/series"]["get"]["responses"]
    assert answer["200"]["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/SeriesAnswer"
    assert list(answer["422"]["content"]) == ["application/problem+json"]

    def references(part) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for inner in part.values():
                yield from references(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from references(inner)

    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
