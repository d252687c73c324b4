"""A home and its devices, judged quarter-hour by quarter-hour: what is found, and what is told of it."""

from collections.abc import Collection, Mapping
from datetime import tzinfo
from typing import Final, NamedTuple

import msgspec

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.detection.closing import home_quarter
from energy_tracker.services.usage.model.detection.detector import observe
from energy_tracker.services.usage.model.detection.findings import Finding
from energy_tracker.services.usage.model.detection.homes import explained_by, is_away
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.detection.state import State

HOME: Final = 0
"""Stands for the home itself where a device's id would be."""

NOTICES_A_MONTH: Final = 4
MONTH_MS: Final = 30 * MS_PER_DAY
_MONTHS_COMPARED: Final = 2
_ABSENT_QUARTERS: Final = 96
"""A device that was silent for so long is not waited for: the home is what the others draw."""


class Judged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A finding that was weighed against the budget: when, how important, and whether it was told."""

    decided_ms: int
    score: int
    told: bool


class Household(msgspec.Struct, frozen=True):
    """All that is known of a home: up to where it was judged, its own state and those of its devices."""

    through_ms: int
    """The quarter-hours before are judged."""
    home: State = State(is_home=True)
    devices: Mapping[int, State] = {}
    first_ms: Mapping[int, int] = {}
    """From when on each device was looked at."""
    judged: tuple[Judged, ...] = ()


class Found(NamedTuple):
    """A transition of a finding, of a device or of the home (`HOME`); `explained` by findings of these devices."""

    device_id: int
    finding: Finding
    explained: tuple[int, ...] = ()


def judge_quarter(
    household: Household,
    quarters: Mapping[int, QuarterHour],
    *,
    counted: Collection[int],
    muted: Collection[int],
    zone: tzinfo,
) -> tuple[Household, list[Found]]:
    """Take the next quarter-hour of a home; return what is known then, and what was found.

    `quarters` are those of its devices that were measured or heard of; `counted` are the devices that add up to the
    home (no sub-meters), `muted` those that are not to be watched. Where findings of devices explain one of the home,
    that is one cause, and said so.
    """
    start_ms = household.through_ms
    devices, first_ms = dict(household.devices), dict(household.first_ms)
    away = is_away(devices.values())
    found: list[Found] = []
    expected: list[QuarterHour] = []
    for device_id in sorted({*devices, *quarters}):
        quarter = quarters.get(device_id)
        state = devices.get(device_id, State())
        if quarter is None:
            quarter = QuarterHour(start_ms, 0, 0, readings=0)
        state, findings = observe(state, quarter, zone=zone, away=away)
        devices[device_id] = state
        first_ms.setdefault(device_id, start_ms)
        if device_id in counted and state.runs.gap < _ABSENT_QUARTERS:
            expected.append(quarter)
        if device_id not in muted:
            found += [Found(device_id, finding) for finding in findings]
    home, findings = observe(household.home, home_quarter(expected, start_ms=start_ms), zone=zone, away=away)
    causes = _findings_of(devices)
    found += [Found(HOME, finding, explained_by(finding, causes)) for finding in findings]
    after = Household(start_ms + MS_PER_QUARTER_HOUR, home, devices, first_ms, household.judged)
    return after, found


def weigh(household: Household, finding: Finding, *, notices_a_month: int) -> tuple[Household, bool]:
    """Return whether a finding that opens is to be told within the budget, and the household that remembers it.

    No more than `notices_a_month` are told in any 30 days, and only what is among the most important of the last
    60 days: where much is found, the bar rises by itself.
    """
    recent = [one for one in household.judged if one.decided_ms > finding.decided_ms - _MONTHS_COMPARED * MONTH_MS]
    told = sum(one.told for one in recent if one.decided_ms > finding.decided_ms - MONTH_MS)
    ahead = sum(one.score >= finding.score for one in recent)
    tell = told < notices_a_month and ahead < _MONTHS_COMPARED * notices_a_month
    judged = (*recent, Judged(finding.decided_ms, finding.score, tell))[-_KEPT_JUDGED:]
    return msgspec.structs.replace(household, judged=judged), tell


_KEPT_JUDGED: Final = 200


def _findings_of(devices: Mapping[int, State]) -> dict[int, list[Finding]]:
    """Return the findings of devices that are open, or ended lately, also of those that nobody wants to be told of."""
    return {
        device_id: [
            Finding(
                "opened",
                one.number,
                one.candidate.kind,
                one.candidate.since_ms,
                one.seen_ms,
                one.candidate.score,
                one.candidate.extra_mw,
                one.candidate.comparison,
            )
            for one in state.open
        ]
        for device_id, state in devices.items()
        if state.open
    }
