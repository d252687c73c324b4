"""Reading a transition of an episode from the bytes of a message."""

import re
from dataclasses import dataclass
from datetime import datetime

import msgspec

from energy_tracker.contracts.readings import EpisodeTransition
from energy_tracker.kit.instants import to_ms

SCHEMA_VERSION = 1
MAX_TEXT = 4_000
_MAX_INT64 = 2**63 - 1
_MAX_VERSION = 2**31 - 1
_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
_RULE = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)


class NotATransition(ValueError):
    """The message is not a transition of an episode; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of an episode, checked. `ended_at_ms` is set exactly where the episode has ended."""

    episode_id: str
    version: int
    user_id: int
    rule: str
    opened_at_ms: int
    message: str
    notify: bool
    alerting: bool
    ended_at_ms: int | None = None
    email: str | None = None
    user_name: str | None = None
    time_zone: str | None = None
    device_id: int | None = None
    device_name: str | None = None
    threshold_kwh: float | None = None
    energy_consumed_kwh: float | None = None


_decoder = msgspec.json.Decoder(EpisodeTransition)


def read_transition(value: bytes) -> Transition:
    """Return the transition that a message holds. Raises `NotATransition`."""
    try:
        wire = _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message = f"not an episode transition: {error}"
        raise NotATransition(message[:500]) from None
    _check(wire)
    return Transition(
        episode_id=wire.id,
        version=wire.version,
        user_id=wire.user_id,
        rule=wire.rule,
        opened_at_ms=_instant("openedAt", wire.opened_at),
        ended_at_ms=_instant("endedAt", wire.ended_at) if wire.state == "ended" else None,
        message=wire.message,
        notify=wire.notify,
        alerting=wire.alerting,
        email=wire.email,
        user_name=wire.user_name,
        time_zone=wire.time_zone,
        device_id=wire.device_id,
        device_name=wire.device_name,
        threshold_kwh=wire.threshold_kwh,
        energy_consumed_kwh=wire.energy_consumed_kwh,
    )


def _check(wire: EpisodeTransition) -> None:
    complaint = None
    if wire.schema_version != SCHEMA_VERSION:
        complaint = f"schemaVersion {wire.schema_version} is not known, only {SCHEMA_VERSION}"
    elif _ID.fullmatch(wire.id) is None:
        complaint = "id is not 1 to 128 printable ASCII characters"
    elif _RULE.fullmatch(wire.rule) is None:
        complaint = "rule is not a name such as high-usage"
    elif not 0 <= wire.version <= _MAX_VERSION:
        complaint = f"version is not between 0 and {_MAX_VERSION}"
    elif not 0 <= wire.user_id <= _MAX_INT64 or not 0 <= (wire.device_id or 0) <= _MAX_INT64:
        complaint = "userId or deviceId is not between 0 and 2^63-1"
    elif max(len(text or "") for text in (wire.message, wire.email, wire.user_name, wire.device_name)) > MAX_TEXT:
        complaint = f"a text is longer than {MAX_TEXT} characters"
    if complaint is not None:
        raise NotATransition(complaint)


def _instant(field: str, text: str | None) -> int:
    try:
        instant = datetime.fromisoformat(text or "")
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        message = f"{field} is not an ISO-8601 instant with an offset: {(text or '')[:40]!r}"
        raise NotATransition(message)
    return to_ms(instant)
