"""The HTTP edge of usage-service."""

import re
from datetime import datetime
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from energy_tracker.contracts.usage import (
    Explanation,
    LedgerAnswer,
    ReadingsAnswer,
    RebuildAnswer,
    Resolution,
    SeriesAnswer,
    UsageAnswer,
)
from energy_tracker.kit.health import Health
from energy_tracker.kit.instants import to_ms
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import StrictRoute, create_app, current_principal, parse_id
from energy_tracker.services.usage.api_document import add_schemas, describe_answers
from energy_tracker.services.usage.queries import (
    LARGEST_PAGE,
    LONGEST_WINDOW_DAYS,
    DeviceNotFound,
    Page,
    QueryService,
    UserNotFound,
    check_range,
)

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+\- ]\d\d(:?\d\d)?)", re.ASCII)


class Explains(Protocol):
    """Traces a figure back to the readings and steps that made it."""

    async def explain(
        self, *, principal: Principal, user_id: int, device_id: int, from_ms: int, to_ms: int
    ) -> Explanation:
        """Return the figure of `[from_ms, to_ms)` and how it came about."""


class Rebuilds(Protocol):
    """Derives every figure again from the raw readings."""

    async def rebuild(self) -> msgspec.Struct:
        """Return a summary of what was done."""


def _whole_number(text: object) -> object:
    """Refuse what a lenient reader would take for an integer, such as `3.0` or `1_000`."""
    if isinstance(text, str) and not _WHOLE_NUMBER.fullmatch(text):
        message = "must be a whole number"
        raise ValueError(message)
    return text


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]


def _instant_ms(text: object) -> object:
    """Read an ISO-8601 instant with an offset as ms since 1970, rounded down.

    A `+` that was not written as %2B arrives as a blank; nothing else can be meant by one before an offset.
    """
    if not isinstance(text, str):
        return text
    message = "must be an ISO-8601 instant with an offset, such as 2026-03-29T00:00:00Z or 2026-03-29T02:00:00%2B02:00"
    if not _INSTANT.fullmatch(text):
        raise ValueError(message)
    try:
        return to_ms(datetime.fromisoformat(text.upper().replace(" ", "+")))
    except (ValueError, OverflowError):
        raise ValueError(message) from None


Instant = Annotated[int, BeforeValidator(_instant_ms), WithJsonSchema({"type": "string", "format": "date-time"})]
Id = Annotated[str, WithJsonSchema({"type": "integer", "format": "int64", "minimum": 0})]
"""Kept as text until `parse_id` has read it: what cannot be an id is not found, rather than not acceptable."""

UserId = Annotated[Id, Path(alias="userId", description="The user (the home): a 64-bit integer.")]
Asking = Annotated[Principal, Depends(current_principal)]

_FROM = Field(alias="from", description="Start of the range, which is part of it: ISO-8601 with an offset.")
_TO = Field(alias="to", description="End of the range, which is not part of it: ISO-8601 with an offset.")
_DEVICE_IDS = Field(alias="deviceId", description="Only this device; may be given several times.", max_length=1000)


def _within(greatest: int, description: str) -> Any:
    """Document a number from 1 to `greatest`; the use case is who checks it."""
    return Field(description=description, json_schema_extra={"minimum": 1, "maximum": greatest})


class _Parameters(BaseModel):
    """Query parameters; one that is not known is a typing error of whom it matters to, and refused."""

    model_config = ConfigDict(extra="forbid")


class _UsageParameters(_Parameters):
    days: Annotated[WholeNumber, _within(LONGEST_WINDOW_DAYS, "How many days back.")] = 3


class _SeriesParameters(_Parameters):
    from_: Annotated[Instant | None, _FROM] = None
    to: Annotated[Instant | None, _TO] = None
    resolution: Annotated[Resolution, Field(description="Buckets of the local calendar; weeks begin on Monday.")] = (
        "hour"
    )
    device_ids: Annotated[list[Id], _DEVICE_IDS] = []


class _ReadingsParameters(_Parameters):
    from_: Annotated[Instant | None, _FROM] = None
    to: Annotated[Instant | None, _TO] = None
    device_ids: Annotated[list[Id], _DEVICE_IDS] = []
    limit: Annotated[WholeNumber, _within(LARGEST_PAGE, "The size of the page.")] = 1_000
    cursor: Annotated[str | None, Field(max_length=400, description="`next` of the page before.")] = None


