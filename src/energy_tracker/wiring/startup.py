"""A service that starts: its port is open, its health says what it waits for, and it tries until it succeeds.

So the order in which services, databases and brokers start does not matter, and none of them ends another.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.health import Health, PartHealth
from energy_tracker.kit.problems import Problem, TemporarilyUnavailable
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import create_app, problem_response

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
_DOUBLINGS: Final = 5
_SHOWN: Final = 300
_NO_ANSWER: Final = "it has not answered yet"
_ANSWERED: Final = frozenset(
    f"/actuator/{path}" for path in ("health", "health/liveness", "health/readiness", "info", "prometheus")
)

Begin = Callable[["Startup"], AbstractAsyncContextManager[ASGIApp]]


class StillStarting(TemporarilyUnavailable):
    """The service has not started yet."""

    title = "The service is starting"


class Startup:
    """The ASGI application of a service from the first moment on: its own once that has started, 503 until then.

    `begin` gives the service's application, and names the part that it waits for (`with startup.part("database")`).
    """

    def __init__(
        self, service: str, begin: Begin, *, clock: Clock, jitter: Callable[[], float] = random.random
    ) -> None:
        self._service = service
        self._begin = begin
        self._clock = clock
        self._jitter = jitter
        self._started: ASGIApp | None = None
        self._part = "service"
        self._reason = _NO_ANSWER
        self._health = Health({self._part: self._waiting})
        self._before: ASGIApp | None = create_app(
            service, description="The service is starting.", health=self._health, telemetry=Telemetry(service)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on to the service, or answer for it that it is starting."""
        if self._started is not None:
            await self._started(scope, receive, send)
        elif self._before is not None and scope["path"] in _ANSWERED:
            await self._before(scope, receive, send)
        else:
            detail = f"{self._service}-service waits for its {self._part}; /actuator/health says why."
            await problem_response(StillStarting(detail))(scope, receive, send)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Say that what is done in the block needs a part, such as the database."""
        if name != self._part:
            self._part, self._reason = name, _NO_ANSWER
            self._health.checks = {name: self._waiting}
        yield

    async def run(self) -> None:
        """Start the service, again and again if it must be, and run it until cancelled.

        What is no matter of waiting, such as a setting that cannot be used, is raised.
        """
        attempt = 0
        while True:
            try:
                async with self._begin(self) as app:
                    self._started, self._before = app, None
                    log.info("%s-service is ready", self._service)
                    await asyncio.Event().wait()
            except (Problem, OSError) as error:
                if self._started is not None:
                    raise
                self._take_note(error)
            pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempt, _DOUBLINGS))
            await self._clock.sleep(pause_s * (0.5 + self._jitter() / 2))
            attempt += 1

    def _take_note(self, error: Exception) -> None:
        reason = _sentence(error)
        if reason != self._reason:
            log.warning("%s-service waits for its %s: %s", self._service, self._part, reason)
        self._reason = reason

    async def _waiting(self) -> PartHealth:
        return PartHealth("DOWN", {"error": self._reason[:_SHOWN]})


def _sentence(error: Exception) -> str:
    """Return what is wrong, with what the driver said of it where the problem does not say that itself."""
    sentence = error.detail if isinstance(error, Problem) else str(error)
    driver = getattr(error.__cause__, "orig", None)
    said = str(driver.args[-1]) if driver is not None and driver.args else ""
    return f"{sentence} ({said})" if said not in sentence else sentence or type(error).__name__
