"""What a home was like at the last midnights (UTC), kept to judge it again from there when readings come late.

The copies lie beside the states that they are of, under numbers below zero where a device's id would be.
"""

import zlib
from collections.abc import Mapping
from typing import Final

import msgspec

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.usage.model.detection.household import HOME, Household, Judged
from energy_tracker.services.usage.model.detection.records import entries_of, household_of
from energy_tracker.services.usage.model.detection.state import State

COPIES: Final = 2
"""Two midnights: what comes up to a day late changes all that it would have changed in time."""

_FIRST: Final = -4


def copy_key(device_id: int, number: int) -> int:
    """Return where the copy with a number, of a device or of the home, stands."""
    return _FIRST - COPIES * device_id - number


def device_of(key: int) -> int | None:
    """Return the device whose state, or a copy of it, stands under a key; None where it is about the home."""
    device_id = (_FIRST - key) // COPIES if key <= _FIRST else key
    return device_id if device_id > HOME else None


def keys_of(device_id: int) -> list[int]:
    """Return where all that is known of a device stands."""
    return [device_id, *(copy_key(device_id, number) for number in range(COPIES))]


def copy_of(household: Household, entries: Mapping[int, bytes]) -> dict[int, bytes | None]:
    """Return what is to be stored to keep a home as it is now, in place of the oldest of the copies in `entries`."""
    number = household.through_ms // MS_PER_DAY % COPIES
    judged = [one for one in household.judged if not one.before or one.decided_ms < household.through_ms]
    household = msgspec.structs.replace(household, judged=tuple(judged), again_until_ms=0)
    of_now = {copy_key(key, number): zlib.compress(entry) for key, entry in entries_of(household).items()}
    return {key: None for key in entries if _number_of(key) == number} | of_now


def without_copies(entries: Mapping[int, bytes]) -> dict[int, bytes | None]:
    """Return what is to be stored to forget the copies."""
    return {key: None for key in entries if _number_of(key) is not None}


def gone_back(known: Household, entries: Mapping[int, bytes], late_ms: int) -> Household | None:
    """Return a home as it was before an instant, or else at the oldest of the copies; None where none is older than it.

    What people called normal stays normal, what was told stays told, and for how long devices were not heard of stays
    known, even though their readings are there by now.
    """
    copies = [copy for number in range(COPIES) if (copy := _copy(entries, number)) is not None]
    copies = sorted((copy for copy in copies if copy.through_ms < known.through_ms), key=lambda copy: copy.through_ms)
    if not copies:
        return None
    copy = next((each for each in reversed(copies) if each.through_ms <= late_ms), copies[0])
    return msgspec.structs.replace(
        copy,
        home=_remembering(copy.home, known.home),
        devices={key: _remembering(state, known.devices.get(key)) for key, state in copy.devices.items()},
        judged=(*copy.judged, *_told_since(copy, known)),
        normal=known.normal,
        again_until_ms=max(known.through_ms, known.again_until_ms),
    )


def _told_since(copy: Household, known: Household) -> list[Judged]:
    """Return what was told of a home since it was as in the copy."""
    old, told = list(copy.judged), list[Judged]()
    for one in known.judged:
        if one in old:
            old.remove(one)
        elif one.told:
            told.append(msgspec.structs.replace(one, before=True))
    return told


def _copy(entries: Mapping[int, bytes], number: int) -> Household | None:
    return household_of(
        {
            (_FIRST - key) // COPIES: zlib.decompress(entry)
            for key, entry in entries.items()
            if _number_of(key) == number
        }
    )


def _number_of(key: int) -> int | None:
    return (_FIRST - key) % COPIES if key <= _FIRST else None


def _remembering(state: State, known: State | None) -> State:
    """Return an earlier state of a device that still knows what is not about its readings."""
    if known is None:
        return state
    gaps = [day.longest_gap for day in known.history if day.date >= state.today.date]
    longest_gap = max(*gaps, known.today.longest_gap, known.runs.gap, state.today.longest_gap)
    today = msgspec.structs.replace(state.today, longest_gap=longest_gap)
    return msgspec.structs.replace(state, today=today, taught=known.taught)
