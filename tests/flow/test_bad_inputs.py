"""What nobody should send, sent to the whole system: an answer that says what is wrong, and nothing stored in part."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tests.support.clock import VirtualClock
from tests.support.system import WholeSystem, system_on

pytestmark = pytest.mark.asyncio(loop_scope="module")

READING = "/api/v1/ingestion"
BATCH = f"{READING}/batch"
USER = "/api/v1/user"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WholeSystem]:
    folder: Path = tmp_path_factory.mktemp("home")
    async with system_on(folder, VirtualClock()) as system:
        user = await system.add_user(timeZone="UTC")
        await system.add_device(user)
        yield system


def assert_problem(answer: httpx.Response, status: int, pointer: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert {"type", "title", "status", "detail"} <= document.keys()
    assert document["status"] == status
    assert "Traceback" not in answer.text
    if pointer is not None:
        assert pointer in [error["pointer"] for error in document["errors"]], document
        assert all(error["detail"] for error in document["errors"])


def reading(**fields: Any) -> dict[str, Any]:
    return {"deviceId": 1, "energyConsumed": 0.1, "timestamp": "2026-03-01T10:00:00Z"} | fields


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-02-28T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "2026-02-28T10:00:00+24:00",
        "9999-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "5138-01-01T00:00:00Z",
        "2026-02-30T10:00:00Z",
        "0000-01-01T00:00:00Z",
        "-2026-02-28T10:00:00Z",
        "2026-02-28T10:00:00",
        "2026-02-28",
        "2026-W09-6T10:00:00Z",
        "20260228T100000Z",
        "2026-02-28T10:00:00+05:30:15",
        "2026-02-28T10:00:00Z[UTC]",
        "\uff12\uff10\uff12\uff16-02-28T10:00:00Z",
        "2026-02-28T10:00:00Z ",
        "",
        1_732_374_651,
        1_732_374_651_123,
        1.5,
        None,
        [],
    ],
)
async def test_no_instant_is_a_guess(system: WholeSystem, timestamp: object) -> None:
    answer = await system.call("POST", "ingestion", READING, reading(timestamp=timestamp))
    assert_problem(answer, 422, "/timestamp")


async def test_one_instant_has_many_spellings(system: WholeSystem) -> None:
    spellings = ["09:00:00Z", "09:00:00z", "09:00:00-00:00", "09:00:00.000000+00:00", "14:30:00+05:30", "14:30:00+0530"]
    statuses = []
    for spelling in spellings:
        sent = reading(timestamp=f"2026-02-28{'t' if 'z' in spelling else 'T'}{spelling}")
        answer = await system.call("POST", "ingestion", READING, sent)
        assert answer.status_code == 201, answer.text
        statuses.append(answer.json()["status"])
    assert statuses == ["accepted"] + ["duplicate"] * 5


@pytest.mark.parametrize("kwh", [-1, -1e-9, 1e9, 1e308, True, "12", [1], {}, 12_345_678_901_234_567_890])
async def test_no_amount_is_a_guess(system: WholeSystem, kwh: object) -> None:
    answer = await system.call("POST", "ingestion", READING, reading(energyConsumed=kwh))
    assert_problem(answer, 422, "/energyConsumed")


@pytest.mark.parametrize("kwh", [0, -0.0, 1e-320, 1e-12])
async def test_next_to_nothing_is_an_amount(system: WholeSystem, kwh: float) -> None:
    answer = await system.call(
        "POST", "ingestion", READING, reading(energyConsumed=kwh, timestamp="2026-02-27T00:00:00Z")
    )
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("user", USER),
        ("device", "/api/v1/device"),
        ("ingestion", READING),
        ("ingestion", BATCH),
        ("ingestion", f"{READING}/shelly/1"),
    ],
)
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 422),
        (b"{", {}, 400),
        (b'{"a":1,"a":2}', {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"1" * 5_000, {}, 400),
        (b"\xef\xbb\xbf{}", {}, 400),
        ("{}".encode("utf-16"), {}, 400),
        (b'{"\xff":1}', {}, 400),
        (b"{} trailing", {}, 400),
        (b'{"a":NaN}', {}, 422),
        (b'{"a":1e400}', {}, 422),
        (b"null", {}, 422),
        (b'"text"', {}, 422),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"content-encoding": "br"}, 415),
        (b" " * 8_100_000, {}, 413),
    ],
    ids=lambda each: repr(each)[:30],
)
async def test_what_cannot_be_read_is_told_apart_from_what_is_wrong(
    system: WholeSystem, service: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    sent = {"content-type": "application/json"} | headers
    assert_problem(await system.call("POST", service, path, content=body, headers=sent), status)


async def test_a_bad_item_spoils_no_good_one(system: WholeSystem) -> None:
    good = [json.dumps(reading(timestamp=f"2026-02-26T10:{n:02d}:00Z")) for n in range(60)]
    bad = [
        '{"deviceId":1,"energyConsumed":NaN,"timestamp":"2026-02-26T10:00:00Z"}',
        "null",
        "[1]",
        "-Infinity",
        "1e400",
    ]
    for body in (f"[{','.join(good[:30] + bad)}]", f'{{"readings":[{",".join(good[30:] + bad)}]}}'):
        answer = await system.call("POST", "ingestion", BATCH, content=body.encode())
        assert answer.status_code == 202, answer.text
        counts = {name: answer.json()[name] for name in ("received", "accepted", "duplicate", "rejected")}
        assert counts == {"received": 35, "accepted": 30, "duplicate": 0, "rejected": 5}
        assert [item["index"] for item in answer.json()["items"]] == list(range(30, 35))
    lines = "\n".join([good[0], "{", "[" * 100_000, '{"deviceId":1,"deviceId":2}', "\ufeff" + good[1], good[2]])
    answer = await system.call(
        "POST", "ingestion", BATCH, content=lines.encode(), headers={"content-type": "application/x-ndjson"}
    )
    assert (answer.json()["duplicate"], answer.json()["rejected"]) == (2, 4)


@pytest.mark.parametrize(
    "text", ["abc", "٣", "+1", "1.0", "1_0", "%201", "-1", "0", "9223372036854775808", "9" * 400, "%00"]
)
async def test_what_is_no_id_names_nothing(system: WholeSystem, text: str) -> None:
    for service, path in (
        ("user", f"{USER}/{text}"),
        ("device", f"/api/v1/device/{text}"),
        ("usage", f"/api/v1/usage/{text}"),
        ("usage", f"/api/v1/usage/{text}/series"),
        ("insight", f"/api/v1/insight/overview/{text}"),
        ("alert", f"/api/v1/alert/{text}x"),
    ):
        assert_problem(await system.call("GET", service, path), 404)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"email": "a b@example.org"}, "/email"),
        ({"email": "a@example.org,b@example.org"}, "/email"),
        ({"email": "a@example.org\r\nBcc: b@example.org"}, "/email"),
        ({"email": "a@"}, "/email"),
        ({"name": "a\x00b"}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "a\x1b[31mb"}, "/name"),
        ({"name": "a\u202eb"}, "/name"),
        ({"name": "  "}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"timeZone": "localtime"}, "/timeZone"),
        ({"timeZone": "../../etc/passwd"}, "/timeZone"),
        ({"timeZone": "right/UTC"}, "/timeZone"),
        ({"energyAlertingThreshold": "1"}, "/energyAlertingThreshold"),
        ({"energyAlertingThreshold": -1}, "/energyAlertingThreshold"),
        ({"energy_alerting_threshold": 1}, "/energy_alerting_threshold"),
        ({"time_zone": "UTC"}, "/time_zone"),
        ({"is_admin": True}, "/is_admin"),
        ({"alerting": "yes"}, "/alerting"),
        ({"id": "1"}, "/id"),
    ],
)
async def test_a_user_is_what_the_contract_says(system: WholeSystem, fields: dict[str, Any], pointer: str) -> None:
    answer = await system.call("POST", "user", USER, {"name": "A", "email": "new@example.org"} | fields)
    assert_problem(answer, 422, pointer)
    assert len((await system.get("user", USER))["items"]) == 1
    detail = answer.json()["errors"][0]["detail"]
    assert "items after validation" not in detail
    assert "Value error" not in detail


@pytest.mark.parametrize(
    "text",
    ["' OR 1=1--", '") |> yield()', "<img src=x onerror=alert(1)>", "%s%n{0}", "🏠" * 100, "مطبخ", "=cmd|x", "NULL"],
)
async def test_a_name_is_a_name(system: WholeSystem, text: str) -> None:
    device = {"name": text, "type": "MISC", "userId": 1}
    made = await system.call("POST", "device", "/api/v1/device", device)
    assert (made.status_code, made.json()["name"]) == (201, text)
    found = await system.get("device", "/api/v1/device", q=text)
    assert [each["name"] for each in found["items"]] == [text]
    assert (await system.call("DELETE", "device", f"/api/v1/device/{made.json()['id']}")).status_code == 204


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/1?days=0", "?days"),
        ("/1?days=-1", "?days"),
        ("/1?days=1000000000", "?days"),
        ("/1?days=1.5", "?days"),
        ("/1?days=%D9%A3", "?days"),
        ("/1/series?resolution=second", "?resolution"),
        ("/1/series?from=1900-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", "?from"),
        ("/1/series?from=2000-01-01T00:00:00Z&to=2099-01-01T00:00:00Z&resolution=hour", None),
        ("/1/series?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "?to"),
        ("/1/series?from=2026-01-01", "?from"),
        ("/1/readings?limit=0", "?limit"),
        ("/1/readings?limit=99999999", "?limit"),
        ("/1/readings?cursor=%00", "?cursor"),
        ("/1/explain?deviceId=1", "?from"),
    ],
)
async def test_no_question_is_unbounded(system: WholeSystem, path: str, pointer: str | None) -> None:
    assert_problem(await system.call("GET", "usage", f"/api/v1/usage{path}"), 422, pointer)


async def test_a_list_in_a_query_is_named_by_its_parameter(system: WholeSystem) -> None:
    assert_problem(await system.call("GET", "alert", "/api/v1/alert/user/1?state=nonsense"), 422, "?state")


async def test_after_all_this_the_ledger_is_balanced(system: WholeSystem) -> None:
    await system.caught_up()
    ledger = await system.get("usage", "/api/v1/ledger")
    assert ledger["balanced"]
    assert ledger["deadLettered"] == 0  # how much was accepted depends on which of these tests this process runs
