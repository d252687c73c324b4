"""A reading as it is stored, and the rules of its device."""

from collections.abc import Collection
from typing import Final, Literal, NamedTuple

import msgspec

from energy_tracker.kit.ids import derived_event_key

Kind = Literal["interval", "register", "power"]
Direction = Literal["import", "export"]

KINDS: Final[tuple[Kind, ...]] = ("interval", "register", "power")


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class LogPosition(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where in the log a reading came from."""

    topic: str
    partition: int
    offset: int


class Reading(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One raw reading; never changed once it is stored.

    `amount` is in the unit of `kind`: kWh since the previous reading (interval), cumulative kWh (register), W (power).
    `time_ms`, `since_ms` and `received_ms` are ms since 1970. `direction` is None where the sender left it to the
    device.
    Readings of a device are ordered by (`time_ms`, `key`). `given_key` is the event id that came along
    (`kit.ids.event_key`); where none did, `key` follows from the content, and is worked out for who asks: of most
    readings nobody does. `key_follows` says that a given one was found to be the one that the content gives.
    `source` is known of one that has just come; whether a store keeps it is its own affair.
    """

    device_id: int
    time_ms: int
    given_key: bytes | None = msgspec.field(name="key")
    kind: Kind
    amount: float
    direction: Direction | None = None
    since_ms: int | None = None
    received_ms: int = 0
    channel: str = ""
    source: LogPosition | None = None
    key_follows: bool = False

    @property
    def key(self) -> bytes:
        """The event id, as `kit.ids.event_key` has it."""
        return self._key_of_content() if self.given_key is None else self.given_key

    @property
    def chosen_key(self) -> bytes | None:
        """The event id where it is one that the content does not give."""
        return None if self.key_follows else self.given_key

    @property
    def identity(self) -> tuple[int, int, bytes]:
        """Device, time and key: what makes it the same reading."""
        return (self.device_id, self.time_ms, self.key)

    @property
    def facts(self) -> tuple[object, ...]:
        """All that a store keeps of it."""
        content = (self.kind, self.amount, self.direction, self.since_ms, self.channel)
        return (*self.identity, *content, self.received_ms)

    def _key_of_content(self) -> bytes:
        since_us = None if self.since_ms is None else self.since_ms * 1000
        return derived_event_key(
            self.device_id,
            self.time_ms * 1000,
            self.kind,
            self.direction or "import",
            self.amount,
            since_us,
            self.channel or None,
        )

    def __eq__(self, other: object) -> bool:
        """Tell whether all is the same, whether or not the key came along."""
        if not isinstance(other, Reading):
            return NotImplemented
        return self.facts == other.facts and self.source == other.source

    def __hash__(self) -> int:
        """Return the hash of the identity."""
        return hash(self.identity)


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
