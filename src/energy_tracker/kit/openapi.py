"""How an OpenAPI document tells of the problems that a call may answer with."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_PROBLEM_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for these statuses, each an `application/problem+json` (RFC 9457)."""
    content = {"application/problem+json": {"schema": dict(_PROBLEM_SCHEMA)}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
