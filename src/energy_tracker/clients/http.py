"""What the typed clients share: time-outs, retries where they are safe, and problems read back from the wire."""

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
import msgspec
import pydantic

from energy_tracker.kit.clock import Clock
from energy_tracker.kit.problems import FieldError, Problem, TemporarilyUnavailable

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT = httpx.Timeout(10.0, connect=2.0)
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_PASSING = frozenset({502, 503, 504})
_LONGEST_PAUSE_S = 5.0

Model = TypeVar("Model", bound=pydantic.BaseModel)
Struct = TypeVar("Struct", bound=msgspec.Struct)


class ServiceUnavailable(TemporarilyUnavailable):
    """Another service does not answer, or answers what cannot be read."""

    title = "Another service does not answer"


class RemoteProblem(Problem):
    """Another service refused: its own problem, as it is."""

    def __init__(self, status: int, document: "ProblemDocument", headers: Mapping[str, str]) -> None:
        kept = {name: headers[name] for name in ("retry-after",) if name in headers}
        errors = [FieldError(error.pointer, error.detail) for error in document.errors]
        super().__init__(document.detail, errors=errors, headers=kept)
        self.status = status  # type: ignore[misc]  # of this class alone, status and title belong to the case
        self.title = document.title  # type: ignore[misc]  # as above
        self._type_uri = document.type

    @property
    def type_uri(self) -> str:
        """The other service's `type`."""
        return self._type_uri


class ProblemField(msgspec.Struct):
    """One of its `errors`."""

    pointer: str = ""
    detail: str = ""


class ProblemDocument(msgspec.Struct):
    """The members of an `application/problem+json` (RFC 9457)."""

    type: str = "about:blank"
    title: str = "The request failed"
    detail: str = ""
    errors: list[ProblemField] = []


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call is tried, and how long it waits in between: `base_s`, doubled each time, times `jitter()`."""

    attempts: int = 3
    base_s: float = 0.2
    jitter: Callable[[], float] = random.random

    def pause_s(self, attempt: int, retry_after: str | None) -> float:
        """Return the seconds to wait after an attempt (the first is 0), longer where the service asked for it."""
        asked = float(retry_after) if retry_after is not None and retry_after.isdigit() else 0.0
        return min(_LONGEST_PAUSE_S, max(asked, self.base_s * float(2**attempt) * self.jitter()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCalls:
    """Calls to one service. `url` includes the path, such as `http://127.0.0.1:8081/api/v1/device`."""

    service: str
    url: str
    http: httpx.AsyncClient
    clock: Clock
    retry: Retry = field(default_factory=Retry)

    async def call(  # noqa: PLR0913 - the parts of a request, each with a default
        self,
        method: str,
        path: str = "",
        *,
        query: Mapping[str, str | int] | None = None,
        body: pydantic.BaseModel | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int | None = None,
        repeatable: bool = False,
        timeout_s: float | None = None,
    ) -> httpx.Response:
        """Return a successful answer. `content` is a body as it is, whose type `headers` name.

        `timeout_s` is for what takes long by its nature.

        A call that never reached the service is tried again; one that may have, only where its method is idempotent or
        it is `repeatable`.
        Raises `RemoteProblem` where the service refuses, `ServiceUnavailable` where it does not answer.
        """
        request = self.http.build_request(
            method,
            f"{self.url.rstrip('/')}{path}",
            params=query,
            content=content if body is None else body.model_dump_json(by_alias=True, exclude_unset=True),
            headers={**(headers or {}), **({} if body is None else {"Content-Type": "application/json"})},
            timeout=DEFAULT_TIMEOUT if timeout_s is None else httpx.Timeout(timeout_s, connect=2.0),
        )
        last = (attempts or self.retry.attempts) - 1
        repeatable = repeatable or method in _IDEMPOTENT
        for attempt in range(last + 1):
            retry_after = None
            try:
                response = await self.http.send(request)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                if attempt == last:
                    raise self._unavailable(error) from error
            except httpx.TransportError as error:
                if attempt == last or not repeatable:
                    raise self._unavailable(error) from error
            else:
                if response.status_code not in _PASSING or not repeatable or attempt == last:
                    return _successful(response)
                retry_after = response.headers.get("retry-after")
            await self.clock.sleep(self.retry.pause_s(attempt, retry_after))
        raise ServiceUnavailable(f"{self.service} was not asked.")

    def _unavailable(self, error: Exception) -> ServiceUnavailable:
        return ServiceUnavailable(f"{self.service} does not answer ({type(error).__name__}).")

    def model(self, kind: type[Model], response: httpx.Response) -> Model:
        """Read a body that a contract in pydantic describes. Raises `ServiceUnavailable`."""
        try:
            return kind.model_validate_json(response.content)
        except pydantic.ValidationError as error:
            message = f"{self.service} answered something that cannot be read."
            raise ServiceUnavailable(message) from error

    def struct(self, kind: type[Struct], response: httpx.Response) -> Struct:
        """Read a body that a contract in msgspec describes. Raises `ServiceUnavailable`."""
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.MsgspecError as error:
            message = f"{self.service} answered something that cannot be read."
            raise ServiceUnavailable(message) from error


def _successful(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        document = msgspec.json.decode(response.content, type=ProblemDocument)
    except msgspec.MsgspecError:
        document = ProblemDocument(title=response.reason_phrase, detail=f"The answer was {response.status_code}.")
    raise RemoteProblem(response.status_code, document, response.headers)
