"""What the HTTP edges of all services share: problem+json, strict bodies, body limits, entity tags, `/actuator`."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from energy_tracker import __version__
from energy_tracker.kit import calls_page, strict_json
from energy_tracker.kit.gate import PROBLEM_JSON, Gate, allowed_methods
from energy_tracker.kit.health import Health
from energy_tracker.kit.principal import LOCAL, Principal
from energy_tracker.kit.problems import (
    BodyTooLarge,
    FieldError,
    InvalidRequest,
    MalformedRequest,
    PreconditionFailed,
    Problem,
    UnsupportedMediaType,
)
from energy_tracker.kit.telemetry import CONTENT_TYPE, Telemetry
from energy_tracker.kit.wire import MAX_ID
from energy_tracker.kit.wire import PrintableText as PrintableText  # noqa: PLC0414 - re-exported beside the rest
from energy_tracker.kit.wire import WireModel as WireModel  # noqa: PLC0414 - re-exported beside the rest

log = logging.getLogger(__name__)

DEFAULT_BODY_LIMIT = 1_000_000
BODY_TIMEOUT_S = 30.0
SLOWEST_BODY_BYTES_S = 10_000
_ENTITY_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def problem_response(problem: Problem) -> JSONResponse:
    """Return the problem as its HTTP answer."""
    return JSONResponse(problem.body(), problem.status, headers=problem.headers, media_type=PROBLEM_JSON)


class StrictRoute(APIRoute):
    """Reads JSON bodies strictly before FastAPI validates them."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # the declared Coroutine is an Awaitable
        """Return a handler that leaves the strictly read body where `Request.json` finds it."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            body = await request.body()
            if self.body_field is not None:
                media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
                if media_type != "application/json" and not media_type.endswith("+json"):
                    message = f"Send application/json, not {media_type[:80]!r}."
                    raise UnsupportedMediaType(message)
                if any(name.lower() != "identity" for name in request.headers.getlist("content-encoding")):
                    message = "Send the body without a content encoding."
                    raise UnsupportedMediaType(message)
                if body:
                    request._json = strict_json.loads(body)  # noqa: SLF001 - the cache that Request.json reads
                    if "content-type" not in request.headers:
                        request.scope["headers"].append((b"content-type", b"application/json"))
            return await handler(request)

        return strict


def current_principal() -> Principal:
    """Return who asks (a FastAPI dependency); accounts will read it from the request."""
    return LOCAL


def entity_tag(version: int) -> str:
    """Return a version as a strong entity tag (RFC 9110, section 8.8.3)."""
    return f'"{version}"'


def expected_version(if_match: Annotated[str | None, Header()] = None) -> frozenset[int] | None:
    """Read `If-Match` (a FastAPI dependency): the versions it accepts, or None where any will do."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = _ENTITY_TAG.findall(if_match)
    versions = frozenset(int(tag) for tag in tags if tag.isascii() and tag.isdigit() and len(tag) < 20)  # noqa: PLR2004 - digits of an int64
    if not versions:
        message = "If-Match does not name a version of this resource; read it again."
        raise PreconditionFailed(message)
    return versions


def parse_id(text: str) -> int | None:
    """Return a path's identifier as an int64, or None where it cannot be one (the caller answers 404)."""
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        return None
    number = int(text)
    return number if number <= MAX_ID else None


class BodyLimits:
    """ASGI middleware: stops reading a body that is too large (413) or comes too slowly (408).

    A body has `timeout_s`, and a second more for each `SLOWEST_BODY_BYTES_S` that have come: trickling keeps nothing.
    """

    def __init__(self, app: ASGIApp, *, limit: int = DEFAULT_BODY_LIMIT, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self.app = app
        self.limit = limit
        self.timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received = 0
        complete = False
        started_s = asyncio.get_running_loop().time()

        async def limited() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()
            try:
                async with asyncio.timeout_at(started_s + self.timeout_s + received / SLOWEST_BODY_BYTES_S):
                    message = await receive()
            except TimeoutError:
                raise RequestTooSlow("The body did not arrive in time.", headers={"Connection": "close"}) from None
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if received > self.limit:
                    detail = f"The body is larger than {self.limit} bytes."
                    raise BodyTooLarge(detail, headers={"Connection": "close"})
            return message

        try:
            declared = int(dict(scope["headers"]).get(b"content-length", b"0"))
        except ValueError:
            declared = 0
        if declared > self.limit:
            detail = f"The body is larger than {self.limit} bytes."
            await problem_response(BodyTooLarge(detail, headers={"Connection": "close"}))(scope, receive, send)
            return
        await self.app(scope, limited, send)


class RequestTooSlow(Problem):
    """The body did not arrive within the time-out."""

    status = 408
    title = "The request took too long to arrive"


def _pointer(location: tuple[int | str, ...]) -> str:
    place, *path = location or ("body",)
    if place == "body":
        return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)
    return f"?{path[0]}" if place == "query" and path else ".".join(str(step) for step in location)


