"""The HTTP edge of watching for unusual use."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from energy_tracker.contracts.unusual import UnusualAnswer, UnusualUse, WatchAnswer, WatchBody
from energy_tracker.kit.openapi import problem_responses
from energy_tracker.services.usage.api_document import describe_answers
from energy_tracker.services.usage.api_edge import json_of, router_of, user_id_of
from energy_tracker.services.usage.parameters import Asking, UserId
from energy_tracker.services.usage.unusual_wishes import WatchWishes

EpisodeId = Annotated[str, Path(alias="episodeId", max_length=64, description="The id of an episode.")]


def watch_routes(wishes: WatchWishes) -> APIRouter:
    """Return the calls about what is unusual, and about how a home is watched."""
    router = router_of("unusual use")

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
            )
        )

    return router
