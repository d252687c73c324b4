"""What is unusual in a home, and how it wants to be watched: answers and bodies of usage-service."""

from typing import Annotated

import msgspec
from pydantic import Field

from energy_tracker.contracts.device import Id
from energy_tracker.contracts.readings import Rule
from energy_tracker.kit.wire import WireModel


class Chart(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was seen over `[from, to)` beside what was expected, in `unit`.

    What was usual lies between `usualLow` and `usualHigh`. `past` are the values of the days before, `recent` those of
    the days that were judged; for the measure `shape` they are the 24 usual hours and the 24 that were seen, in W.
    """

    measure: str
    unit: str
    from_: str = msgspec.field(name="from")
    to: str
    seen: float
    expected: float
    usual_low: float
    usual_high: float
    past: tuple[float, ...]
    recent: tuple[float, ...]


class UnusualUse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One episode of unusual use of a device, or of the home (`deviceId` null), and how it is known.

    It goes on since `since`, was known at `decidedAt`, and has ended at `until` (null: it has not). `score` is how
    clear it is, 100 being the least that is looked at. `held`: it was not told, since the notices of the month were
    for what is more important. `normal`: somebody has said that this is normal.
    """

    id: str
    kind: str
    device_id: int | None
    device_name: str | None
    message: str
    since: str
    decided_at: str
    until: str | None
    score: int
    extra_power_w: float
    extra_kwh_a_month: float
    held: bool
    normal: bool
    chart: Chart


class UnusualAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/usage/{userId}/unusual`: newest first. `judgedUntil` is how far the home was looked at."""

    user_id: int
    judged_until: str | None
    items: tuple[UnusualUse, ...]


class WatchAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET` and `PUT /api/v1/usage/{userId}/watch`: how a home is watched, and the limit of its months."""

    user_id: int
    notices_a_month: int
    muted_device_ids: tuple[int, ...]
    month_limit_kwh: float | None = None


class WatchBody(WireModel):
    """`PUT /api/v1/usage/{userId}/watch`: at most so many notices in 30 days, and devices that are not watched.

    With `monthLimitKwh` it is told when a month will use more; null takes the limit away, absent leaves it as it is.
    """

    notices_a_month: Annotated[int, Field(ge=0, le=100)]
    muted_device_ids: Annotated[list[Id], Field(max_length=1_000, default_factory=list)]
    month_limit_kwh: Annotated[float | None, Field(gt=0, le=1e6)] = None


class RehearsedEpisode(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An episode as it would have been: when it would have opened, and ended (null: not within the range)."""

    device_id: int | None
    device_name: str | None
    kind: str | None
    opened_at: str
    ended_at: str | None
    message: str
    held: bool = False


class RehearsalAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`GET /api/v1/usage/{userId}/rehearsal`: what a rule would have told over `[from, to)`, and in how many mails."""

    user_id: int
    rule: Rule
    from_: str = msgspec.field(name="from")
    to: str
    episodes: tuple[RehearsedEpisode, ...]
    mails: int
