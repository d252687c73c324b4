"""What the calls of usage-service are asked with: strict query parameters and identifiers."""

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from energy_tracker.contracts.usage import Resolution
from energy_tracker.eventlog.port import BEFORE_ALL
from energy_tracker.kit.instants import to_ms
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.web import WireModel, current_principal
from energy_tracker.kit.wire import MAX_ID
from energy_tracker.services.usage.queries import LARGEST_PAGE, LONGEST_WINDOW_DAYS

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?([Zz]|[+\- ]\d\d(:?\d\d)?)", re.ASCII)


def _whole_number(text: object) -> object:
    """Refuse what a lenient reader would take for an integer, such as `3.0` or `1_000`."""
    if isinstance(text, str) and not _WHOLE_NUMBER.fullmatch(text):
        message = "must be a whole number"
        raise ValueError(message)
    return text


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]


def _instant_ms(text: object) -> object:
    """Read an ISO-8601 instant with an offset as ms since 1970, rounded down.

    A `+` that was not written as %2B arrives as a blank; nothing else can be meant by one before an offset.
    """
    if not isinstance(text, str):
        return text
    message = "must be an ISO-8601 instant with an offset, such as 2026-03-29T00:00:00Z or 2026-03-29T02:00:00%2B02:00"
    if not _INSTANT.fullmatch(text):
        raise ValueError(message)
    try:
        return to_ms(datetime.fromisoformat(text.upper().replace(" ", "+")))
    except (ValueError, OverflowError):
        raise ValueError(message) from None


Instant = Annotated[int, BeforeValidator(_instant_ms), WithJsonSchema({"type": "string", "format": "date-time"})]
Id = Annotated[str, WithJsonSchema({"type": "integer", "format": "int64", "minimum": 0})]
"""Kept as text until `parse_id` has read it: what cannot be an id is not found, rather than not acceptable."""

UserId = Annotated[Id, Path(alias="userId", description="The user (the home): a 64-bit integer.")]
Asking = Annotated[Principal, Depends(current_principal)]

_FROM = Field(alias="from", description="Start of the range, which is part of it: ISO-8601 with an offset.")
_TO = Field(alias="to", description="End of the range, which is not part of it: ISO-8601 with an offset.")
_DEVICE_IDS = Field(alias="deviceId", description="Only this device; may be given several times.", max_length=1000)


def _within(greatest: int, description: str) -> Any:
    """Document a number from 1 to `greatest`; the use case is who checks it."""
    return Field(description=description, json_schema_extra={"minimum": 1, "maximum": greatest})


class Parameters(BaseModel):
    """Query parameters; one that is not known is a typing error of whom it matters to, and refused."""

    model_config = ConfigDict(extra="forbid")


class UsageParameters(Parameters):
    """Of the usage answer."""

    days: Annotated[WholeNumber, _within(LONGEST_WINDOW_DAYS, "How many days back.")] = 3


class SeriesParameters(Parameters):
    """Of a series."""

    from_: Annotated[Instant | None, _FROM] = None
    to: Annotated[Instant | None, _TO] = None
    resolution: Annotated[Resolution, Field(description="Buckets of the local calendar; weeks begin on Monday.")] = (
        "hour"
    )
    device_ids: Annotated[list[Id], _DEVICE_IDS] = []


class ReadingsParameters(Parameters):
    """Of a page of raw readings."""

    from_: Annotated[Instant | None, _FROM] = None
    to: Annotated[Instant | None, _TO] = None
    device_ids: Annotated[list[Id], _DEVICE_IDS] = []
    limit: Annotated[WholeNumber, _within(LARGEST_PAGE, "The size of the page.")] = 1_000
    cursor: Annotated[str | None, Field(max_length=400, description="`next` of the page before.")] = None


class ExplainParameters(Parameters):
    """Of an explanation."""

    from_: Annotated[Instant, _FROM]
    to: Annotated[Instant, _TO]
    device_id: Annotated[Id, Field(alias="deviceId", description="The device whose figure is explained.")]


class DeadLetterParameters(Parameters):
    """Of a page of dead letters."""

    after: Annotated[WholeNumber, Field(ge=BEFORE_ALL, le=2**63 - 1, description="`next` of the page before.")] = (
        BEFORE_ALL
    )
    limit: Annotated[WholeNumber, Field(ge=1, le=1_000, description="The size of the page.")] = 100


class ReplayBody(WireModel):
    """The dead letters that are to be sent again."""

    offsets: list[Annotated[int, Field(ge=0, le=MAX_ID)]] = Field(
        min_length=1, max_length=10_000, description="Those of the dead letters to be sent."
    )
