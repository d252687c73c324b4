"""The typed client of usage-service: what it asks for, and what it makes of the answers."""

import json

import httpx
import pytest
from tests.support.homes import NOW, FixedClock

from energy_tracker.clients.http import RemoteProblem, Retry, ServiceCalls, ServiceUnavailable
from energy_tracker.clients.usage import UsageClient

BUCKET = {
    "start": "2026-11-01T00:00:00Z",
    "end": "2026-11-01T01:00:00Z",
    "importKwh": None,
    "exportKwh": None,
    "coverage": 0,
    "estimatedKwh": None,
}
SERIES = {
    "userId": 1,
    "timeZone": "Europe/Berlin",
    "resolution": "hour",
    "from": BUCKET["start"],
    "to": BUCKET["end"],
    "devices": [{"id": 7, "name": "Fridge", "buckets": [BUCKET]}],
    "total": [BUCKET],
    "newer": "ignored",
}
LEDGER = {
    "received": 3,
    "accepted": 2,
    "duplicate": 1,
    "rejected": 0,
    "stored": 2,
    "queued": 0,
    "deadLettered": 0,
    "balanced": True,
}
USAGE = {"id": 7, "name": "Fridge", "type": "REFRIGERATOR", "location": "", "userId": 1, "energyConsumed": None}


class Server:
    """Answers each path with what it is given; `asked` holds the addresses."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.url.path}?{request.url.query.decode()}")
        answer = self.answers.get(request.url.path.rpartition("/")[2], (404, {"title": "No", "detail": "no such user"}))
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body))

    def client(self) -> UsageClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        url = "http://usage-service:8083/api/v1/usage"
        return UsageClient(ServiceCalls(service="usage", url=url, http=http, clock=FixedClock(NOW), retry=Retry(1)))


async def test_series_keeps_null_apart_from_zero():
    server = Server(series=SERIES)
    answer = await server.client().series(1, start_ms=0, end_ms=3_600_000, device_id=7)
    assert answer.devices[0].buckets[0].import_kwh is None
    assert server.asked == [
        "/api/v1/usage/1/series?from=1970-01-01T00%3A00%3A00Z&to=1970-01-01T01%3A00%3A00Z&resolution=hour&deviceId=7"
    ]


async def test_the_other_calls_ask_under_the_contracts_paths():
    server = Server(
        **{"1": {"userId": 1, "devices": [USAGE]}},
        readings={"items": [], "next": "abc"},
        explain={"figure": 1.5, "steps": []},
        ledger=LEDGER,
    )
    client = server.client()
    assert (await client.usage(1, days=7)).devices[0].energy_consumed is None
    assert (await client.readings(1, device_id=7, start_ms=0, end_ms=1000, limit=5, cursor="x")).next == "abc"
    assert (await client.explain(1, device_id=7, start_ms=0, end_ms=1000))["figure"] == 1.5
    assert (await client.ledger()).balanced
    paths = [asked.partition("?")[0] for asked in server.asked]
    assert paths == ["/api/v1/usage/1", "/api/v1/usage/1/readings", "/api/v1/usage/1/explain", "/api/v1/ledger"]


async def test_a_refusal_is_the_other_services_own_and_nonsense_is_no_answer():
    with pytest.raises(RemoteProblem, match="no such user") as refused:
        await Server().client().usage(2)
    assert refused.value.status == 404
    for nonsense in (b"<html>", b"{}", b"[]", (503, b"")):
        with pytest.raises((ServiceUnavailable, RemoteProblem)):
            await Server(series=nonsense).client().series(1, start_ms=0, end_ms=1)
    for nonsense in (b"<html>", b"[]", b'{"a":1,"a":2}'):
        with pytest.raises(ServiceUnavailable):
            await Server(explain=nonsense).client().explain(1, device_id=7, start_ms=0, end_ms=1)
