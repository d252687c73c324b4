"""Devices, whose they were when, and what makes one valid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum

from energy_tracker.contracts.device import DeviceType
from energy_tracker.contracts.readings import Direction, Kind
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, InvalidDuration, parse_duration
from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.kit.text import folded

DEFAULT_MAX_HOLD_MS = 5 * MS_PER_MINUTE
LONGEST_HOLD_MS = MS_PER_DAY
SHORTEST_SILENCE_MS = MS_PER_MINUTE
LONGEST_SILENCE_MS = 366 * MS_PER_DAY

_MILLISECOND = timedelta(milliseconds=1)


class Keep(Enum):
    """Stands for a field that a draft leaves out: it stays as it is, or takes its default."""

    KEEP = "keep"


KEEP = Keep.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDraft:
    """What somebody wants a device to be. None of `kind`, `direction` and `max_hold` is like `KEEP` of the others.

    Durations are ISO-8601 as they came, the rated power in W.
    """

    name: str
    type: DeviceType
    location: str
    user_id: int
    kind: Kind | None = None
    direction: Direction | None = None
    max_hold: str | None = None
    rated_power_w: float | Keep | None = KEEP
    parent_id: int | Keep | None = KEEP
    silent_after: str | Keep | None = KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDetails:
    """What is known of a device now."""

    name: str
    type: DeviceType
    location: str
    user_id: int
    kind: Kind = "interval"
    direction: Direction = "import"
    max_hold_ms: int = DEFAULT_MAX_HOLD_MS
    rated_power_w: float | None = None
    parent_id: int | None = None
    silent_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """Whose a device is, and what it is a sub-meter of, from an instant on (ms since 1970; None: since ever)."""

    from_ms: int | None
    user_id: int
    parent_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A stored device. `assignments` are in order of time, the first since ever, the last as `details` have it.

    One with `retired_at_ms` is out of use, and its history stays; of one that is `erased` nothing is to stay.
    """

    id: int
    version: int
    details: DeviceDetails
    assignments: tuple[Assignment, ...]
    created_at_ms: int
    retired_at_ms: int | None = None
    erased: bool = False


def merged_details(draft: DeviceDraft, current: DeviceDetails | None) -> DeviceDetails:
    """Return the draft as details; what it leaves out is taken from `current`, or by default.

    A device that goes to another user leaves its parent behind, unless the draft names one.
    Raises `InvalidRequest`, which names every field that is wrong.
    """
    errors: list[FieldError] = []
    if not draft.name.strip():
        errors.append(FieldError("/name", "must not be blank"))
    kept = current or DeviceDetails(name="", type="MISC", location="", user_id=draft.user_id)
    max_hold_ms = kept.max_hold_ms
    if draft.max_hold is not None:
        max_hold_ms = _duration_ms(draft.max_hold, "/maxHold", 1, LONGEST_HOLD_MS, errors)
    silent_after_ms = None if draft.silent_after is None else kept.silent_after_ms
    if isinstance(draft.silent_after, str):
        silent_after_ms = _duration_ms(
            draft.silent_after, "/silentAfter", SHORTEST_SILENCE_MS, LONGEST_SILENCE_MS, errors
        )
    if errors:
        message = f"Not acceptable: {', '.join(error.pointer for error in errors)}."
        raise InvalidRequest(message, errors=errors)
    kept_parent_id = kept.parent_id if draft.user_id == kept.user_id else None
    return DeviceDetails(
        name=draft.name,
        type=draft.type,
        location=draft.location,
        user_id=draft.user_id,
        kind=draft.kind or kept.kind,
        direction=draft.direction or kept.direction,
        max_hold_ms=max_hold_ms,
        rated_power_w=kept.rated_power_w if isinstance(draft.rated_power_w, Keep) else draft.rated_power_w,
        parent_id=kept_parent_id if isinstance(draft.parent_id, Keep) else draft.parent_id,
        silent_after_ms=silent_after_ms,
    )


def _duration_ms(text: str, pointer: str, least_ms: int, most_ms: int, errors: list[FieldError]) -> int:
    try:
        duration_ms = parse_duration(text) // _MILLISECOND
    except InvalidDuration as error:
        errors.append(FieldError(pointer, str(error)))
        return least_ms
    if not least_ms <= duration_ms <= most_ms:
        least = "more than PT0S" if least_ms == 1 else f"at least PT{least_ms // MS_PER_MINUTE}M"
        errors.append(FieldError(pointer, f"must be {least} and at most P{most_ms // MS_PER_DAY}D"))
    return duration_ms


def check_parent(details: DeviceDetails, device_id: int | None, in_use: Iterable[Device]) -> None:
    """Check that the parent is another device in use of the same user, and not below the device itself.

    `in_use` are the user's devices in use; `device_id` is None for a device that is not stored yet.
    Raises `InvalidRequest`.
    """
    parents: Mapping[int, int | None] = {device.id: device.details.parent_id for device in in_use}
    ancestor = details.parent_id
    if ancestor is None:
        return
    if ancestor == device_id:
        raise _bad_parent("must not be the device itself")
    if ancestor not in parents:
        raise _bad_parent("must be a device in use of the same user")
    passed: set[int] = set()
    while ancestor is not None and ancestor not in passed:
        passed.add(ancestor)
        ancestor = parents.get(ancestor)
        if ancestor is not None and ancestor == device_id:
            raise _bad_parent("must not be a device that is below this one")


def _bad_parent(sentence: str) -> InvalidRequest:
    return InvalidRequest("Not acceptable: /parentId.", errors=[FieldError("/parentId", sentence)])


def with_details(device: Device, details: DeviceDetails, now_ms: int) -> Device:
    """Return the device with other details; another owner or parent holds from now on."""
    last = device.assignments[-1]
    if (last.user_id, last.parent_id) == (details.user_id, details.parent_id):
        return replace(device, details=details)
    if last.from_ms is not None and last.from_ms >= now_ms:
        latest = replace(last, user_id=details.user_id, parent_id=details.parent_id)
        return replace(device, details=details, assignments=(*device.assignments[:-1], latest))
    latest = Assignment(now_ms, details.user_id, details.parent_id)
    return replace(device, details=details, assignments=(*device.assignments, latest))


def without_parent(device: Device, now_ms: int) -> Device:
    """Return the device as one that is no sub-meter from now on."""
    return with_details(device, replace(device.details, parent_id=None), now_ms)


def after_owner_deleted(device: Device, now_ms: int) -> Device:
    """Return what stays of a device whose owner was deleted: no texts, out of use.

    It is erased, unless it was somebody else's before: that part of its history is theirs.
    """
    shared = any(assignment.user_id != device.details.user_id for assignment in device.assignments)
    return replace(
        device,
        details=replace(device.details, name="", location=""),
        retired_at_ms=now_ms if device.retired_at_ms is None else device.retired_at_ms,
        erased=not shared,
    )


def search_key(details: DeviceDetails) -> str:
    """Return the text that a search looks in."""
    return folded(f"{details.name} {details.location} {details.type}")
