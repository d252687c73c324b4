"""What the door says, and whom it turns away."""

from dataclasses import dataclass
from enum import Enum

from energy_tracker.kit.problems import InvalidRequest, Overloaded, Problem


class Verdict(Enum):
    """What became of a reading at the door."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A device takes no readings of `from_ms` (ms since 1970) or later: it was retired; with None it was erased."""

    from_ms: int | None


class EventIdTaken(Problem):
    """Another reading of this device has this event id."""

    status = 409
    title = "The event id belongs to another reading"


class DeviceRetired(InvalidRequest):
    """The device was retired before the time of the reading."""

    title = "The device is retired"


class DeviceErased(Problem):
    """The device and its data were erased."""

    status = 410
    title = "The device is gone"


class TooMuchQueued(Overloaded):
    """usage-service is too far behind to take more."""

    title = "Too many readings wait to be stored"
