"""The edge that all services share: strict bodies, problems, limits, entity tags, the actuator."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Response

from energy_tracker.kit.health import Health, PartHealth
from energy_tracker.kit.problems import FieldError, InvalidRequest, PreconditionFailed, Problem
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import (
    PROBLEM_JSON,
    BodyLimits,
    create_app,
    entity_tag,
    expected_version,
    parse_id,
)
from energy_tracker.kit.wire import PrintableText, WireModel

LIMIT = 1_000


class LampNotFound(Problem):
    status = 404
    title = "There is no such lamp"


class Lamp(WireModel):
    name: PrintableText
    power_w: float
    on: bool = False


async def echo(lamp: Lamp) -> Lamp:
    return lamp


async def missing() -> None:
    raise LampNotFound("There is no lamp 7.", errors=[FieldError("/id", "unknown")], headers={"Retry-After": "5"})


async def broken() -> None:
    raise RuntimeError("the secret inside")


async def conditional(versions: Annotated[frozenset[int] | None, Depends(expected_version)]) -> list[int] | None:
    return None if versions is None else sorted(versions)


async def raw() -> Response:
    return Response("plain")


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def app(health: Health) -> FastAPI:
    telemetry = Telemetry("lamp")
    telemetry.counter("lamps", "Lamps seen.").inc()
    app = create_app("lamp", description="Lamps.", health=health, telemetry=telemetry, body_limit=LIMIT)
    app.add_api_route("/lamp", echo, methods=["POST"])
    app.add_api_route("/missing", missing)
    app.add_api_route("/broken", broken)
    app.add_api_route("/conditional", conditional, methods=["PUT"])
    app.add_api_route("/raw", raw)
    app.add_api_route("/gone", raw, methods=["DELETE"], operation_id="gone")
    shared = APIRouter()
    shared.add_api_route("/shared", raw, operation_id="read")
    shared.add_api_route("/shared", raw, methods=["PUT"], operation_id="replace")
    app.include_router(shared)
    app.add_api_route("/shared", raw, methods=["DELETE"], operation_id="delete")
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://lamp") as client:
        yield client


def assert_problem(answer: httpx.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    document: dict[str, object] = answer.json()
    assert document["status"] == status
    assert {"type", "title", "detail"} <= document.keys()
    return document


async def test_a_good_body_passes_under_camel_case_names(client: httpx.AsyncClient) -> None:
    answer = await client.post("/lamp", json={"name": "Flur 💡", "powerW": 5})
    assert answer.status_code == 200
    assert answer.json() == {"name": "Flur 💡", "powerW": 5.0, "on": False}


async def test_head_is_answered_as_get_is(client: httpx.AsyncClient) -> None:
    answer = await client.head("/actuator/info")
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(len((await client.get("/actuator/info")).content))


async def test_a_method_that_a_path_does_not_have_is_405_and_allow_lists_all_it_has(client: httpx.AsyncClient) -> None:
    for method, path, allow in (
        ("DELETE", "/lamp", "POST"),
        ("HEAD", "/lamp", "POST"),
        ("PATCH", "/shared", "DELETE, GET, HEAD, PUT"),
        ("OPTIONS", "/shared", "DELETE, GET, HEAD, PUT"),
        ("POST", "/actuator/health", "GET, HEAD"),
    ):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allow), (method, path)
        assert answer.headers["content-type"] == PROBLEM_JSON


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://lamp:8000"}, 200),
    ],
)
async def test_a_page_of_another_site_changes_nothing(
    client: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    answer = await client.post("/lamp", content=b'{"name":"a","powerW":1}', headers=headers)
    assert answer.status_code == status
    assert (await client.get("/actuator/info", headers=headers)).status_code == 200
    if status == 403:
        assert_problem(answer, 403)


async def test_several_content_encodings_are_one_list(client: httpx.AsyncClient) -> None:
    several = [("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    assert_problem(await client.post("/lamp", content=b"x", headers=several), 415)


async def test_a_body_without_a_content_type_is_read_as_json(client: httpx.AsyncClient) -> None:
    answer = await client.post("/lamp", content=b'{"name":"a","powerW":1}')
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        (b"", 422, ""),
        (b"{}", 422, "/name"),
        (b'{"name":"a"}', 422, "/powerW"),
        (b'{"name":"a","powerW":"12"}', 422, "/powerW"),
        (b'{"name":"a","powerW":true}', 422, "/powerW"),
        (b'{"name":"a","powerW":1,"on":1}', 422, "/on"),
        (b'{"name":"a","powerW":1,"is_admin":true}', 422, "/is_admin"),
        (b'{"name":"a","power_w":1}', 422, "/powerW"),
        (b'{"name":"a","powerW":1,"power_w":1}', 422, "/power_w"),
        (b'{"name":"a\\r\\nBcc: b","powerW":1}', 422, "/name"),
        (b'{"name":"a\\u202eb","powerW":1}', 422, "/name"),
        (b'{"name":"a\\u0000","powerW":1}', 422, "/name"),
        (b'{"name":"\\ud800","powerW":1}', 422, "/name"),
        (b'{"name":"a","powerW":NaN}', 422, None),
        (b'{"name":"a","powerW":1e400}', 422, None),
        (b'{"name":"a","powerW":1', 400, None),
        (b'{"name":"a","name":"b","powerW":1}', 400, None),
        (b"[" * 900, 400, None),
    ],
    ids=lambda part: repr(part)[:40],
)
async def test_a_bad_body_is_refused_by_name(
    client: httpx.AsyncClient, body: bytes, status: int, pointer: str | None
) -> None:
    answer = await client.post("/lamp", content=body, headers={"content-type": "application/json"})
    document = assert_problem(answer, status)
    if pointer is not None:
        errors = document["errors"]
        assert isinstance(errors, list)
        assert pointer in [error["pointer"] for error in errors]


@pytest.mark.parametrize("header", [{"content-type": "text/csv"}, {"content-encoding": "gzip"}])
async def test_another_type_or_encoding_is_415(client: httpx.AsyncClient, header: dict[str, str]) -> None:
    assert_problem(await client.post("/lamp", content=b"{}", headers=header), 415)


async def test_a_declared_body_over_the_limit_is_413(client: httpx.AsyncClient) -> None:
    assert_problem(await client.post("/lamp", content=b" " * (LIMIT + 1)), 413)


@pytest.mark.parametrize(("method", "path"), [("POST", "/lamp"), ("GET", "/raw"), ("DELETE", "/gone")])
async def test_a_body_without_end_is_413_before_it_is_read(client: httpx.AsyncClient, method: str, path: str) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b" " * 100

    assert_problem(await client.request(method, path, content=endless()), 413)
    assert sent <= 2 * LIMIT


async def test_a_body_that_stalls_is_408() -> None:
    app = create_app("lamp", description="Lamps.", health=Health(), telemetry=Telemetry("lamp"))
    app.add_api_route("/lamp", echo, methods=["POST"])
    answered: list[int] = []

    async def never() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def note(message: object) -> None:
        assert isinstance(message, dict)
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    scope = {"type": "http", "method": "POST", "path": "/lamp", "headers": [], "query_string": b"", "app": app}
    await BodyLimits(app, timeout_s=0.01)(scope, never, note)
    assert answered == [408]


async def test_a_problem_names_itself_and_keeps_its_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/missing")
    assert answer.headers["retry-after"] == "5"
    assert assert_problem(answer, 404) == {
        "type": "urn:energy-tracker:problem:lamp-not-found",
        "title": "There is no such lamp",
        "status": 404,
        "detail": "There is no lamp 7.",
        "errors": [{"pointer": "/id", "detail": "unknown"}],
    }


async def test_an_unexpected_error_tells_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken")
    assert_problem(answer, 500)
    assert "secret" not in answer.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/lamp", 405)])
async def test_what_the_framework_refuses_is_a_problem_too(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert_problem(await client.request(method, path), status)


@pytest.mark.parametrize(
    ("if_match", "versions"),
    [(None, None), ("*", None), ('"3"', [3]), ('W/"3"', [3]), ('"3", "12"', [3, 12]), ('"3", "other"', [3])],
)
async def test_if_match_is_read(client: httpx.AsyncClient, if_match: str | None, versions: list[int] | None) -> None:
    headers = {} if if_match is None else {"if-match": if_match}
    answer = await client.put("/conditional", headers=headers)
    assert answer.json() == versions


@pytest.mark.parametrize("if_match", ["3", '"abc"', "", '"99999999999999999999"'])
async def test_if_match_that_names_no_version_fails(client: httpx.AsyncClient, if_match: str) -> None:
    assert_problem(await client.put("/conditional", headers={"if-match": if_match}), 412)


def test_an_entity_tag_reads_back() -> None:
    assert expected_version(entity_tag(12)) == {12}
    with pytest.raises(PreconditionFailed):
        expected_version("nonsense")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("0", 0), (str(2**63 - 1), 2**63 - 1), (str(2**63), None), ("-1", None), ("x", None), ("1" * 20, None)],
)
def test_an_identifier_is_an_int64(text: str, number: int | None) -> None:
    assert parse_id(text) == number


async def test_health_is_up_until_a_part_is_down(client: httpx.AsyncClient, health: Health) -> None:
    async def well() -> PartHealth:
        return PartHealth("UP", {"rows": 3})

    async def ill() -> PartHealth:
        raise OSError("disk on fire")

    health.checks["store"] = well
    answer = await client.get("/actuator/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "UP")
    assert answer.json()["components"]["store"] == {"status": "UP", "details": {"rows": 3}}

    health.checks["disk"] = ill
    answer = await client.get("/actuator/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "DOWN")
    assert (await client.get("/actuator/health/readiness")).status_code == 503
    assert (await client.get("/actuator/health/liveness")).status_code == 200


async def test_the_actuator_tells_name_version_and_metrics(client: httpx.AsyncClient) -> None:
    assert (await client.get("/actuator/info")).json()["app"]["name"] == "lamp-service"
    metrics = await client.get("/actuator/prometheus")
    assert "energy_tracker_lamps_total 1.0" in metrics.text


async def test_the_service_describes_itself(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert "/lamp" in document["paths"]
    assert (await client.get("/docs")).status_code == 200


async def test_an_invalid_request_can_be_raised_by_hand() -> None:
    problem = InvalidRequest("No.", errors=[FieldError("?days", "must be 1 or more")])
    assert problem.body()["errors"] == [{"pointer": "?days", "detail": "must be 1 or more"}]
