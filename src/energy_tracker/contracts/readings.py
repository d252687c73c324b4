"""Readings as they cross a wire (msgspec: these are on the hot path)."""

from typing import Annotated, Literal

import msgspec

Kind = Literal["interval", "register", "power"]
Direction = Literal["import", "export"]


class ReadingMessage(msgspec.Struct, omit_defaults=True, kw_only=True, rename="camel"):
    """One reading on `energy-usage`: the original's three fields and ours beside them.

    `timestamp` and `since` are ISO-8601 or integer ms since 1970 (a number below 1e11 is seconds: older Java
    producers). Exactly one of `energy_consumed` (kWh since the previous reading, or since `since`), `register_kwh`
    (cumulative) and `power_w` (W) is set. `event_id` is absent where it follows from the content (`kit.ids`), but
    always there in a message of one reading that a door has written: `event_id_follows` says there that nobody needs to
    look at it. `received_at` is ms since 1970. `direction` is absent where the sender did
    not say it. Fields that are not known are ignored.
    """

    device_id: int
    timestamp: int | float | str
    energy_consumed: float | None = None
    register_kwh: float | None = None
    power_w: float | None = None
    since: int | float | str | None = None
    direction: Direction | None = None
    event_id: str | None = None
    received_at: int | None = None
    channel: str | None = None
    event_id_follows: bool = False


class AlertMessage(msgspec.Struct, omit_defaults=True, kw_only=True, rename="camel"):
    """One opened episode on `energy-alerts`, in the original's shape: kWh of the rolling hour against the threshold."""

    user_id: int
    message: str
    threshold: float
    energy_consumed: float
    email: str
    id: str | None = None
    device_id: int | None = None
    rule: str | None = None
    opened_at: str | None = None


EpisodeState = Literal["open", "ended"]
Rule = Literal["high-usage", "silent-device", "unusual-use", "month-limit"]


class EpisodeTransition(msgspec.Struct, omit_defaults=True, kw_only=True, rename="camel"):
    """One change of an episode on `energy-alert-episodes`, keyed by user; `version` counts up within an episode.

    A transition carries all that a mail needs, so that alert-service asks nobody. Instants are ISO-8601 in UTC.
    `notify` is false for what is known too late to be news (readings that arrived more than an hour late), and for what
    is `held` back because a home's notices of the month are used up. `kind` and `extra_kwh_a_month` say what is
    unusual, where that is the rule.
    """

    schema_version: Annotated[int, msgspec.Meta(ge=1)] = 1
    id: str
    version: int
    user_id: int
    rule: str
    state: EpisodeState
    opened_at: str
    message: str
    notify: bool
    alerting: bool = True
    email: str | None = None
    user_name: str | None = None
    time_zone: str | None = None
    device_id: int | None = None
    device_name: str | None = None
    ended_at: str | None = None
    threshold_kwh: float | None = None
    energy_consumed_kwh: float | None = None
    kind: str | None = None
    extra_kwh_a_month: float | None = None
    held: bool = False
