"""The HTTP edge of watching for unusual use."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from msgspec import UNSET
from pydantic import Field

from energy_tracker.contracts.readings import Rule
from energy_tracker.contracts.unusual import RehearsalAnswer, UnusualAnswer, UnusualUse, WatchAnswer, WatchBody
from energy_tracker.kit.instants import InvalidDuration, parse_duration
from energy_tracker.kit.openapi import problem_responses
from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.services.usage.api_document import describe_answers
from energy_tracker.services.usage.api_edge import json_of, router_of, user_id_of
from energy_tracker.services.usage.neighbours import Neighbours
from energy_tracker.services.usage.parameters import Asking, Instant, Parameters, UserId, WholeNumber
from energy_tracker.services.usage.rehearsal import Rehearsal, RehearsalService
from energy_tracker.services.usage.unusual_wishes import WatchWishes

EpisodeId = Annotated[str, Path(alias="episodeId", max_length=64, description="The id of an episode.")]


class RehearsalParameters(Parameters):
    """Of a rehearsal."""

    rule: Annotated[Rule, Field(description="The rule that is tried.")]
    from_: Annotated[Instant, Field(alias="from", description="Start of the range: ISO-8601 with an offset.")]
    to: Annotated[Instant, Field(description="End of the range, at most 93 days later: ISO-8601 with an offset.")]
    threshold_kwh: Annotated[
        float | None,
        Field(
            alias="thresholdKwh",
            gt=0,
            le=1e6,
            description="kWh within an hour, for high-usage; kWh a month, for month-limit.",
        ),
    ] = None
    silent_after: Annotated[
        str | None, Field(alias="silentAfter", max_length=40, description="Such as PT1H, for silent-device.")
    ] = None
    notices_a_month: Annotated[
        WholeNumber | None, Field(alias="noticesAMonth", ge=0, le=100, description="The budget, for unusual-use.")
    ] = None

    def rehearsal(self) -> Rehearsal:
        """Return what is tried. Raises `InvalidRequest`."""
        silent_after_ms = None
        if self.silent_after is not None:
            try:
                silent_after_ms = parse_duration(self.silent_after) // timedelta(milliseconds=1)
            except InvalidDuration:
                errors = [FieldError("?silentAfter", "must be an ISO-8601 duration such as PT1H")]
                raise InvalidRequest("Not acceptable: `silentAfter`.", errors=errors) from None
        return Rehearsal(
            rule=self.rule,
            from_ms=self.from_,
            to_ms=self.to,
            threshold_kwh=self.threshold_kwh,
            silent_after_ms=silent_after_ms,
            notices_a_month=self.notices_a_month,
        )


def watch_routes(wishes: WatchWishes, rehearsals: RehearsalService, neighbours: Neighbours | None = None) -> APIRouter:
    """Return the calls about what is unusual, and about how a home is watched."""
    router = router_of("unusual use", neighbours)

    @router.get(
        "/usage/{userId}/rehearsal",
        summary="When a rule would have told something",
        responses=describe_answers(RehearsalAnswer),
    )
    async def rehearse(user_id: UserId, asked: Annotated[RehearsalParameters, Query()], principal: Asking) -> Response:
        answer = await rehearsals.rehearse(
            principal=principal, user_id=user_id_of(user_id), rehearsal=asked.rehearsal()
        )
        return json_of(answer)

    @router.get("/usage/{userId}/unusual", summary="What was unusual", responses=describe_answers(UnusualAnswer))
    async def unusual(user_id: UserId, principal: Asking) -> Response:
        return json_of(await wishes.unusual_use(principal=principal, user_id=user_id_of(user_id)))

    @router.post(
        "/usage/{userId}/unusual/{episodeId}/normal",
        summary="Say that this is normal",
        responses=describe_answers(UnusualUse),
    )
    async def call_normal(user_id: UserId, episode_id: EpisodeId, principal: Asking) -> Response:
        return json_of(
            await wishes.call_normal(principal=principal, user_id=user_id_of(user_id), episode_id=episode_id)
        )

    @router.get("/usage/{userId}/watch", summary="How a home is watched", responses=describe_answers(WatchAnswer))
    async def watch(user_id: UserId, principal: Asking) -> Response:
        return json_of(await wishes.watch(principal=principal, user_id=user_id_of(user_id)))

    @router.put(
        "/usage/{userId}/watch",
        summary="Change how a home is watched",
        responses=describe_answers(WatchAnswer) | problem_responses(400, 413, 415),
    )
    async def change_watch(user_id: UserId, asked: WatchBody, principal: Asking) -> Response:
        return json_of(
            await wishes.change_watch(
                principal=principal,
                user_id=user_id_of(user_id),
                notices_a_month=asked.notices_a_month,
                muted_device_ids=frozenset(asked.muted_device_ids),
                month_limit_kwh=asked.month_limit_kwh if "month_limit_kwh" in asked.model_fields_set else UNSET,
            )
        )

    return router
