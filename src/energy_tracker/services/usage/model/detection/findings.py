"""What the detector says: findings that open, change and end."""

from enum import StrEnum
from typing import Literal

import msgspec


class Kind(StrEnum):
    """How a device or home behaves unlike itself."""

    STUCK_ON = "stuck-on"
    NEVER_OFF = "never-off"
    STANDBY_UP = "standby-up"
    DRAWS_MORE = "draws-more"
    CYCLING = "cycling"
    SILENT = "silent"
    FROZEN = "frozen"
    SPIKE = "spike"
    REGISTER_BACK = "register-back"
    NIGHT_UP = "night-up"
    SCHEDULE_SHIFTED = "schedule-shifted"
    DEAD = "dead"
    UNUSUAL_DAY = "unusual-day"


class Measure(StrEnum):
    """What was compared; powers in mW, times in minutes, counts as they are."""

    WINDOW_POWER = "window-power"
    """The mean power of a stretch that ended with the quarter-hour of the decision."""
    RUN = "run"
    """How long it was on without a break."""
    REST = "rest"
    """How long it was off without a break."""
    SILENCE = "silence"
    """How long no reading came."""
    FLAT = "flat"
    """How long every reading was the same."""
    HIGHEST = "highest"
    """The highest single power, of a quarter-hour or of a day."""
    FALL = "fall"
    """By how much a register went back, in mJ."""
    FLOOR = "floor"
    """The lowest power of a day that was kept for half an hour."""
    NIGHT = "night"
    """The mean power from midnight to five."""
    NIGHT_FLOOR = "night-floor"
    """The lowest power of a night that was kept for half an hour."""
    DAYTIME_FLOOR = "daytime-floor"
    """The same from five to midnight; nothing is judged by it alone."""
    PEAK = "peak"
    """The highest quarter-hour of a day."""
    LEVEL = "level"
    """The power when on: the middle of the quarter-hours that it was on."""
    ENERGY = "energy"
    """The mean power of a day."""
    STARTS = "starts"
    """How often it was switched on in a day."""
    DUTY = "duty"
    """How many quarter-hours of a day it was on."""
    LIFT = "lift"
    """How far the hours of a day lie above the weeks before, in hundredths of their usual spread."""
    SHAPE = "shape"
    """The evidence that the hours of use were moved, in tenths of a bit; the chart is of mean powers in mW."""


class Comparison(msgspec.Struct, frozen=True, gc=False):
    """What was seen over `[from_ms, to_ms)` beside what was expected, in the unit of the measure.

    `usual_high` and `usual_low` bound what was usual. `past` are the values of the days before and `recent` those of
    the days that were judged, for a chart; for `shape`, `past` are the 24 usual hours and `recent` the 24 seen.
    """

    measure: Measure
    from_ms: int
    to_ms: int
    seen: int
    expected: int
    usual_low: int
    usual_high: int
    past: tuple[int, ...] = ()
    recent: tuple[int, ...] = ()


class Finding(msgspec.Struct, frozen=True, gc=False):
    """A transition of one finding; `number` counts the findings of this device or home, from 1.

    `score` is comparable over kinds and devices: 100 is where the detector would speak without any budget; an alert
    budget raises the limit. `extra_mw` is how much more power it draws than was expected (less: negative), over the
    time that it goes on. `decided_ms` is the end of the quarter-hour with which it was known.
    """

    transition: Literal["opened", "updated", "ended"]
    number: int
    kind: Kind
    since_ms: int
    decided_ms: int
    score: int
    extra_mw: int
    comparison: Comparison

    @property
    def extra_kwh_a_month(self) -> float:
        """Return the additional energy of 30 days, if it goes on."""
        return self.extra_mw * 720 / 1_000_000


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """What a test has to say; the strongest one becomes a finding."""

    kind: Kind
    score: int
    since_ms: int
    extra_mw: int
    comparison: Comparison
