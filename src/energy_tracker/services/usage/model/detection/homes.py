"""A home and its devices: what a device's finding explains is not told of the home as well."""

from collections.abc import Collection, Mapping
from typing import Final

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.usage.model.detection.findings import Finding, Kind
from energy_tracker.services.usage.model.detection.state import State

NEAR_MS: Final = 2 * MS_PER_DAY
"""A home is judged more slowly than a device: what began within two days of it may be the same."""

EXPLAINS_PERCENT: Final = 50
"""Devices explain a home's finding when they draw at least this share of what it draws beyond the usual."""

LEAST_AWAY: Final = 3
AWAY_PERCENT: Final = 70
A_DAY: Final = 96

ABOUT_READINGS: Final = frozenset({Kind.SILENT, Kind.FROZEN, Kind.SPIKE, Kind.REGISTER_BACK})
"""Kinds that tell of the measurement, not of what is measured."""


def explained_by(home: Finding, devices: Mapping[int, Collection[Finding]]) -> tuple[int, ...]:
    """Return the devices whose findings explain the one of their home; empty where they do not.

    `devices` has the last transition of each device's findings, by device id. What is wrong with the readings of a
    device explains what is wrong with the home's. Otherwise those that began about when the home's did explain it,
    where they come to half of what the home draws beyond the usual; a difference in hours alone, without more energy,
    is explained by any of them.
    """
    near = {
        device_id: [
            finding
            for finding in findings
            if abs(finding.since_ms - home.since_ms) <= NEAR_MS
            and (finding.kind in ABOUT_READINGS) == (home.kind in ABOUT_READINGS)
        ]
        for device_id, findings in devices.items()
    }
    extra_mw = {
        device_id: max((finding.extra_mw for finding in findings), key=abs)
        for device_id, findings in near.items()
        if findings
    }
    if home.kind in ABOUT_READINGS or not home.extra_mw:
        return tuple(sorted(extra_mw))
    alike = {device_id: extra for device_id, extra in extra_mw.items() if extra * home.extra_mw > 0}
    if abs(sum(alike.values())) * 100 < abs(home.extra_mw) * EXPLAINS_PERCENT:
        return ()
    return tuple(sorted(alike))


def is_away(devices: Collection[State]) -> bool:
    """Return whether nobody seems to be at home: most of what people switch on and off has rested for a day.

    Then a device that is not used is no dead device: `observe` is told. Asked of the states of a home's devices after
    the same quarter-hour, the one before that which is observed, so that a replay comes to the same.
    """
    switched = [
        state
        for state in devices
        if state.reference.days
        and 0 < state.reference.rest_usual < A_DAY
        and state.reference.on_mw > state.reference.floor
    ]
    resting = sum(state.runs.rest >= A_DAY for state in switched)
    return len(switched) >= LEAST_AWAY and resting * 100 >= len(switched) * AWAY_PERCENT
