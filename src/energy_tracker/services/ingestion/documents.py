"""How the OpenAPI document tells of bodies that msgspec reads and writes."""

from collections.abc import Mapping
from typing import Any

import msgspec

from energy_tracker.contracts.ingestion import MAX_BATCH_ITEMS, ReadingBody
from energy_tracker.kit.openapi import problem_responses

JSON = "application/json"


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of a struct, with what it refers to inside it: OpenAPI resolves references elsewhere."""
    (schema,), parts = msgspec.json.schema_components([kind], ref_template="#/{name}")
    inlined: dict[str, Any] = _inlined(schema, parts)
    return inlined


def _inlined(schema: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, parts) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"].removeprefix("#/")], parts)
    return {name: _inlined(part, parts) for name, part in schema.items()}


def answers(status: int, kind: type[msgspec.Struct], *problems: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route: the good one, and these problems."""
    description = (kind.__doc__ or "").partition("\n")[0]
    responses = problem_responses(*problems)
    responses[status] = {"description": description, "content": {JSON: {"schema": schema_of(kind)}}}
    return responses


def request_body(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `requestBody` of a route that reads the raw body, by media type."""
    schemas = {name: {"schema": schema} for name, schema in content.items()}
    return {"requestBody": {"required": True, "content": schemas}}


_READINGS = {"type": "array", "items": schema_of(ReadingBody), "maxItems": MAX_BATCH_ITEMS}
BATCH_SCHEMA: Mapping[str, Any] = {
    "oneOf": [
        {
            "type": "object",
            "required": ["readings"],
            "properties": {"readings": _READINGS},
            "additionalProperties": False,
        },
        _READINGS,
    ]
}
ITEMS_PARAMETER: Mapping[str, Any] = {
    "name": "items",
    "in": "query",
    "required": False,
    "description": "List every item, not only those that were not accepted",
    "schema": {"type": "string", "enum": ["all"]},
}
