"""The HTTP edge of outdoor temperatures."""

from datetime import date

from fastapi import APIRouter, Response

from energy_tracker.contracts.outdoor import OutdoorAnswer, OutdoorBody
from energy_tracker.kit.openapi import problem_responses
from energy_tracker.services.usage.api_document import describe_answers
from energy_tracker.services.usage.api_edge import json_of, router_of, user_id_of
from energy_tracker.services.usage.neighbours import Neighbours
from energy_tracker.services.usage.outdoor import OutdoorTemperatures
from energy_tracker.services.usage.parameters import Asking, UserId


def outdoor_routes(outdoor: OutdoorTemperatures, neighbours: Neighbours | None = None) -> APIRouter:
    """Return the calls about how cold it was outside of a home."""
    router = router_of("unusual use", neighbours)

    @router.get(
        "/usage/{userId}/outdoor",
        summary="How cold it was outside of a home",
        responses=describe_answers(OutdoorAnswer),
    )
    async def known(user_id: UserId, principal: Asking) -> Response:
        return json_of(await outdoor.known(principal=principal, user_id=user_id_of(user_id)))

    @router.put(
        "/usage/{userId}/outdoor",
        summary="Tell how cold it was outside of a home",
        responses=describe_answers(OutdoorAnswer) | problem_responses(400, 413, 415),
    )
    async def tell(user_id: UserId, asked: OutdoorBody, principal: Asking) -> Response:
        days = {date.fromisoformat(day.date): day.mean_c for day in asked.days}
        return json_of(await outdoor.tell(principal=principal, user_id=user_id_of(user_id), days=days))

    return router
