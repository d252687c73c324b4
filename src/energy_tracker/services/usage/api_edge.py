"""What the HTTP edges of usage-service share: routers, answers and identifiers."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response

from energy_tracker.kit.web import StrictRoute, parse_id
from energy_tracker.services.usage.neighbours import LookedAfterElsewhere, Neighbours, Question
from energy_tracker.services.usage.queries import DeviceNotFound, UserNotFound

PASSED_ON: Final = "energy-tracker-passed-on"
"""A request with this header is answered by whoever gets it: no two processes pass it to and fro."""
_OF_QUESTIONS: Final = ("accept", "authorization", "content-type", "if-match")
_OF_ANSWERS: Final = ("allow", "cache-control", "content-type", "etag", "retry-after")


def router_of(tag: str, neighbours: Neighbours | None = None) -> APIRouter:
    """Return a router of calls below `/api/v1`; what only a neighbour knows is passed on to it."""
    route = StrictRoute if neighbours is None else _passing_on(neighbours)
    return APIRouter(prefix="/api/v1", route_class=route, tags=[tag])


def _passing_on(neighbours: Neighbours) -> type[StrictRoute]:
    class PassingOn(StrictRoute):
        """Lets the usage-service answer that looks after the home."""

        def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]  # see `StrictRoute`
            handler = super().get_route_handler()

            async def pass_on(request: Request) -> Response:
                try:
                    return await handler(request)
                except LookedAfterElsewhere as elsewhere:
                    answer = None
                    if PASSED_ON not in request.headers:
                        answer = await neighbours.ask(elsewhere.user_id, await _question(request))
                    if answer is None:
                        raise
                    return Response(answer.body, answer.status, _some(answer.headers, _OF_ANSWERS))

            return pass_on

    return PassingOn


async def _question(request: Request) -> Question:
    path, query = request.scope["raw_path"], request.scope["query_string"]  # as they came, with what is escaped in them
    target = (path + b"?" + query if query else path).decode("ascii", errors="replace")
    headers = _some(request.headers, _OF_QUESTIONS) | {PASSED_ON: "1"}
    return Question(request.method, target, headers, await request.body())


def _some(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def json_of(answer: msgspec.Struct) -> Response:
    """Return an answer as JSON."""
    return Response(msgspec.json.encode(answer), media_type="application/json")


def user_id_of(text: str) -> int:
    """Return a user's id. Raises `UserNotFound` where it can be none."""
    number = parse_id(text)
    if number is None:
        message = "There is no such user: an id is a 64-bit integer."
        raise UserNotFound(message)
    return number


def device_id_of(text: str) -> int:
    """Return a device's id. Raises `DeviceNotFound` where it can be none."""
    number = parse_id(text)
    if number is None:
        message = "The user has no such device: an id is a 64-bit integer."
        raise DeviceNotFound(message)
    return number


def device_ids_of(texts: list[str]) -> frozenset[int]:
    """Return the ids of devices."""
    return frozenset(device_id_of(text) for text in texts)
