"""How cold it was outside of a home: bodies and answers of usage-service."""

import datetime as dt
from typing import Annotated

import msgspec
from pydantic import AfterValidator, Field

from energy_tracker.kit.wire import WireModel

COLDEST_C, WARMEST_C = -90, 60
FIRST_DAY = dt.date(1970, 1, 1)
FORECAST = dt.timedelta(days=16)
"""No forecast says more."""
MOST_OUTDOOR_DAYS = 400
"""So many days are kept of a home, and may be told at once: a year, and what a home is compared with before."""


class OutdoorDay(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The mean outdoor temperature of a local day, in °C."""

    date: str
    mean_c: float


class OutdoorAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET` and `PUT /api/v1/usage/{userId}/outdoor`: the days that are known, oldest first."""

    user_id: int
    days: tuple[OutdoorDay, ...]


def _is_date(text: str) -> str:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        message = "must be a date such as 2026-11-27"
        raise ValueError(message) from None
    return text


class OutdoorDayBody(WireModel):
    """A day of the home's time zone, and its mean temperature in °C; null: it is not known any more."""

    date: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$"), AfterValidator(_is_date)]
    mean_c: Annotated[float | None, Field(ge=COLDEST_C, le=WARMEST_C)]


class OutdoorBody(WireModel):
    """`PUT /api/v1/usage/{userId}/outdoor`: days to be known beside those that are; of a day the last one counts."""

    days: Annotated[list[OutdoorDayBody], Field(max_length=MOST_OUTDOOR_DAYS)]
