"""user-service over HTTP."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response

from energy_tracker.contracts.directory import DirectoryUser, UserChanges
from energy_tracker.contracts.user import UserAnswer, UserBody, UserErasure, UserPage
from energy_tracker.kit.instants import from_ms, to_iso
from energy_tracker.kit.openapi import problem_responses
from energy_tracker.kit.parameters import AfterId, AfterVersion, Asker, SearchText, Versions
from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.kit.web import StrictRoute, entity_tag, parse_id
from energy_tracker.services.user.model import User, UserDraft
from energy_tracker.services.user.service import UserNotFound, UserService

PREFIX = "/api/v1/user"
ERASED_BY = "Energy-Tracker-Erased-By"

_DELETION = f"""
Blanks everything personal at once and leaves a tombstone, so that the number is never given to anyone else. The other
services learn of it within seconds: device-service erases the user's devices, usage-service the readings, alert-service
the alerts. What the event log and its dead letters hold expires (after 7 and 30 days, unless set otherwise); the header
`{ERASED_BY}` names the instant at which nothing is left, and `GET {PREFIX}/{{id}}/erasure` tells it again.
"""


def _user_id(text: Annotated[str, Path(alias="id", description="A 64-bit integer")]) -> int:
    user_id = parse_id(text)
    if user_id is None:
        raise UserNotFound
    return user_id


UserId = Annotated[int, Depends(_user_id)]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most")]


class UserApi:
    """The calls of user-service, one method each."""

    def __init__(self, service: UserService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix=PREFIX, tags=["user"], route_class=StrictRoute)
        add = router.add_api_route
        created: dict[str, Any] = {
            "methods": ["POST"],
            "status_code": 201,
            "responses": problem_responses(400, 409, 413, 415, 422, 503),
        }
        add("/create", self.create, summary="Create a user", **created)
        add("", self.create, summary="Create a user (as the original's relatives do)", **created)
        add("", self.page, summary="List or search users", responses=problem_responses(422, 503))
        add("/changes", self.changes, summary="Follow the users' changes", responses=problem_responses(422, 503))
        add("/{id}", self.read, summary="Read a user", responses=problem_responses(404, 503))
        add("/{id}/erasure", self.erasure, summary="What becomes of its data", responses=problem_responses(404, 503))
        add(
            "/{id}",
            self.replace,
            methods=["PUT"],
            summary="Replace a user",
            responses=problem_responses(400, 404, 409, 412, 413, 415, 422, 503),
        )
        add(
            "/{id}",
            self.delete,
            methods=["DELETE"],
            status_code=204,
            summary="Delete a user and everything of it",
            description=_DELETION,
            responses=problem_responses(404, 412, 503),
        )
        return router

    async def create(self, body: UserBody, principal: Asker, response: Response) -> UserAnswer:
        """Store a new user; the service gives the id, whatever the body says. E-mail addresses are unique."""
        user = await self._service.create_user(principal=principal, draft=_draft(body))
        response.headers["Location"] = f"{PREFIX}/{user.id}"
        return _tagged(user, response)

    async def page(self, principal: Asker, after_id: AfterId, limit: Limit = 50, text: SearchText = "") -> UserPage:
        """Users in order of id; `q` looks into name, surname and e-mail address."""
        page = await self._service.list_users(principal=principal, text=text, after_id=after_id, limit=limit)
        following = None if page.next_after_id is None else str(page.next_after_id)
        return UserPage(items=[_answer(user) for user in page.users], next=following)

    async def read(self, user_id: UserId, principal: Asker, response: Response) -> UserAnswer:
        """One user; its version is the ETag."""
        return _tagged(await self._service.read_user(principal=principal, user_id=user_id), response)

    async def replace(
        self, user_id: UserId, body: UserBody, principal: Asker, versions: Versions, response: Response
    ) -> UserAnswer:
        """Replace the original's fields; a `timeZone` that is absent stays. If-Match guards against lost updates."""
        if body.id not in {None, 0, user_id}:
            raise InvalidRequest("Not acceptable: /id.", errors=[FieldError("/id", "must be the id of the path")])
        user = await self._service.replace_user(
            principal=principal, user_id=user_id, draft=_draft(body), expected_versions=versions
        )
        return _tagged(user, response)

    async def delete(self, user_id: UserId, principal: Asker, versions: Versions) -> Response:
        """Blank the user."""
        erasure = await self._service.delete_user(principal=principal, user_id=user_id, expected_versions=versions)
        gone_ms = erasure.dead_letters_expire_at_ms
        return Response(status_code=204, headers={} if gone_ms is None else {ERASED_BY: to_iso(gone_ms)})

    async def erasure(self, user_id: UserId, principal: Asker) -> UserErasure:
        """Tell what becomes, or became, of the user's data; also after the deletion."""
        erasure = await self._service.read_erasure(principal=principal, user_id=user_id)
        instants = (erasure.deleted_at_ms, erasure.logs_expire_at_ms, erasure.dead_letters_expire_at_ms)
        deleted_at, logs_expire_at, dead_letters_expire_at = (
            None if instant is None else from_ms(instant) for instant in instants
        )
        return UserErasure(
            user_id=erasure.user_id,
            deleted=deleted_at is not None,
            deleted_at=deleted_at,
            logs_expire_at=logs_expire_at,
            dead_letters_expire_at=dead_letters_expire_at,
        )

    async def changes(self, principal: Asker, after: AfterVersion = 0, limit: Limit = 500) -> Response:
        """For the other services: the newest state of everything that changed after a version, tombstones too.

        A `version` below `after` means that the users were restored from a backup: begin again at 0.
        """
        page = await self._service.list_changes(principal=principal, after=after, limit=limit)
        answer = UserChanges(items=tuple(_entry(user) for user in page.users), version=page.version, more=page.more)
        return Response(msgspec.json.encode(answer), media_type="application/json")


def _draft(body: UserBody) -> UserDraft:
    return UserDraft(
        name=body.name,
        surname=body.surname or "",
        email=body.email,
        address=body.address or "",
        alerting=body.alerting or False,
        energy_alerting_threshold_kwh=body.energy_alerting_threshold,
        time_zone=body.time_zone,
    )


def _answer(user: User) -> UserAnswer:
    details = user.details
    return UserAnswer(
        id=user.id,
        name=details.name,
        surname=details.surname,
        email=details.email,
        address=details.address,
        alerting=details.alerting,
        energy_alerting_threshold=details.energy_alerting_threshold_kwh,
        time_zone=details.time_zone,
    )


def _tagged(user: User, response: Response) -> UserAnswer:
    response.headers["ETag"] = entity_tag(user.version)
    return _answer(user)


def _entry(user: User) -> DirectoryUser:
    details = user.details
    return DirectoryUser(
        id=user.id,
        version=user.version,
        deleted=user.deleted_at_ms is not None,
        name=details.name,
        surname=details.surname,
        email=details.email,
        alerting=details.alerting,
        energy_alerting_threshold=details.energy_alerting_threshold_kwh,
        time_zone=details.time_zone,
    )
