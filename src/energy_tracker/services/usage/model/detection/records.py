"""A household as it is stored: an entry for the home and one for each device, each of at most 16 KiB."""

from collections.abc import Mapping
from typing import Final

import msgspec

from energy_tracker.services.usage.model.detection.household import HOME, NOTICES_A_MONTH, Household, Judged
from energy_tracker.services.usage.model.detection.state import State, StateEncoder, decode

SETTINGS: Final = -1
"""Stands for what a home wants of its watching, where a device's id would be."""


LATE: Final = -2
"""Stands for from when on a home is to be judged again, where a device's id would be."""

OUTDOOR: Final = -3
"""Stands for the outdoor temperatures at a home, where a device's id would be."""

NEVER_MS: Final = 2**53


class WatchSettings(msgspec.Struct, frozen=True, rename="camel"):
    """What a home wants: at most so many notices in 30 days, devices that are not to be watched, a limit of a month."""

    notices_a_month: int = NOTICES_A_MONTH
    muted: tuple[int, ...] = ()
    month_limit_kwh: float | None = None


class _Home(msgspec.Struct, frozen=True, array_like=True):
    through_ms: int
    home: State
    first_ms: dict[int, int]
    judged: tuple[Judged, ...]
    normal: tuple[tuple[int, int], ...] = ()
    again_until_ms: int = 0


class _EncodedHome(msgspec.Struct, frozen=True, array_like=True):
    """The same, its state as bytes."""

    through_ms: int
    home: msgspec.Raw
    first_ms: dict[int, int]
    judged: tuple[Judged, ...]
    normal: tuple[tuple[int, int], ...]
    again_until_ms: int


class _Judged(msgspec.Struct, frozen=True, array_like=True):
    through_ms: int


_judged = msgspec.msgpack.Decoder(_Judged)
_home = msgspec.msgpack.Decoder(_Home)
_settings = msgspec.json.Decoder(WatchSettings)
_outdoor = msgspec.msgpack.Decoder(dict[int, int])


def entries_of(household: Household, encoder: StateEncoder | None = None) -> dict[int, bytes]:
    """Return the entries of a household, by device; `encoder` knows what it encoded of it before."""
    encoder = encoder or StateEncoder()
    record = _EncodedHome(
        household.through_ms,
        encoder.raw(HOME, household.home),
        dict(household.first_ms),
        household.judged,
        household.normal,
        household.again_until_ms,
    )
    entries = {HOME: msgspec.msgpack.encode(record)}
    return entries | {device_id: encoder.encode(device_id, state) for device_id, state in household.devices.items()}


def household_of(entries: Mapping[int, bytes]) -> Household | None:
    """Return the household that was stored; None where there is none."""
    if HOME not in entries:
        return None
    record = _home.decode(entries[HOME])
    devices = {device_id: decode(entries[device_id]) for device_id in record.first_ms if device_id in entries}
    return Household(
        record.through_ms,
        record.home,
        devices,
        record.first_ms,
        record.judged,
        record.normal,
        record.again_until_ms,
    )


def judged_until(entries: Mapping[int, bytes]) -> int:
    """Return up to when a home is judged, in ms since 1970; 0 where it is not."""
    try:
        return _judged.decode(entries[HOME]).through_ms if HOME in entries else 0
    except msgspec.DecodeError:
        return 0  # whoever judges it says so


def late_of(entries: Mapping[int, bytes]) -> int:
    """Return from when on a home is to be judged again, in ms since 1970; `NEVER_MS` where it is not."""
    return int(entries[LATE]) if LATE in entries else NEVER_MS


def late_entry(from_ms: int) -> bytes:
    """Return the entry of a home that is to be judged again from an instant on."""
    return str(from_ms).encode()


def settings_of(entries: Mapping[int, bytes]) -> WatchSettings:
    """Return what a home wants; as delivered, where it has said nothing."""
    return _settings.decode(entries[SETTINGS]) if SETTINGS in entries else WatchSettings()


def outdoor_of(entries: Mapping[int, bytes]) -> dict[int, int]:
    """Return the outdoor temperatures that are known: tenths of a degree Celsius, by the ordinal numbers of days."""
    return _outdoor.decode(entries[OUTDOOR]) if OUTDOOR in entries else {}


def outdoor_entry(outdoor: Mapping[int, int], *, most: int) -> bytes:
    """Return the entry of the newest outdoor temperatures, of so many days at most."""
    return msgspec.msgpack.encode(dict(sorted(outdoor.items())[-most:]))


def settings_entry(settings: WatchSettings) -> bytes:
    """Return the entry of what a home wants."""
    return msgspec.json.encode(settings)
