"""The HTTP edge of usage-service."""

from typing import Annotated, Protocol

import msgspec
from fastapi import APIRouter, FastAPI, Query, Response

from energy_tracker.contracts.usage import (
    DeadLettersAnswer,
    Explanation,
    LedgerAnswer,
    ReadingsAnswer,
    RebuildAnswer,
    ReplayAnswer,
    SeriesAnswer,
    UsageAnswer,
)
from energy_tracker.kit.health import Health
from energy_tracker.kit.openapi import problem_responses
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.telemetry import Telemetry
from energy_tracker.kit.web import StrictRoute, create_app
from energy_tracker.services.usage.api_document import add_schemas, describe_answers
from energy_tracker.services.usage.api_edge import device_id_of, device_ids_of, json_of, router_of, user_id_of
from energy_tracker.services.usage.dead_letters import DeadLetterService
from energy_tracker.services.usage.parameters import (
    Asking,
    DeadLetterParameters,
    ExplainParameters,
    Parameters,
    ReadingsParameters,
    ReplayBody,
    SeriesParameters,
    UsageParameters,
    UserId,
)
from energy_tracker.services.usage.queries import Page, QueryService, check_range


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


def create_api(
    *,
    queries: QueryService,
    explain: Explains,
    rebuild: Rebuilds,
    dead_letters: DeadLetterService,
    health: Health,
    telemetry: Telemetry,
) -> FastAPI:
    """Return usage-service's application."""
    app = create_app("usage", description=_DESCRIPTION, health=health, telemetry=telemetry)
    app.include_router(_usage_routes(queries))
    app.include_router(_receipt_routes(queries, explain))
    app.include_router(_ledger_routes(queries, rebuild))
    app.include_router(_dead_letter_routes(dead_letters))
    add_schemas(app)
    return app


_DESCRIPTION = """How much energy a home used, when, and how that is known.

Energies are kWh. What was not measured is null, never 0. Instants are in UTC; days, weeks and months are those of the
home's time zone."""


def _usage_routes(queries: QueryService) -> APIRouter:
    router = router_of("usage")

    @router.get(
        "/usage/{userId}", summary="Energy of each device in the last days", responses=describe_answers(UsageAnswer)
    )
    async def usage(user_id: UserId, asked: Annotated[UsageParameters, Query()], principal: Asking) -> Response:
        return json_of(await queries.usage(principal=principal, user_id=user_id_of(user_id), days=asked.days))

    @router.get("/usage/{userId}/series", summary="Energy over time", responses=describe_answers(SeriesAnswer))
    async def series(user_id: UserId, asked: Annotated[SeriesParameters, Query()], principal: Asking) -> Response:
        return json_of(
            await queries.series(
                principal=principal,
                user_id=user_id_of(user_id),
                resolution=asked.resolution,
                from_ms=asked.from_,
                to_ms=asked.to,
                device_ids=device_ids_of(asked.device_ids),
            )
        )

    return router


def _receipt_routes(queries: QueryService, explain: Explains) -> APIRouter:
    router = router_of("receipts")

    @router.get(
        "/usage/{userId}/readings", summary="Raw readings as stored", responses=describe_answers(ReadingsAnswer)
    )
    async def readings(user_id: UserId, asked: Annotated[ReadingsParameters, Query()], principal: Asking) -> Response:
        return json_of(
            await queries.readings(
                principal=principal,
                user_id=user_id_of(user_id),
                from_ms=asked.from_,
                to_ms=asked.to,
                device_ids=device_ids_of(asked.device_ids),
                page=Page(asked.limit, asked.cursor),
            )
        )

    @router.get(
        "/usage/{userId}/explain", summary="A figure down to its readings", responses=describe_answers(Explanation)
    )
    async def explain_figure(
        user_id: UserId, asked: Annotated[ExplainParameters, Query()], principal: Asking
    ) -> Response:
        check_range(asked.from_, asked.to)
        return json_of(
            await explain.explain(
                principal=principal,
                user_id=user_id_of(user_id),
                device_id=device_id_of(asked.device_id),
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
    async def ledger(_: Annotated[Parameters, Query()]) -> Response:
        return json_of(await queries.ledger())

    @router.post(
        "/actuator/rebuild",
        summary="Derive every figure again from the raw readings",
        tags=["actuator"],
        responses=describe_answers(RebuildAnswer, unknown=False),
    )
    async def rebuild_figures() -> Response:
        return json_of(await rebuild.rebuild())

    return router


def _dead_letter_routes(dead_letters: DeadLetterService) -> APIRouter:
    router = APIRouter(route_class=StrictRoute, tags=["actuator"])

    @router.get(
        "/actuator/deadletters",
        summary="Readings that could not be kept, and why",
        responses=describe_answers(DeadLettersAnswer, unknown=False),
    )
    async def listed(asked: Annotated[DeadLetterParameters, Query()], principal: Asking) -> Response:
        return json_of(await dead_letters.page(principal=principal, after=asked.after, limit=asked.limit))

    @router.post(
        "/actuator/deadletters/replay",
        summary="Send dead letters through the log again",
        responses=describe_answers(ReplayAnswer) | problem_responses(400, 413, 415, 507),
    )
    async def replay(asked: ReplayBody, principal: Asking) -> Response:
        return json_of(await dead_letters.replay(principal=principal, offsets=asked.offsets))

    return router