def _sentence(item: Mapping[str, Any]) -> str:
    """Return what is wrong with a field in words of the wire, not of the code that checks it."""
    limits = item.get("ctx", {})
    if isinstance(item.get("input"), str) and item["type"] in {"too_short", "string_too_short"}:
        least = limits["min_length"]
        return f"must have at least {least} character{'s' if least > 1 else ''}"
    if isinstance(item.get("input"), str) and item["type"] in {"too_long", "string_too_long"}:
        return f"must have at most {limits['max_length']} characters"
    return str(item["msg"]).removeprefix("Value error, ")[:300]


async def _on_validation_error(_: Request, error: RequestValidationError) -> Response:
    fields = [FieldError(_pointer(tuple(item["loc"])), _sentence(item)) for item in error.errors()[:50]]
    if any(item["type"] == "json_invalid" for item in error.errors()):
        return problem_response(MalformedRequest("The body is not JSON."))
    names = ", ".join(dict.fromkeys(field.pointer or "the body" for field in fields))
    return problem_response(InvalidRequest(f"Not acceptable: {names[:300]}.", errors=fields))


async def _on_problem(_: Request, error: Problem) -> Response:
    return problem_response(error)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = allowed_methods(request.app.routes, request.scope)
    document = {
        "type": "about:blank",
        "title": str(error.detail),
        "status": error.status_code,
        "detail": str(error.detail),
    }
    return JSONResponse(document, error.status_code, headers=headers, media_type=PROBLEM_JSON)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error on %s %s", request.method, request.url.path, exc_info=error)
    document = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something unexpected happened; the log of the service says what.",
    }
    return JSONResponse(document, 500, media_type=PROBLEM_JSON)


def _add_actuator(app: FastAPI, service: str, health: Health, telemetry: Telemetry) -> None:
    async def full_health() -> Response:
        status, parts = await health.report()
        components = {name: {"status": part.status, "details": dict(part.details)} for name, part in parts.items()}
        return JSONResponse({"status": status, "components": components}, 200 if status == "UP" else 503)

    async def liveness() -> dict[str, str]:
        return {"status": "UP"}

    async def readiness() -> Response:
        status, _ = await health.report()
        return JSONResponse({"status": status}, 200 if status == "UP" else 503)

    async def info() -> dict[str, Any]:
        return {"app": {"name": f"{service}-service", "version": __version__}}

    async def prometheus() -> Response:
        return Response(telemetry.exposition(), media_type=CONTENT_TYPE)

    for path, endpoint, summary in (
        ("/actuator/health", full_health, "State of the service and of the parts that it needs"),
        ("/actuator/health/liveness", liveness, "Whether the process answers"),
        ("/actuator/health/readiness", readiness, "Whether the service can do its work now"),
        ("/actuator/info", info, "Name and version"),
        ("/actuator/prometheus", prometheus, "Metrics in the Prometheus text format"),
    ):
        app.add_api_route(
            path,
            endpoint,
            methods=["GET"],
            summary=summary,
            tags=["actuator"],
            response_model=None,
            response_class=PlainTextResponse if endpoint is prometheus else JSONResponse,
            responses={503: {"description": "DOWN"}} if endpoint in {full_health, readiness} else {},
        )


def create_app(
    service: str,
    *,
    description: str,
    health: Health,
    telemetry: Telemetry,
    body_limit: int = DEFAULT_BODY_LIMIT,
) -> FastAPI:
    """Return the FastAPI application of one service, without its own routes.

    `service` is the short name (`user`); the OpenAPI document is at `/openapi.json`, its page at `/docs`.
    """
    app = FastAPI(
        title=f"Energy Tracker {service}-service",
        version=__version__,
        description=description,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it looks for a provider with each request
        exception_handlers={
            Problem: _on_problem,
            RequestValidationError: _on_validation_error,
            HTTPException: _on_http_exception,
            Exception: _on_unexpected,
        },
    )
    app.router.route_class = StrictRoute
    app.add_middleware(BodyLimits, limit=body_limit)
    app.add_middleware(Gate)
    app.include_router(calls_page.router())
    _add_actuator(app, service, health, telemetry)
    return app
