"""The answers of usage-service in its OpenAPI document: msgspec encodes them, FastAPI never sees their types."""

from typing import Any, Final

import msgspec
from fastapi import FastAPI

from energy_tracker.contracts.forecast import ForecastAnswer
from energy_tracker.contracts.unusual import RehearsalAnswer, UnusualAnswer, UnusualUse, WatchAnswer
from energy_tracker.contracts.usage import (
    DeadLettersAnswer,
    Explanation,
    LedgerAnswer,
    ReadingsAnswer,
    RebuildAnswer,
    ReplayAnswer,
    SeriesAnswer,
    UsageAnswer,
)
from energy_tracker.kit.gate import PROBLEM_JSON

ANSWERS: Final = (
    UsageAnswer,
    SeriesAnswer,
    ReadingsAnswer,
    Explanation,
    LedgerAnswer,
    RebuildAnswer,
    DeadLettersAnswer,
    ReplayAnswer,
    UnusualAnswer,
    UnusualUse,
    WatchAnswer,
    RehearsalAnswer,
    ForecastAnswer,
)


def describe_answers(answer: type[msgspec.Struct], *, unknown: bool = True) -> dict[int | str, dict[str, Any]]:
    """Describe a call's answers for the OpenAPI document; the structs' schemas are added by `add_schemas`."""
    schema = {"$ref": f"#/components/schemas/{answer.__name__}"}
    problem = {"content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    described: dict[int | str, dict[str, Any]] = {
        200: {"content": {"application/json": {"schema": schema}}},
        422: {"description": "A parameter is not acceptable", **problem},
        503: {"description": "A needed part does not answer", **problem},
    }
    if unknown:
        described[404] = {"description": "There is no such user, or the user has no such device", **problem}
    return described


def add_schemas(app: FastAPI) -> None:
    """Add the schemas of the answers, which msgspec encodes and FastAPI never sees."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        _, schemas = msgspec.json.schema_components(ANSWERS, ref_template="#/components/schemas/{name}")
        schemas["Problem"] = _PROBLEM_SCHEMA
        document = generate()
        document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


_PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "RFC 9457",
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
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
