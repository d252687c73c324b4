"""alert-service over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from energy_tracker.contracts.alerts import (
    AlertAnswer,
    AlertCount,
    AlertPage,
    AlertState,
    MailAnswer,
    MailPage,
    MailState,
)
from energy_tracker.kit.cursors import CursorNotUnderstood, read_cursor, write_cursor
from energy_tracker.kit.instants import from_ms
from energy_tracker.kit.openapi import problem_responses
from energy_tracker.kit.parameters import Asker, IdCursor, id_behind
from energy_tracker.kit.problems import Problem
from energy_tracker.kit.web import StrictRoute, parse_id
from energy_tracker.services.alert.model.episodes import Episode
from energy_tracker.services.alert.model.mails import Mail
from energy_tracker.services.alert.ports import EpisodeKey, EpisodeQuery
from energy_tracker.services.alert.service.episodes import AlertService

PREFIX = "/api/v1/alert"
DEFAULT_LIMIT = 1_000
MAX_LIMIT = 1_000
PAGE_LIMIT = 100


class NotAUserId(Problem):
    """The path does not hold a 64-bit integer."""

    status = 404
    title = "There is no such user"


def _user_id(text: Annotated[str, Path(alias="userId", description="A 64-bit integer")]) -> int:
    user_id = parse_id(text)
    if user_id is None:
        raise NotAUserId("The user's id in the path is not a 64-bit integer.")
    return user_id


def _after_key(
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> EpisodeKey | None:
    return None if cursor is None else _read_cursor(cursor)


def _before_mail(cursor: IdCursor = None) -> int | None:
    return id_behind(cursor)


def _states(
    state: Annotated[list[AlertState] | None, Query(description="Only these; may be repeated")] = None,
) -> frozenset[AlertState]:
    return frozenset(state or ())


def _mail_states(
    state: Annotated[list[MailState] | None, Query(description="Only these; may be repeated")] = None,
) -> frozenset[MailState]:
    return frozenset(state or ())


UserId = Annotated[int, Depends(_user_id)]
AlertId = Annotated[str, Path(alias="id", description="The episode's id")]
AfterKey = Annotated[EpisodeKey | None, Depends(_after_key)]
BeforeMail = Annotated[int | None, Depends(_before_mail)]
States = Annotated[frozenset[AlertState], Depends(_states)]
MailStates = Annotated[frozenset[MailState], Depends(_mail_states)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many at most")]


class AlertApi:
    """The calls of alert-service, one method each."""

    def __init__(self, service: AlertService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PREFIX, tags=["alert"], route_class=StrictRoute)
        listed, found = problem_responses(404, 422, 503), problem_responses(404, 503)
        paged = problem_responses(422, 503)
        add = router.add_api_route
        add("/user/{userId}", self.of_user, summary="List a user's alerts", responses=listed)
        add("/user/{userId}/count", self.count, summary="Count a user's alerts", responses=listed)
        add("", self.page, summary="List all alerts", responses=paged)
        add("/outbox", self.outbox, summary="List the mails", responses=paged)
        add("/{id}", self.read, summary="Read an alert", responses=found)
        add(
            "/{id}/acknowledge",
            self.acknowledge,
            methods=["POST"],
            summary="Say that somebody has seen an alert",
            responses=found,
        )
        return router

    async def of_user(  # noqa: PLR0913, PLR0917 - FastAPI passes the parameters of a call by name
        self,
        user_id: UserId,
        principal: Asker,
        states: States,
        after: AfterKey,
        request: Request,
        response: Response,
        limit: Limit = DEFAULT_LIMIT,
    ) -> list[AlertAnswer]:
        """List a user's episodes, newest first, or an empty array; a `Link` with `rel="next"` leads on."""
        query = EpisodeQuery(user_id=user_id, states=states, after=after, limit=limit + 1)
        episodes = await self._service.list_episodes(principal=principal, query=query)
        if len(episodes) > limit:
            following = request.url.include_query_params(cursor=_cursor(episodes[limit - 1]))
            response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
        return [_answer(episode) for episode in episodes[:limit]]

    async def count(self, user_id: UserId, principal: Asker, states: States) -> AlertCount:
        """All of a user's episodes, ended ones too; `?state=open` counts the open ones."""
        count = await self._service.count_episodes(principal=principal, user_id=user_id, states=states)
        return AlertCount(count=count)

    async def page(self, principal: Asker, states: States, after: AfterKey, limit: Limit = PAGE_LIMIT) -> AlertPage:
        """Everybody's episodes, newest first."""
        query = EpisodeQuery(states=states, after=after, limit=limit + 1)
        episodes = await self._service.list_episodes(principal=principal, query=query)
        following = _cursor(episodes[limit - 1]) if len(episodes) > limit else None
        return AlertPage(items=[_answer(episode) for episode in episodes[:limit]], next=following)

    async def outbox(
        self, principal: Asker, states: MailStates, before: BeforeMail, limit: Limit = PAGE_LIMIT
    ) -> MailPage:
        """Mails, newest first, with their state; sent ones too."""
        mails = await self._service.list_mails(principal=principal, states=states, before=before, limit=limit + 1)
        following = str(mails[limit - 1].id) if len(mails) > limit else None
        return MailPage(items=[_mail_answer(mail) for mail in mails[:limit]], next=following)

    async def read(self, episode_id: AlertId, principal: Asker) -> AlertAnswer:
        """One episode."""
        return _answer(await self._service.read_episode(principal=principal, episode_id=episode_id))

    async def acknowledge(self, episode_id: AlertId, principal: Asker) -> AlertAnswer:
        """Note that the alert was seen: no reminder is sent. Doing it again, or after the end, is no mistake."""
        return _answer(await self._service.acknowledge_episode(principal=principal, episode_id=episode_id))


def _answer(episode: Episode) -> AlertAnswer:
    return AlertAnswer(
        id=episode.id,
        user_id=episode.user_id,
        device_id=episode.device_id,
        rule=episode.rule,
        state=episode.state,
        opened_at=from_ms(episode.opened_at_ms),
        ended_at=None if episode.ended_at_ms is None else from_ms(episode.ended_at_ms),
        acknowledged_at=None if episode.acknowledged_at_ms is None else from_ms(episode.acknowledged_at_ms),
        message=episode.message,
        threshold=episode.threshold_kwh,
        energy_consumed=episode.energy_consumed_kwh,
        sent=episode.sent,
    )


def _mail_answer(mail: Mail) -> MailAnswer:
    return MailAnswer(
        id=mail.id,
        alert_id=mail.episode_id,
        user_id=mail.user_id,
        kind=mail.kind,
        to=mail.recipient,
        subject=mail.subject,
        text=mail.text,
        state=mail.state,
        attempts=mail.attempts,
        last_error=mail.last_error,
        message_id=mail.message_id,
        created_at=from_ms(mail.created_at_ms),
        next_attempt_at=from_ms(mail.next_attempt_at_ms) if mail.state == "queued" else None,
        sent_at=None if mail.sent_at_ms is None else from_ms(mail.sent_at_ms),
    )


def _cursor(episode: Episode) -> str:
    return write_cursor(f"{episode.opened_at_ms} {episode.id}")


def _read_cursor(cursor: str) -> EpisodeKey:
    opened_at_ms, _, episode_id = read_cursor(cursor).partition(" ")
    if not opened_at_ms.removeprefix("-").isdecimal():
        raise CursorNotUnderstood
    return EpisodeKey(int(opened_at_ms), episode_id)
