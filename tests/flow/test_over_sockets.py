"""The served system over real sockets: what a library would never send, and clients that take their time."""

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from energy_tracker.kit import web
from energy_tracker.kit.clock import SystemClock
from energy_tracker.settings import load_settings
from energy_tracker.wiring import careful_http
from energy_tracker.wiring.http_server import names_this_machine
from energy_tracker.wiring.serving import Running, serving
from energy_tracker.wiring.standalone import SERVICES

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n\r\n"
HEALTH = b"GET /actuator/health HTTP/1.1\r\n"
POST = b"POST /api/v1/ingestion HTTP/1.1\r\n" + HOST


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    tmp_path = tmp_path_factory.mktemp("home")
    ports = {f"ENERGY_TRACKER_{service.upper()}_PORT": "0" for service in SERVICES}
    settings = load_settings({"ENERGY_TRACKER_HOME": str(tmp_path), **ports})
    async with serving(settings=settings, clock=SystemClock()) as running:
        yield running


async def exchange(running: Running, service: str, *sent: bytes, pause_s: float = 0.0) -> tuple[int, dict, bytes]:
    """Send bytes as they are; return the status, headers and body of the answer, once the server has hung up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(running.urls[service]).port)
    received = bytearray()
    try:
        async with asyncio.timeout(60):
            for part in sent:
                try:
                    writer.write(part)
                    await writer.drain()
                except ConnectionError:
                    break
                await asyncio.sleep(pause_s)
            try:
                while block := await reader.read(65_536):
                    received += block
            except ConnectionError:
                pass
    finally:
        writer.close()
    if not received:
        return 0, {}, b""
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def assert_problem(answer: tuple[int, dict, bytes], status: int) -> None:
    assert answer[0] == status, answer
    assert answer[1]["content-type"] == "application/problem+json"
    assert json.loads(answer[2])["status"] == status


async def test_every_service_answers_on_its_port_and_has_its_page(running: Running) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        for service, url in running.urls.items():
            health = await http.get(f"{url}/actuator/health")
            assert (health.status_code, health.json()["status"]) == (200, "UP"), service
            document = (await http.get(f"{url}/openapi.json")).json()
            assert service in document["info"]["title"]
            page = await http.get(f"{url}/docs")
            assert page.headers["content-type"].startswith("text/html")
            head = await http.head(f"{url}/actuator/info")
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) > 0


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + HOST + CLOSE,
        b"FOO / HTTP/1.1\r\n" + HOST + CLOSE,
        b"CONNECT a:80 HTTP/1.1\r\n" + HOST + CLOSE,
        "GET /é HTTP/1.1\r\n".encode() + HOST + CLOSE,
        b"GET /api/v1/user/ 1 HTTP/1.1\r\n" + HOST + CLOSE,
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + CLOSE,
        HEALTH + HOST + b"X y: a\r\n" + CLOSE,
        HEALTH + HOST + b"X: a\r\n b\r\n" + CLOSE,
        HEALTH + CLOSE,
        HEALTH + HOST + HOST + CLOSE,
        POST + b"Content-Length: -1\r\n" + CLOSE,
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n" + CLOSE + b"{}",
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"zz\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999999\r\n" + CLOSE,
    ],
)
async def test_what_is_no_request_is_400_as_problem_json(running: Running, sent: bytes) -> None:
    assert_problem(await exchange(running, "ingestion", sent), 400)


async def test_old_clients_that_send_no_host_are_answered(running: Running) -> None:
    assert (await exchange(running, "user", b"GET /actuator/health HTTP/1.0\r\n\r\n"))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "[", ""])
async def test_a_foreign_name_that_leads_here_is_refused(running: Running, host: str) -> None:
    assert not names_this_machine(host)
    assert_problem(await exchange(running, "user", HEALTH + f"Host: {host}\r\n".encode() + CLOSE), 421)


async def test_this_machine_has_addresses_and_one_name() -> None:
    for host in ("localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "192.168.1.7", "user.localhost"):
        assert names_this_machine(host), host


async def test_a_head_without_end_is_refused_while_it_comes(running: Running) -> None:
    endless = [HEALTH + HOST + b"X: ", *([b"a" * 65_536] * 100)]
    assert_problem(await exchange(running, "user", *endless), 431)
    many = [HEALTH + HOST, *([b"X: a\r\n" * 5_000] * 100)]
    assert_problem(await exchange(running, "user", *many), 431)


async def test_a_head_that_does_not_come_is_cut_off(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(careful_http, "HEAD_TIMEOUT_S", 0.05)
    assert_problem(await exchange(running, "user", HEALTH + b"X: a"), 408)
    assert (await exchange(running, "user"))[0] == 0
    trickle = await exchange(running, "user", HEALTH, *([b"X: a\r\n"] * 20), pause_s=0.02)
    assert trickle[0] in {0, 408}
    kept = await exchange(running, "user", HEALTH + HOST + b"\r\n", HEALTH + HOST + CLOSE, pause_s=0.2)
    assert (kept[0], kept[2].count(b"HTTP/1.1 200 OK")) == (200, 1)


async def test_a_body_that_does_not_come_is_cut_off(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    await exchange(running, "ingestion", HEALTH + HOST + CLOSE)
    limits = next(layer for layer in walk(running.system.apps["ingestion"]) if isinstance(layer, web.BodyLimits))
    monkeypatch.setattr(limits, "timeout_s", 0.05)
    head = POST + b"Content-Type: application/json\r\n"
    assert_problem(await exchange(running, "ingestion", head + b"Content-Length: 100\r\n\r\n{"), 408)
    chunks = [head + b"Transfer-Encoding: chunked\r\n\r\n", *([b"1\r\n \r\n"] * 20)]
    assert_problem(await exchange(running, "ingestion", *chunks, pause_s=0.01), 408)


def walk(app: object) -> list[object]:
    """The layers of an application, outermost first, once it has answered."""
    layer, layers = getattr(app, "middleware_stack", None), []
    while layer is not None:
        layers.append(layer)
        layer = getattr(layer, "app", None)
    return layers


async def test_a_chunked_body_without_end_is_413_while_it_comes(running: Running) -> None:
    head = b"POST /api/v1/ingestion/batch HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert_problem(await exchange(running, "ingestion", head, *([b"10000\r\n" + b" " * 65_536 + b"\r\n"] * 400)), 413)


async def test_a_path_is_no_way_to_anything_else(running: Running) -> None:
    for path in (
        b"/api/v1/user/%00",
        b"/api/v1/user/%ff%fe",
        b"/api/v1/user/%zz",
        b"/../../etc/passwd",
        b"/api/v1/user/..%2f..%2factuator",
        b"*",
        b"//evil.example/api",
    ):
        answer = await exchange(running, "user", b"GET " + path + b" HTTP/1.1\r\n" + HOST + CLOSE)
        assert_problem(answer, 404)


async def read_ledger(running: Running) -> dict:
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"{running.urls['usage']}/api/v1/ledger")).json()


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing_behind(running: Running) -> None:
    reading = b'{"deviceId":1,"energyConsumed":1,"timestamp":"2026-01-01T00:00:00Z"}'
    head = POST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(reading)
    before = await read_ledger(running)
    _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(running.urls["ingestion"]).port)
    writer.write(head + reading[:-5])
    await writer.drain()
    writer.transport.abort()
    ledger = await read_ledger(running)
    assert (ledger["accepted"], ledger["balanced"]) == (before["accepted"], True)
