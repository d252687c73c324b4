"""The HTTP edge of forecasts."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from energy_tracker.contracts.forecast import ForecastAnswer
from energy_tracker.services.usage.api_document import describe_answers
from energy_tracker.services.usage.api_edge import device_id_of, json_of, router_of, user_id_of
from energy_tracker.services.usage.forecasting import ForecastService
from energy_tracker.services.usage.parameters import Asking, Id, Parameters, UserId


class ForecastParameters(Parameters):
    """Of a forecast."""

    device_id: Annotated[
        Id | None, Field(alias="deviceId", description="Only this device; without it, the home as a whole.")
    ] = None


def forecast_routes(forecasts: ForecastService) -> APIRouter:
    """Return the call about what comes next."""
    router = router_of("usage")

    @router.get("/usage/{userId}/forecast", summary="What comes next", responses=describe_answers(ForecastAnswer))
    async def forecast(user_id: UserId, asked: Annotated[ForecastParameters, Query()], principal: Asking) -> Response:
        answer = await forecasts.forecast(
            principal=principal,
            user_id=user_id_of(user_id),
            device_id=None if asked.device_id is None else device_id_of(asked.device_id),
        )
        return json_of(answer)

    return router
