"""Parameters that calls of several services have in common, for FastAPI."""

from typing import Annotated

from fastapi import Depends, Query

from energy_tracker.kit.cursors import CursorNotUnderstood
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.web import current_principal, expected_version, parse_id
from energy_tracker.kit.wire import MAX_ID, PrintableText

Asker = Annotated[Principal, Depends(current_principal)]
Versions = Annotated[frozenset[int] | None, Depends(expected_version)]
AfterVersion = Annotated[int, Query(ge=0, le=MAX_ID, description="`version` of the answer before; 0 for all")]
SearchText = Annotated[
    PrintableText, Query(alias="q", max_length=200, description="Taken literally, without regard to case")
]

IdCursor = Annotated[
    str | None, Query(description="`next` of the page before", json_schema_extra={"pattern": "^[0-9]{1,18}$"})
]


def id_behind(cursor: str | None) -> int | None:
    """Return the id that a page ended with, None on the first page. Raises `CursorNotUnderstood`."""
    last_id = None if cursor is None else parse_id(cursor)
    if cursor is not None and last_id is None:
        raise CursorNotUnderstood
    return last_id


def _after_id(cursor: IdCursor = None) -> int:
    return id_behind(cursor) or 0


AfterId = Annotated[int, Depends(_after_id)]
"""Of a list in order of id: what a page begins behind."""
