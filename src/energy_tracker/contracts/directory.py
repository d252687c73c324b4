"""What user-service and device-service tell the others: versioned entries with tombstones.

`GET /api/v1/user/changes?after=VERSION` and `GET /api/v1/device/changes?after=VERSION` answer
`{"items": [entry, …], "version": V, "more": bool}` in order of version: the newest state of every
entry changed since. The next call asks `after=V`. Versions count up over all entries of a service.
"""

import msgspec

from energy_tracker.contracts.readings import Direction, Kind


class DirectoryUser(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A user (a home) as the other services need it; `deleted` marks a tombstone, whose personal fields are empty."""

    id: int
    version: int
    deleted: bool = False
    name: str = ""
    surname: str = ""
    email: str = ""
    alerting: bool = False
    energy_alerting_threshold: float | None = None
    time_zone: str = "UTC"


class Assignment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who owns a device, and what it is a sub-meter of, from an instant on (ms since 1970; null: since ever)."""

    from_ms: int | None = None
    user_id: int
    parent_id: int | None = None


class DirectoryDevice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A device as the other services need it.

    `assignments` are in order of time, the first from ever; `max_hold_ms` and `silent_after_ms` in ms, `rated_power_w`
    in W. `retired_at_ms` marks a retired device: its history stays. `erased` marks one whose owner was deleted: its
    data goes.
    """

    id: int
    version: int
    name: str = ""
    type: str = "MISC"
    location: str = ""
    user_id: int
    parent_id: int | None = None
    assignments: tuple[Assignment, ...] = ()
    kind: Kind = "interval"
    direction: Direction = "import"
    max_hold_ms: int = 300_000
    rated_power_w: float | None = None
    silent_after_ms: int | None = None
    created_at_ms: int = 0
    retired_at_ms: int | None = None
    erased: bool = False


class UserChanges(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the user directory's changes."""

    items: tuple[DirectoryUser, ...]
    version: int
    more: bool = False


class DeviceChanges(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the device directory's changes."""

    items: tuple[DirectoryDevice, ...]
    version: int
    more: bool = False
