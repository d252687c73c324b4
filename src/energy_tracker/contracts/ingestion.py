"""Bodies of ingestion-service (msgspec: these are on the hot path)."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from energy_tracker.contracts.readings import Direction

MAX_INTERVAL_KWH = 1e6
MAX_REGISTER_KWH = 1e9
MAX_POWER_W = 1e9
MAX_BATCH_ITEMS = 10_000

DeviceId = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
IntervalKwh = Annotated[float, msgspec.Meta(ge=0, le=MAX_INTERVAL_KWH)]
RegisterKwh = Annotated[float, msgspec.Meta(ge=0, le=MAX_REGISTER_KWH)]
PowerW = Annotated[float, msgspec.Meta(ge=0, le=MAX_POWER_W)]
EventId = Annotated[str, msgspec.Meta(pattern=r"^[\x20-\x7e]{1,64}\Z", max_length=64)]

Channel = Annotated[str, msgspec.Meta(pattern=r"^[\x20-\x7e]{1,64}\Z", max_length=64)]


class ReadingBody(
    msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """One reading as it is sent: exactly one of the three values.

    `energy_consumed` is kWh since the device's previous reading, or since `since`; `register_kwh` is cumulative;
    `power_w` holds until the next reading. `direction` is `import` where it is absent, unless the device says
    otherwise. `channel` names one of several meters in a device. Without an `event_id` the reading gets one that its
    content decides.
    """

    device_id: DeviceId
    timestamp: Instant
    energy_consumed: IntervalKwh | None = None
    register_kwh: RegisterKwh | None = None
    power_w: PowerW | None = None
    since: Instant | None = None
    direction: Direction | None = None
    event_id: EventId | None = None
    channel: Channel | None = None


ItemStatus = Literal["accepted", "duplicate", "rejected"]


class IngestionAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Answer to one reading, 201: it is on the disk, now (`accepted`) or already (`duplicate`)."""

    event_id: str
    status: Literal["accepted", "duplicate"]


class BatchItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What became of the reading at `index` of the batch; `problem` (RFC 9457) says why it was rejected."""

    index: int
    status: ItemStatus
    event_id: str | None = None
    problem: dict[str, Any] | None = None


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Answer to a batch, 202: received = accepted + duplicate + rejected."""

    received: int
    accepted: int
    duplicate: int
    rejected: int
    items: tuple[BatchItem, ...]


class ShellyItem(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One reading that a Shelly's status held."""

    channel: str
    kind: Literal["register", "power"]
    direction: Direction
    status: ItemStatus
    event_id: str | None = None
    problem: dict[str, Any] | None = None


class ShellyAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Answer to a Shelly's status, 201."""

    items: tuple[ShellyItem, ...]


class IngestionLedger(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /actuator/ledger?after=OFFSET`, in one snapshot: received = accepted + duplicate + rejected, ever since.

    `queued` is how many readings lie in records of `energy-usage` above the offset.
    """

    received: int
    accepted: int
    duplicate: int
    rejected: int
    queued: int


class SimulationStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`GET /api/v1/ingestion/simulation/status`; what was sent so far, and answered how."""

    running: bool
    sent: int = 0
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    failed: int = 0
