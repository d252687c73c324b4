"""Bodies of device-service's calls (wire contract, version 1). Powers in W, durations in ISO-8601."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from energy_tracker.contracts.readings import Direction, Kind
from energy_tracker.kit.wire import MAX_ID, PrintableText, WireAnswer, WireModel

DeviceType = Literal[
    "SPEAKER",
    "CAMERA",
    "THERMOSTAT",
    "LIGHT",
    "LOCK",
    "DOORBELL",
    "HEATER",
    "REFRIGERATOR",
    "AIR_CONDITIONER",
    "TV",
    "MISC",
]

Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Duration = Annotated[
    str, Field(min_length=3, max_length=40, examples=["PT5M"], json_schema_extra={"format": "duration"})
]
RatedPower = Annotated[float, Field(gt=0, le=1e9)]


class DeviceBody(WireModel):
    """What a client sends to create or replace a device.

    `id` is given by the service: on creation it is ignored, on replacement it must be that of the path (or absent, null
    or 0). Of the fields beside the original's, those that are absent take their defaults on creation and stay as they
    are on replacement; null clears `ratedPower`, `parentId` and `silentAfter`, and is like absent for the others.
    """

    id: Annotated[int, Field(ge=0, le=MAX_ID)] | None = None
    name: Annotated[PrintableText, Field(min_length=1, max_length=200)]
    type: DeviceType
    location: Annotated[PrintableText, Field(max_length=200)] | None = None
    user_id: Id
    kind: Kind | None = None
    direction: Direction | None = None
    max_hold: Duration | None = None
    rated_power: RatedPower | None = None
    parent_id: Id | None = None
    silent_after: Duration | None = None


class DeviceAnswer(WireAnswer):
    """A device. The version is in the ETag.

    `maxHold` is how long a power value holds at most; `ratedPower` is what the device can draw at most; with a
    `parentId` it is a sub-meter of that device and not counted twice; without `silentAfter` its silence is never
    reported.
    """

    id: int
    name: str
    type: str
    location: str
    user_id: int
    kind: Kind
    direction: Direction
    max_hold: str
    rated_power: float | None
    parent_id: int | None
    silent_after: str | None


class DeviceItem(DeviceAnswer):
    """A device in a list; `retiredAt` is null while it is in use."""

    retired_at: datetime | None


class DevicePage(WireAnswer):
    """A page of devices in order of id; `next` is the cursor of the following page, or null."""

    items: list[DeviceItem]
    next: str | None
