"""Bodies of user-service's calls (wire contract, version 1). Energies in kWh."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from energy_tracker.kit.wire import MAX_ID, PrintableText, WireAnswer, WireModel

ShortText = Annotated[PrintableText, Field(max_length=200)]
Threshold = Annotated[float, Field(ge=0, le=1e9)]


class UserBody(WireModel):
    """What a client sends to create or replace a user.

    `id` is given by the service: on creation it is ignored, on replacement it must be that of the path (or absent, null
    or 0). The original's fields that are absent or null are emptied (`alerting` false, no threshold). An absent or null
    `timeZone` is the service's default on creation, and stays as it is on replacement.
    """

    id: Annotated[int, Field(ge=0, le=MAX_ID)] | None = None
    name: Annotated[PrintableText, Field(min_length=1, max_length=200)]
    surname: ShortText | None = None
    email: Annotated[PrintableText, Field(min_length=3, max_length=254, json_schema_extra={"format": "email"})]
    address: Annotated[PrintableText, Field(max_length=500)] | None = None
    alerting: bool | None = None
    energy_alerting_threshold: Threshold | None = None
    time_zone: Annotated[str, Field(min_length=1, max_length=64, examples=["Europe/Zurich"])] | None = None


class UserAnswer(WireAnswer):
    """A user. An `energyAlertingThreshold` (kWh in any hour) of null or 0 never alerts. The version is in the ETag."""

    id: int
    name: str
    surname: str
    email: str
    address: str
    alerting: bool
    energy_alerting_threshold: float | None
    time_zone: str


class UserPage(WireAnswer):
    """A page of users in order of id; `next` is the cursor of the following page, or null."""

    items: list[UserAnswer]
    next: str | None


class UserErasure(WireAnswer):
    """What becomes of a deleted user's data; all instants are null while the user exists.

    The personal fields are gone at `deletedAt`; devices, readings and alerts within seconds of it, where their services
    run. What the event log still holds expires at `logsExpireAt`, what its dead letters hold at `deadLettersExpireAt`.
    """

    user_id: int
    deleted: bool
    deleted_at: datetime | None
    logs_expire_at: datetime | None
    dead_letters_expire_at: datetime | None
