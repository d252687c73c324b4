"""Findings in words: what is unusual, since when, how much more it is, compared with what, and what to check first."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Final

from energy_tracker.kit.instants import MS_PER_SECOND
from energy_tracker.services.usage.model.detection.findings import Comparison, Finding, Kind, Measure

_WHAT: Final[Mapping[Kind, str]] = {
    Kind.STUCK_ON: "has been on without a break for much longer than it ever is",
    Kind.NEVER_OFF: "does not switch off any more",
    Kind.STANDBY_UP: "draws more than usual while it does nothing",
    Kind.DRAWS_MORE: "draws more than it used to",
    Kind.CYCLING: "switches on more often, or stays on longer, than it used to",
    Kind.SILENT: "has sent no readings for longer than it ever does",
    Kind.FROZEN: "sends the same value again and again",
    Kind.SPIKE: "sent a value beyond what it can draw",
    Kind.REGISTER_BACK: "sent a register that went backwards",
    Kind.NIGHT_UP: "draws more than usual at night",
    Kind.SCHEDULE_SHIFTED: "is used at other hours than usual",
    Kind.DEAD: "draws nothing, though it is usually in use",
    Kind.UNUSUAL_DAY: "had a day unlike its others",
}
_CHECK: Final[Mapping[Kind, str]] = {
    Kind.STUCK_ON: "Check first whether it was left on, or its switch or thermostat is stuck.",
    Kind.NEVER_OFF: "Check first whether something keeps it awake: a timer, a setting, a stuck switch.",
    Kind.STANDBY_UP: "Check first what was plugged in or changed on that day.",
    Kind.DRAWS_MORE: "Check first filters, seals and limescale, and whether it has more to do.",
    Kind.CYCLING: "Check first the door, the seal and the thermostat, and whether it stands in the warmth.",
    Kind.SILENT: "Check first its connection and whether it is plugged in.",
    Kind.FROZEN: "Check first whether the meter or its gateway hangs: switch it off and on again.",
    Kind.SPIKE: "Check first whether the meter was changed or its unit is another one now.",
    Kind.REGISTER_BACK: "Check first whether the meter was reset or exchanged.",
    Kind.NIGHT_UP: "Check first what was left on overnight since then.",
    Kind.SCHEDULE_SHIFTED: "Check first its timer and its clock.",
    Kind.DEAD: "Check first its fuse and plug, and what it should have kept cold or running.",
    Kind.UNUSUAL_DAY: "Look at the hours of that day in the console.",
}
_WHAT_OF_HOMES: Final[Mapping[Kind, str]] = {
    Kind.STUCK_ON: "has drawn a high power without a break for much longer than it ever does",
    Kind.NEVER_OFF: "does not come to rest any more",
    Kind.STANDBY_UP: "draws more than usual while little is in use",
    Kind.CYCLING: "has something large on more often, or for longer, than it used to",
    Kind.SCHEDULE_SHIFTED: "uses energy at other hours than usual",
    Kind.DEAD: "draws far less than it ever does",
}
_CHECK_OF_HOMES: Final[Mapping[Kind, str]] = {
    **dict.fromkeys(
        (Kind.STUCK_ON, Kind.NEVER_OFF, Kind.STANDBY_UP, Kind.NIGHT_UP),
        "Check first what was left on, or is new, since then.",
    ),
    **dict.fromkeys(
        (Kind.DRAWS_MORE, Kind.CYCLING),
        "Check first heating, cooling and hot water, and what is new since then.",
    ),
    Kind.SCHEDULE_SHIFTED: "Check first timers, and whether a clock was changed.",
    Kind.DEAD: "Check first the main switch, if nobody has switched it off.",
}
POWERS: Final = frozenset(
    {
        Measure.WINDOW_POWER,
        Measure.HIGHEST,
        Measure.FLOOR,
        Measure.NIGHT,
        Measure.NIGHT_FLOOR,
        Measure.PEAK,
        Measure.LEVEL,
        Measure.ENERGY,
    }
)
DURATIONS: Final = frozenset({Measure.RUN, Measure.REST, Measure.SILENCE, Measure.FLAT})
_MINUTES_PER_HOUR: Final = 60
_LEAST_TOLD_W: Final = 0.5
_MW_PER_KW: Final = 1_000_000


def describe(
    finding: Finding, device_name: str | None, *, ended_ms: int | None, is_normal: bool = False, zone: tzinfo
) -> str:
    """Return a finding in sentences, for a mail or a list; without a device's name it is about the home."""
    name = device_name or "The home"
    what, check = _WHAT[finding.kind], _CHECK[finding.kind]
    if device_name is None:
        what, check = _WHAT_OF_HOMES.get(finding.kind, what), _CHECK_OF_HOMES.get(finding.kind, check)
    since = _instant(finding.since_ms, zone)
    if is_normal:
        return f"That {name} {what}, since {since}, was called normal: it is not told again."
    if ended_ms is not None:
        return f"{name} is as usual again since {_instant(ended_ms, zone)}; from {since} on it was told that it {what}."
    parts = [f"{name} {what}, since {since}{_compared(finding.comparison)}.", _extra(finding), check]
    return " ".join(part for part in parts if part)


def _compared(comparison: Comparison) -> str:
    seen, usual = _amount(comparison.measure, comparison.seen), _amount(comparison.measure, comparison.expected)
    if comparison.measure in DURATIONS and not comparison.expected:
        return f": for {seen}"  # nothing is usual, not even a minute
    return f": {seen}, where {usual} is usual" if seen and usual else ""


def _amount(measure: Measure, value: int) -> str:
    """Return a value in its unit; empty where its number says nothing to people."""
    if measure in POWERS:
        return _power(value)
    if measure in DURATIONS:
        hours = value / _MINUTES_PER_HOUR
        return f"{value} minutes" if value < 2 * _MINUTES_PER_HOUR else f"{hours:.0f} hours"
    if measure is Measure.FALL:
        return ""
    if measure is Measure.STARTS:
        return f"{value} starts a day"
    if measure is Measure.DUTY:
        return f"{value / 4:.1f} hours of use a day"
    return ""


def _power(power_mw: int) -> str:
    return f"{power_mw / _MW_PER_KW:.2f} kW" if abs(power_mw) >= _MW_PER_KW else f"{power_mw / 1_000:.3g} W"


def _extra(finding: Finding) -> str:
    watts = finding.extra_mw / 1_000
    if abs(watts) < _LEAST_TOLD_W:
        return ""
    more = "more" if watts > 0 else "less"
    month = f"{abs(finding.extra_kwh_a_month):.3g} kWh a month"
    return f"That is {_power(abs(finding.extra_mw))} {more} on average, {month} if it goes on."


def _instant(instant_ms: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(instant_ms // MS_PER_SECOND, zone):%Y-%m-%d %H:%M}"
