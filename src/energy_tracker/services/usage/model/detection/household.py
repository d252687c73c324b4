"""A home and its devices, judged quarter-hour by quarter-hour: what is found, and what is told of it."""

from collections.abc import Collection, Mapping
from datetime import tzinfo
from typing import Final, NamedTuple

import msgspec

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.detection.budget import MONTH_DAYS, fit_limit
from energy_tracker.services.usage.model.detection.closing import home_quarter
from energy_tracker.services.usage.model.detection.detector import observe
from energy_tracker.services.usage.model.detection.findings import Finding, Kind
from energy_tracker.services.usage.model.detection.homes import (
    ABOUT_READINGS,
    EXPLAINS_PERCENT,
    NEAR_MS,
    explained_by,
    is_away,
)
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.detection.state import KEPT_DAYS, State
from energy_tracker.services.usage.model.detection.weather import NO_WEATHER, NOT_KNOWN, Outdoor, Weather

HOME: Final = 0
"""Stands for the home itself where a device's id would be."""

NOTICES_A_MONTH: Final = 4
MONTH_MS: Final = MONTH_DAYS * MS_PER_DAY
_DAYS_COMPARED: Final = 60
_ABSENT_QUARTERS: Final = 96
"""A device that was silent for so long is not waited for: the home is what the others draw."""

_KEPT_JUDGED: Final = 200
_KEPT_NORMAL: Final = 32


