"""A reading as it is stored, and the rules of its device."""

from collections.abc import Collection
from typing import Final, Literal, NamedTuple

import msgspec

Kind = Literal["interval", "register", "power"]
Direction = Literal["import", "export"]

KINDS: Final[tuple[Kind, ...]] = ("interval", "register", "power")


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class LogPosition(NamedTuple):
    """Where in the log a reading came from."""

    topic: str
    partition: int
    offset: int


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One raw reading; never changed once it is stored.

    `amount` is in the unit of `kind`: kWh since the previous reading (interval), cumulative kWh (register), W (power).
    `time_ms`, `since_ms` and `received_ms` are ms since 1970. `direction` is None where the sender left it to the
    device.
    Readings of a device are ordered by (`time_ms`, `key`); `key` is the event id (`kit.ids.event_key`).
    `source` is known of one that has just come; whether a store keeps it is its own affair. `key_follows` says that the
    key is the one that the content gives, where that was looked at.
    """

    device_id: int
    time_ms: int
    key: bytes
    kind: Kind
    amount: float
    direction: Direction | None = None
    since_ms: int | None = None
    received_ms: int = 0
    channel: str = ""
    source: LogPosition | None = None
    key_follows: bool = False

    @property
    def identity(self) -> tuple[int, int, bytes]:
        """Device, time and key: what makes it the same reading."""
        return (self.device_id, self.time_ms, self.key)


class Stream(NamedTuple):
    """What is derived on its own: one direction of one channel of one device."""

    device_id: int
    direction: Direction
    channel: str


class DeviceRules(msgspec.Struct, frozen=True):
    """What the registry says about how a device's readings are to be understood.

    Where readings of several kinds come, only one kind counts (`counted_kind`). `max_hold_ms` is how long a power
    value holds, `rated_power_w` what the device can draw at most (None: not known).
    """

    kind: Kind = "interval"
    direction: Direction = "import"
    max_hold_ms: int = 300_000
    rated_power_w: float | None = None


def stream_of(reading: Reading, rules: DeviceRules) -> Stream:
    """Return the stream that a reading belongs to."""
    return Stream(reading.device_id, reading.direction or rules.direction, reading.channel)


_BY_TRUST: Final[tuple[Kind, ...]] = ("register", "interval", "power")


def counted_kind(declared: Kind, present: Collection[Kind]) -> Kind:
    """Return the kind of a stream's readings that energy is derived from.

    The declared kind where there are any of it, otherwise the most trustworthy one that there is: a register
    cannot miss energy, an interval can be lost, a power is a sample. So a meter that sends its register and its power
    is not counted twice, and a device whose kind nobody declared is still counted.
    """
    if declared in present or not present:
        return declared
    return next(kind for kind in _BY_TRUST if kind in present)
