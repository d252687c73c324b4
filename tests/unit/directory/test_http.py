from collections.abc import Callable

import httpx
import pytest

from energy_tracker.clients.http import RemoteProblem, Retry, ServiceCalls, ServiceUnavailable
from energy_tracker.contracts.user import UserAnswer
from energy_tracker.kit.clock import SystemClock

Answer = httpx.Response | type[httpx.TransportError]


class RecordingClock(SystemClock):
    """Does not wait, and remembers how long it was asked to."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


def calls(*answers: Answer) -> tuple[ServiceCalls, RecordingClock, list[Answer]]:
    left = list(answers)

    def handle(request: httpx.Request) -> httpx.Response:
        answer = left.pop(0)
        if isinstance(answer, httpx.Response):
            return answer
        raise answer("no", request=request)

    clock = RecordingClock()
    http = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    url = "http://user-service:8080/api/v1/user/"
    return ServiceCalls(service="user-service", url=url, http=http, clock=clock, retry=retry()), clock, left


def retry(jitter: Callable[[], float] = lambda: 1.0) -> Retry:
    return Retry(attempts=3, base_s=0.2, jitter=jitter)


OK = httpx.Response(200, json={})


@pytest.mark.parametrize("failure", [httpx.ConnectError, httpx.ReadTimeout, httpx.Response(503), httpx.Response(502)])
async def test_a_call_that_may_be_repeated_is(failure: Answer) -> None:
    service, clock, left = calls(failure, failure, OK)
    assert (await service.call("GET", "/1")).status_code == 200
    assert clock.pauses == [0.2, 0.4]
    assert not left


async def test_a_post_is_repeated_only_where_it_never_arrived() -> None:
    service, _, _ = calls(httpx.ConnectError, OK)
    assert (await service.call("POST", "/create")).status_code == 200
    for failure, raised in ((httpx.ReadTimeout, ServiceUnavailable), (httpx.Response(503), RemoteProblem)):
        service, _, left = calls(failure, OK)
        with pytest.raises(raised):
            await service.call("POST", "/create")
        assert left == [OK]


async def test_the_pause_a_service_asks_for_is_kept_within_reason() -> None:
    service, clock, _ = calls(
        httpx.Response(503, headers={"Retry-After": "2"}), httpx.Response(503, headers={"Retry-After": "3600"}), OK
    )
    await service.call("GET")
    assert clock.pauses == [2, 5]


async def test_a_service_that_stays_away_is_unavailable() -> None:
    service, _, _ = calls(*[httpx.ConnectError] * 3)
    with pytest.raises(ServiceUnavailable, match="user-service does not answer") as caught:
        await service.call("GET")
    assert caught.value.status == 503


async def test_a_problem_is_handed_on_as_it_is() -> None:
    problem = {
        "type": "urn:energy-tracker:problem:user-not-found",
        "title": "The user does not exist",
        "status": 404,
        "detail": "There is no user with this id.",
        "errors": [{"pointer": "/id", "detail": "is not known"}],
    }
    service, _, _ = calls(httpx.Response(404, json=problem))
    with pytest.raises(RemoteProblem) as caught:
        await service.call("GET", "/1")
    assert caught.value.body() == problem


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"detail": 1}'])
async def test_an_error_without_a_problem_is_still_one(content: bytes) -> None:
    service, _, _ = calls(httpx.Response(418, content=content))
    with pytest.raises(RemoteProblem) as caught:
        await service.call("GET")
    assert caught.value.status == 418


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"id": "1"}', b"null"])
async def test_an_answer_that_cannot_be_read_is_no_answer(content: bytes) -> None:
    service, _, _ = calls(httpx.Response(200, content=content))
    with pytest.raises(ServiceUnavailable, match="cannot be read"):
        service.model(UserAnswer, await service.call("GET"))


def test_fields_that_a_newer_service_adds_are_ignored() -> None:
    service, _, _ = calls()
    answer = {
        "id": 1,
        "name": "Anna",
        "surname": "",
        "email": "a@b.example",
        "address": "",
        "alerting": False,
        "energyAlertingThreshold": None,
        "timeZone": "UTC",
        "later": 1,
    }
    assert service.model(UserAnswer, httpx.Response(200, json=answer)).name == "Anna"
