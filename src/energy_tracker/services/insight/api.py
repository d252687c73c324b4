"""HTTP edge of insight-service."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from energy_tracker.contracts.insight import FactBody, InsightAnswer, TipBody
from energy_tracker.kit.openapi import problem_responses
from energy_tracker.kit.parameters import Asker
from energy_tracker.kit.web import StrictRoute, parse_id
from energy_tracker.services.insight.model.facts import Fact
from energy_tracker.services.insight.service.insights import (
    DEFAULT_DAYS,
    MAX_DAYS,
    Insight,
    InsightService,
    UserNotFound,
)

PREFIX = "/api/v1/insight"

Days = Annotated[
    int,
    Query(
        ge=1,
        le=MAX_DAYS,
        description="How many whole days before today are looked at; less than three weeks leaves the comparisons out.",
    ),
]


def _user_id(text: Annotated[str, Path(alias="userId", description="A 64-bit integer")]) -> int:
    user_id = parse_id(text)
    if user_id is None:
        message = f"There is no user {text[:40]!r}."
        raise UserNotFound(message)
    return user_id


UserId = Annotated[int, Depends(_user_id)]


class InsightApi:
    """The calls of insight-service, one method each."""

    def __init__(self, service: InsightService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PREFIX, tags=["insight"], route_class=StrictRoute)
        responses = problem_responses(404, 422, 503)
        router.add_api_route(
            "/overview/{userId}", self.overview, summary="Where the energy of a home goes", responses=responses
        )
        router.add_api_route(
            "/saving-tips/{userId}", self.saving_tips, summary="What the home could do", responses=responses
        )
        return router

    async def overview(self, user_id: UserId, principal: Asker, days: Days = DEFAULT_DAYS) -> InsightAnswer:
        """Tell what was used, by what, and how it compares with the home's own past; every figure is one of `facts`."""
        return _body(await self._service.describe_home(principal=principal, user_id=user_id, days=days))

    async def saving_tips(self, user_id: UserId, principal: Asker, days: Days = DEFAULT_DAYS) -> InsightAnswer:
        """Give advice, what is at stake most first; every figure is one of `facts`."""
        return _body(await self._service.suggest_savings(principal=principal, user_id=user_id, days=days))


def _body(insight: Insight) -> InsightAnswer:
    return InsightAnswer(
        user_id=insight.user_id,
        tips="\n".join(tip.text for tip in insight.tips),
        energy_usage=None if insight.energy_kwh is None else round(insight.energy_kwh, 9),
        items=tuple(TipBody(text=tip.text, facts=tip.facts) for tip in insight.tips),
        facts=tuple(_fact_body(fact) for fact in insight.facts),
        adviser=insight.adviser,
    )


def _fact_body(fact: Fact) -> FactBody:
    return FactBody(
        id=fact.id,
        value=fact.value,
        unit=fact.unit.value,
        period=fact.period,
        how=fact.how,
        label=fact.label,
        device_id=fact.device_id,
    )
