"""What makes a reading acceptable, and what makes two of them the same."""

import msgspec

from energy_tracker.contracts.ingestion import ReadingBody
from energy_tracker.contracts.readings import ReadingMessage
from energy_tracker.kit.ids import derived_event_key, event_id_text, event_key
from energy_tracker.kit.instants import MS_PER_DAY, to_iso
from energy_tracker.kit.problems import FieldError, InvalidRequest

EARLIEST_MS = 946_684_800_000
"""2000-01-01T00:00Z: what is older was sent by a clock that was never set."""

MAX_AHEAD_MS = MS_PER_DAY
MAX_SINCE_MS = 366 * MS_PER_DAY

_US_PER_MS = 1_000
_US_PER_SECOND = 1_000_000


class InvalidReading(InvalidRequest):
    """The reading can be read, but it cannot be true or it lacks something."""

    title = "The reading is not valid"


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A valid reading at the door. `time_ms` is ms since 1970, rounded down.

    `key` is its event key; `digest` is the key that its content alone gives: the two are the same object (the door
    compares by `is`) unless the sender chose the event id. The message says its event id where that does not follow
    from what else is in it.
    """

    device_id: int
    time_ms: int
    key: bytes
    digest: bytes
    message: ReadingMessage

    @property
    def event_id(self) -> str:
        """The event id on the wire."""
        return self.message.event_id or event_id_text(self.key)


def judge(body: ReadingBody, *, now_ms: int) -> Candidate | InvalidReading:
    """Return the reading with its identity, or what is wrong with it; the types of its fields are right already.

    An absent direction counts as import in the derived id, and stays absent in the message.
    """
    instant_us = round(body.timestamp.timestamp() * _US_PER_SECOND)
    time_ms = instant_us // _US_PER_MS
    since = body.since
    energy_kwh, register_kwh, power_w = body.energy_consumed, body.register_kwh, body.power_w
    if energy_kwh is not None:
        kind, amount, one = "interval", energy_kwh, register_kwh is None and power_w is None
    elif register_kwh is not None:
        kind, amount, one = "register", register_kwh, power_w is None
    elif power_w is not None:
        kind, amount, one = "power", power_w, True
    else:
        kind, amount, one = "", 0.0, False
    if not one or not EARLIEST_MS <= time_ms <= now_ms + MAX_AHEAD_MS or since is not None:
        errors = _errors(body, time_ms, now_ms=now_ms, kind=kind if one else None)
        if errors:
            return invalid(errors)
    since_us = None if since is None else round(since.timestamp() * _US_PER_SECOND)
    direction = body.direction
    digest = derived_event_key(body.device_id, instant_us, kind, direction or "import", amount, since_us, body.channel)
    key, event_id = digest, body.event_id
    if event_id is not None and (key := event_key(event_id)) == digest:
        key, event_id = digest, None
    if event_id is None and (instant_us % _US_PER_MS or (since_us and since_us % _US_PER_MS)):
        event_id = event_id_text(digest)
    message = ReadingMessage(
        device_id=body.device_id,
        timestamp=time_ms,
        energy_consumed=energy_kwh,
        register_kwh=register_kwh,
        power_w=power_w,
        since=None if since_us is None else since_us // _US_PER_MS,
        direction=direction,
        event_id=event_id,
        received_at=now_ms,
        channel=body.channel,
    )
    return Candidate(body.device_id, time_ms, key, digest, message)


def key_of_message(message: ReadingMessage) -> bytes | None:
    """Return the event key of a message that a door has written, None for one that is of another form."""
    if message.event_id is not None:
        return event_key(message.event_id)
    since_ms, direction = message.since, message.direction or "import"
    if not isinstance(message.timestamp, int) or not isinstance(since_ms, int | None):
        return None
    amounts = {"interval": message.energy_consumed, "register": message.register_kwh, "power": message.power_w}
    kind, amount = next(((kind, amount) for kind, amount in amounts.items() if amount is not None), ("", 0.0))
    since_us = None if since_ms is None else since_ms * _US_PER_MS
    instant_us = message.timestamp * _US_PER_MS
    return derived_event_key(message.device_id, instant_us, kind, direction, amount, since_us, message.channel)


def invalid(errors: list[FieldError]) -> InvalidReading:
    """Return the problem that lists what is wrong, each with its field."""
    names = ", ".join(dict.fromkeys(error.pointer or "the reading" for error in errors))
    return InvalidReading(f"Not acceptable: {names[:300]}.", errors=errors)


def _errors(body: ReadingBody, time_ms: int, *, now_ms: int, kind: str | None) -> list[FieldError]:
    errors: list[FieldError] = []
    if kind is None:
        errors.append(FieldError("", "must have exactly one of energyConsumed, registerKwh and powerW"))
    if time_ms < EARLIEST_MS:
        errors.append(FieldError("/timestamp", f"must not be before {to_iso(EARLIEST_MS)}"))
    elif time_ms > now_ms + MAX_AHEAD_MS:
        errors.append(FieldError("/timestamp", f"must not be more than a day ahead of the time here, {to_iso(now_ms)}"))
    if body.since is not None:
        before_ms = time_ms - round(body.since.timestamp() * _US_PER_SECOND) // _US_PER_MS
        if kind is not None and kind != "interval":
            errors.append(FieldError("/since", "belongs to energyConsumed only"))
        if before_ms <= 0:
            errors.append(FieldError("/since", "must be before the timestamp"))
        elif before_ms > MAX_SINCE_MS:
            errors.append(FieldError("/since", "must be at most 366 days before the timestamp"))
    return errors