class _ExplainParameters(_Parameters):
    from_: Annotated[Instant, _FROM]
    to: Annotated[Instant, _TO]
    device_id: Annotated[Id, Field(alias="deviceId", description="The device whose figure is explained.")]


def create_api(
    *, queries: QueryService, explain: Explains, rebuild: Rebuilds, health: Health, telemetry: Telemetry
) -> FastAPI:
    """Return usage-service's application."""
    app = create_app("usage", description=_DESCRIPTION, health=health, telemetry=telemetry)
    app.include_router(_usage_routes(queries))
    app.include_router(_receipt_routes(queries, explain))
    app.include_router(_ledger_routes(queries, rebuild))
    add_schemas(app)
    return app


_DESCRIPTION = """How much energy a home used, when, and how that is known.

Energies are kWh. What was not measured is null, never 0. Instants are in UTC; days, weeks and months are those of the
home's time zone."""


def _usage_routes(queries: QueryService) -> APIRouter:
    router = _router("usage")

    @router.get(
        "/usage/{userId}", summary="Energy of each device in the last days", responses=describe_answers(UsageAnswer)
    )
    async def usage(user_id: UserId, asked: Annotated[_UsageParameters, Query()], principal: Asking) -> Response:
        return _json(await queries.usage(principal=principal, user_id=_user_id(user_id), days=asked.days))

    @router.get("/usage/{userId}/series", summary="Energy over time", responses=describe_answers(SeriesAnswer))
    async def series(user_id: UserId, asked: Annotated[_SeriesParameters, Query()], principal: Asking) -> Response:
        return _json(
            await queries.series(
                principal=principal,
                user_id=_user_id(user_id),
                resolution=asked.resolution,
                from_ms=asked.from_,
                to_ms=asked.to,
                device_ids=_device_ids(asked.device_ids),
            )
        )

    return router


def _receipt_routes(queries: QueryService, explain: Explains) -> APIRouter:
    router = _router("receipts")

    @router.get(
        "/usage/{userId}/readings", summary="Raw readings as stored", responses=describe_answers(ReadingsAnswer)
    )
    async def readings(user_id: UserId, asked: Annotated[_ReadingsParameters, Query()], principal: Asking) -> Response:
        return _json(
            await queries.readings(
                principal=principal,
                user_id=_user_id(user_id),
                from_ms=asked.from_,
                to_ms=asked.to,
                device_ids=_device_ids(asked.device_ids),
                page=Page(asked.limit, asked.cursor),
            )
        )

    @router.get(
        "/usage/{userId}/explain", summary="A figure down to its readings", responses=describe_answers(Explanation)
    )
    async def explain_figure(
        user_id: UserId, asked: Annotated[_ExplainParameters, Query()], principal: Asking
    ) -> Response:
        check_range(asked.from_, asked.to)
        return _json(
            await explain.explain(
                principal=principal,
                user_id=_user_id(user_id),
                device_id=_device_id(asked.device_id),
                from_ms=asked.from_,
                to_ms=asked.to,
            )
        )

    return router


def _ledger_routes(queries: QueryService, rebuild: Rebuilds) -> APIRouter:
    router = APIRouter(route_class=StrictRoute)

    @router.get(
        "/api/v1/ledger",
        summary="Where every reading that was ever received is",
        tags=["ledger"],
        responses=describe_answers(LedgerAnswer, unknown=False),
    )
    async def ledger(_: Annotated[_Parameters, Query()]) -> Response:
        return _json(await queries.ledger())

    @router.post(
        "/actuator/rebuild",
        summary="Derive every figure again from the raw readings",
        tags=["actuator"],
        responses=describe_answers(RebuildAnswer, unknown=False),
    )
    async def rebuild_figures() -> Response:
        return _json(await rebuild.rebuild())

    return router


def _router(tag: str) -> APIRouter:
    return APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=[tag])


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _user_id(text: str) -> int:
    number = parse_id(text)
    if number is None:
        message = "There is no such user: an id is a 64-bit integer."
        raise UserNotFound(message)
    return number


def _device_id(text: str) -> int:
    number = parse_id(text)
    if number is None:
        message = "The user has no such device: an id is a 64-bit integer."
        raise DeviceNotFound(message)
    return number


def _device_ids(texts: list[str]) -> frozenset[int]:
    return frozenset(_device_id(text) for text in texts)
