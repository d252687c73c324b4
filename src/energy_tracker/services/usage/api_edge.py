"""What the HTTP edges of usage-service share: routers, answers and identifiers."""

import msgspec
from fastapi import APIRouter, Response

from energy_tracker.kit.web import StrictRoute, parse_id
from energy_tracker.services.usage.queries import DeviceNotFound, UserNotFound


def router_of(tag: str) -> APIRouter:
    """Return a router of calls below `/api/v1`."""
    return APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=[tag])


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
