"""Answers of usage-service (msgspec: a year of hours is 8 760 buckets a device)."""

from typing import Literal

import msgspec

Resolution = Literal["hour", "day", "week", "month"]


class UsageDevice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A device in the contract's usage answer.

    `energy_consumed` is kWh imported in the window, `energy_exported` kWh exported; null where nothing was read.
    """

    id: int
    name: str
    type: str
    location: str
    user_id: int
    energy_consumed: float | None
    energy_exported: float | None = None


class UsageAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/usage/{userId}?days=3`."""

    user_id: int
    devices: tuple[UsageDevice, ...]


class Bucket(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Energy of `[start, end)` (ISO-8601 in UTC), in kWh.

    `coverage` is the share of the whole bucket that was measured or estimated, 0 to 1. Without any reading it is 0 and
    the energies are null, never 0; a direction that was not measured is null by itself.
    `estimated_kwh` is the part of import and export together that was spread over more than an hour.
    """

    start: str
    end: str
    import_kwh: float | None
    export_kwh: float | None
    coverage: float
    estimated_kwh: float | None


class DeviceSeries(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The buckets of one device."""

    id: int
    name: str
    buckets: tuple[Bucket, ...]


class SeriesAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/usage/{userId}/series`; `total` leaves sub-meters out.

    `from` and `to` are those that were asked for, rounded outward to quarter-hours; the buckets tile them exactly.
    """

    user_id: int
    time_zone: str
    resolution: Resolution
    from_: str = msgspec.field(name="from")
    to: str
    devices: tuple[DeviceSeries, ...]
    total: tuple[Bucket, ...]


class StoredReading(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A raw reading as stored; exactly one of the three values is set."""

    device_id: int
    timestamp: str
    event_id: str
    kind: str
    direction: str
    energy_consumed: float | None = None
    register_kwh: float | None = None
    power_w: float | None = None
    since: str | None = None
    received_at: str | None = None
    channel: str | None = None


class ReadingsAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/usage/{userId}/readings`: a page; `next` is the cursor of the following one, or null."""

    items: tuple[StoredReading, ...]
    next: str | None


class LedgerAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/ledger`: received = accepted + duplicate + rejected; accepted = stored + queued + dead-lettered."""

    received: int
    accepted: int
    duplicate: int
    rejected: int
    stored: int
    queued: int
    dead_lettered: int
    balanced: bool


class ExplainedStep(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One step: energy of `[start, end)`, spread evenly, from the amounts of readings (in `unit`), and why.

    `within_kwh` (and `within_mj`, exactly) is the part that lies in the span that was asked for: they add up to it.
    """

    start: str
    end: str
    mark: str
    why: str
    amount_before: float | None
    amount: float | None
    unit: str
    energy_kwh: float
    within_kwh: float
    within_mj: int
    estimated: bool


class ExplainedStream(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One direction (and channel) of a device; energy is not taken from its readings of the kinds `not_counted`."""

    direction: str
    channel: str | None
    kind: str
    not_counted: tuple[str, ...]
    energy_kwh: float
    steps: tuple[ExplainedStep, ...]
    readings: tuple[StoredReading, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/usage/{userId}/explain`: the figure of `[from, to)` and what made it."""

    user_id: int
    device_id: int
    from_: str = msgspec.field(name="from")
    to: str
    import_kwh: float | None
    export_kwh: float | None
    streams: tuple[ExplainedStream, ...]


class RebuildAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`POST /actuator/rebuild`: what was derived again from the raw readings, and how long it took."""

    devices: int
    readings: int
    seconds: float


class DeadLetterBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Something that was on `energy-usage` and could not be kept: why, since when, and as it came.

    `offset` names it; it came from `originOffset` of a partition of `originTopic`. `original` is its text, with U+FFFD
    where its bytes are none.
    """

    offset: int
    reason: str
    dead_since: str
    origin_offset: int
    original: str
    origin_topic: str = "energy-usage"
    origin_partition: int = 0


class DeadLettersAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /actuator/deadletters?after&limit`: a page, oldest first; `next` is the `after` of the following one."""

    items: tuple[DeadLetterBody, ...]
    next: int | None


class ReplayAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`POST /actuator/deadletters/replay`: how many were sent through the log again."""

    replayed: int
