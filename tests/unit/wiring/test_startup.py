"""A service whose parts do not answer yet: it says so, tries again, and becomes itself once they do."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp
from tests.support.clock import VirtualClock

from energy_tracker.kit.problems import TemporarilyUnavailable
from energy_tracker.wiring.startup import LONGEST_PAUSE_S, Startup


class Service:
    """Starts at the attempt that is given; counts attempts and ends."""

    def __init__(self, succeeds_at: int, error: Exception | None = None) -> None:
        self.attempts = self.ended = 0
        self._succeeds_at = succeeds_at
        self._error = error or TemporarilyUnavailable("The database does not answer.")

    @asynccontextmanager
    async def begin(self, startup: Startup) -> AsyncIterator[ASGIApp]:
        self.attempts += 1
        with startup.part("database"):
            if self.attempts < self._succeeds_at:
                raise self._error
        try:
            yield PlainTextResponse("itself")
        finally:
            self.ended += 1


@asynccontextmanager
async def starting(
    service: Service, clock: VirtualClock
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Task[None]]]:
    startup = Startup("user", service.begin, clock=clock, jitter=lambda: 1.0)
    work = asyncio.create_task(startup.run())
    transport = httpx.ASGITransport(startup)
    async with httpx.AsyncClient(transport=transport, base_url="http://user") as http:
        await clock.settle()
        try:
            yield http, work
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await work


async def test_until_it_starts_it_names_what_it_waits_for() -> None:
    async with starting(Service(succeeds_at=99), VirtualClock()) as (http, _):
        health = await http.get("/actuator/health")
        assert health.status_code == 503
        assert health.json()["components"] == {
            "database": {"status": "DOWN", "details": {"error": "The database does not answer."}}
        }
        assert (await http.get("/actuator/health/readiness")).status_code == 503
        assert (await http.get("/actuator/health/liveness")).json() == {"status": "UP"}
        for path in ("/api/v1/user/1", "/actuator/deadletters", "/"):
            answer = await http.get(path)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert "database" in answer.json()["detail"]


async def test_it_tries_again_with_pauses_that_grow_to_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    service, clock = Service(succeeds_at=99), VirtualClock()
    with caplog.at_level(logging.WARNING):
        async with starting(service, clock):
            counts = []
            for _ in range(6):
                await clock.advance(LONGEST_PAUSE_S)
                counts.append(service.attempts)
    assert counts[0] >= 5
    assert counts[5] - counts[4] == counts[4] - counts[3] == 1
    assert len(caplog.records) == 1, "the same reason is not told again and again"


async def test_once_its_parts_answer_it_is_itself_until_it_is_ended() -> None:
    service, clock = Service(succeeds_at=3), VirtualClock()
    async with starting(service, clock) as (http, _):
        await clock.advance(5)
        assert (await http.get("/actuator/health")).text == "itself"
        assert (service.attempts, service.ended) == (3, 0)
    assert service.ended == 1


async def test_what_is_no_matter_of_waiting_is_raised() -> None:
    service = Service(succeeds_at=99, error=KeyError("a mistake in the code"))
    async with starting(service, VirtualClock()) as (_, work):
        with pytest.raises(KeyError):
            await work