class Judged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A finding that was weighed against the budget: when, how important, and whether it was told."""

    decided_ms: int
    score: int
    told: bool
    before: bool = False
    """It was told before the home is judged again, and is not found again so far."""


class Household(msgspec.Struct, frozen=True):
    """All that is known of a home: up to where it was judged, its own state and those of its devices."""

    through_ms: int
    """The quarter-hours before are judged."""
    home: State = State(is_home=True)
    devices: Mapping[int, State] = {}
    first_ms: Mapping[int, int] = {}
    """From when on each device was looked at."""
    judged: tuple[Judged, ...] = ()
    normal: tuple[tuple[int, int], ...] = ()
    """Since when devices draw more than before, in mW, and somebody has called it normal."""

    again_until_ms: int = 0
    """Up to here it was judged before, and is judged again with what came late; 0: nothing is."""


def begun_anew(from_ms: int, known: Household | None) -> Household:
    """Return a home that is judged from an instant on; what people called normal stays normal, and numbers count on."""
    if known is None:
        return Household(from_ms)
    devices = {
        device_id: State(findings=state.findings, taught=state.taught)
        for device_id, state in known.devices.items()
        if state.taught or state.findings
    }
    home = State(is_home=True, findings=known.home.findings, taught=known.home.taught)
    return Household(from_ms, home, devices, normal=known.normal)


def is_open(household: Household, device_id: int, finding: Finding) -> bool:
    """Tell whether a finding of a device, or of the home (`HOME`), still goes on."""
    state = household.home if device_id == HOME else household.devices.get(device_id)
    return state is not None and any(
        one.candidate.kind is finding.kind and one.candidate.since_ms == finding.since_ms and not one.ended
        for one in state.open
    )


class HomeRules(NamedTuple):
    """How a home is judged: in which zone, which devices add up to it, and what is told.

    `muted` devices are not to be told of, nor is the silence of those with a rule of their own; `counted` are all but
    sub-meters. No more than `notices_a_month` are told in 30 days.
    """

    zone: tzinfo
    counted: Collection[int]
    muted: Collection[int] = ()
    silence_is_ruled: Collection[int] = ()
    notices_a_month: int = NOTICES_A_MONTH
    mains: int = HOME
    """The device that alone measures the whole home; `HOME` where there is none."""
    tempered: Collection[int] = ()
    """The devices that heat or cool."""
    outdoor: Outdoor = NOT_KNOWN

    def weather(self, device_id: int) -> Weather:
        """Return how cold it was, as it concerns a device or the home."""
        if not self.outdoor:
            return NO_WEATHER
        is_home = device_id == HOME and (self.mains != HOME or bool(self.tempered))
        return Weather(self.outdoor, self.zone, is_tempered=is_home or device_id in self.tempered)


class Found(NamedTuple):
    """A transition of a finding of a device, or of the home (`HOME`); `told` where it opens and the budget allows."""

    device_id: int
    finding: Finding
    told: bool = False


def judge_quarter(
    household: Household, quarters: Mapping[int, QuarterHour], rules: HomeRules
) -> tuple[Household, list[Found]]:
    """Take the next quarter-hour of a home; return what is known then, and what was found.

    `quarters` are those of its devices that were measured or heard of. Where findings of devices explain one of the
    home, that is one cause: the home's is left out.
    """
    start_ms = household.through_ms
    devices, first_ms = dict(household.devices), dict(household.first_ms)
    away = is_away(devices.values())
    findings: list[tuple[int, Finding]] = []
    expected: list[QuarterHour] = []
    for device_id in sorted({*devices, *quarters}):
        quarter = quarters.get(device_id) or QuarterHour(start_ms, 0, 0, readings=0)
        state, of_device = observe(
            devices.get(device_id, State()), quarter, zone=rules.zone, away=away, weather=rules.weather(device_id)
        )
        devices[device_id] = state
        first_ms.setdefault(device_id, start_ms)
        if device_id in rules.counted and state.runs.gap < _ABSENT_QUARTERS:
            expected.append(quarter)
        findings += [(device_id, finding) for finding in of_device if _is_wanted(device_id, finding, rules)]
    whole = home_quarter(expected, start_ms=start_ms)
    home, of_home = observe(household.home, whole, zone=rules.zone, away=away, weather=rules.weather(HOME))
    causes = _causes(devices, rules)
    findings += [
        (HOME, finding)
        for finding in of_home
        if not explained_by(finding, causes) and not _was_called_normal(household, finding)
    ]
    end_ms = start_ms + MS_PER_QUARTER_HOUR
    again_ms = household.again_until_ms if household.again_until_ms > end_ms else 0
    household = Household(end_ms, home, devices, first_ms, household.judged, household.normal, again_ms)
    found: list[Found] = []
    for device_id, finding in findings:
        told = False
        if finding.transition == "opened":
            household, told = _weigh(household, finding, rules.notices_a_month)
        found.append(Found(device_id, finding, told))
    return household, found


def with_normal(household: Household, finding: Finding) -> Household:
    """Return a household in which what a device draws more was called normal: that explains the home, too."""
    normal = (*household.normal, (finding.since_ms, finding.extra_mw))[-_KEPT_NORMAL:]
    return msgspec.structs.replace(household, normal=normal)


def _was_called_normal(household: Household, finding: Finding) -> bool:
    """Tell whether a finding of the home is what its devices were said to draw normally, in the weeks it remembers."""
    extra_mw = sum(
        more_mw
        for since_ms, more_mw in household.normal
        if -NEAR_MS <= finding.since_ms - since_ms <= KEPT_DAYS * MS_PER_DAY and more_mw * finding.extra_mw > 0
    )
    return finding.extra_mw != 0 and abs(extra_mw) * 100 >= abs(finding.extra_mw) * EXPLAINS_PERCENT


def _is_wanted(device_id: int, finding: Finding, rules: HomeRules) -> bool:
    if device_id == rules.mains and finding.kind not in ABOUT_READINGS:
        return False  # what it measures is the home, which is judged as such
    is_ruled = finding.kind is Kind.SILENT and device_id in rules.silence_is_ruled
    return device_id not in rules.muted and not is_ruled


def _weigh(household: Household, finding: Finding, notices_a_month: int) -> tuple[Household, bool]:
    """Return the household that remembers a finding that opens, and whether that is to be told within the budget.

    No more than `notices_a_month` are told in any 30 days, and only what is among the most important of the last
    60 days: where much is found, the bar rises by itself.
    """
    since_ms = finding.decided_ms - _DAYS_COMPARED * MS_PER_DAY
    recent = [one for one in household.judged if one.decided_ms > since_ms]
    told_before = Judged(finding.decided_ms, finding.score, told=True, before=True)
    if told_before in recent:
        recent.remove(told_before)
        judged = (*recent, msgspec.structs.replace(told_before, before=False))
        return msgspec.structs.replace(household, judged=judged), True
    told = sum(one.told for one in recent if one.decided_ms > finding.decided_ms - MONTH_MS)
    limit = fit_limit((one.score for one in recent), days=_DAYS_COMPARED, notices_a_month=notices_a_month)
    tell = told < notices_a_month and finding.score >= limit
    judged = (*recent, Judged(finding.decided_ms, finding.score, tell))[-_KEPT_JUDGED:]
    return msgspec.structs.replace(household, judged=judged), tell


def _causes(devices: Mapping[int, State], rules: HomeRules) -> dict[int, list[Finding]]:
    """Return what is open, or ended lately, of devices, and may be why the home is as it is; muted ones too."""
    causes: dict[int, list[Finding]] = {}
    for device_id, state in devices.items():
        for one in state.open:
            candidate = one.candidate
            if device_id != rules.mains or candidate.kind in ABOUT_READINGS:
                finding = Finding(
                    "opened",
                    one.number,
                    candidate.kind,
                    candidate.since_ms,
                    one.seen_ms,
                    candidate.score,
                    candidate.extra_mw,
                    candidate.comparison,
                )
                causes.setdefault(device_id, []).append(finding)
    return causes
