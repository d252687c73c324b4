"""The ways in which a point can be strange, each as a strength of 0 and more, in units of what the series does."""

from collections.abc import Sequence
from math import isnan
from typing import Final

from energy_tracker.services.usage.model.series_detection.seasons import Seasons

KINDS: Final = (
    "spike",
    "dip",
    "level up",
    "level down",
    "above range",
    "below range",
    "high for the time",
    "low for the time",
    "restless",
    "calm",
    "frozen",
)
"""What the strengths of `Signals.strengths` are of, in their order."""
FAMILIES: Final = ("step", "step", "level", "level", "range", "range", "season", "season", "unrest", "unrest", "frozen")
"""Kinds of one family say the same of a point; those of two families bear each other out."""

_FAST: Final = 1 / 5
_SLOW: Final = 1 / 100
_LONG: Final = 1 / 2000
_SCALE: Final = 1 / 1500
_RESTLESS: Final = 1 / 24
_SEASON: Final = 1 / 4
_SHARE_OF_SCALE: Final = 0.05
_LEAST: Final = 1e-9
_TINY: Final = 1e-200


class Signals:
    """Running levels and scales of a series."""

    __slots__ = ("_fast", "_long", "_off_season", "_range", "_run", "_seasons", "_seen", "_slow", "_steps", "_value",
                 "_wild")  # fmt: skip

    def __init__(self) -> None:
        self._seen = 0
        self._value = self._fast = self._slow = self._long = 0.0
        self._steps = self._range = self._wild = self._off_season = 0.0
        self._run = 0
        self._seasons = Seasons()

    def strengths(self, instant_s: float, value: float) -> Sequence[float]:
        """Return the strength of each of KINDS at this point, judged by the points before, and learn the point."""
        self._seen += 1
        if self._seen == 1:
            self._value = self._fast = self._slow = self._long = value
        share = 1 / self._seen
        least = _LEAST * (abs(self._long) + abs(value)) + _TINY
        usual_step = self._steps + least
        usual_range = self._range + least
        jump = value - self._fast
        step = jump / usual_step
        self._fast += jump * max(_FAST, share)
        shift = (self._fast - self._slow) / usual_range
        distance = (value - self._long) / usual_range
        season = self._season(instant_s, value) / usual_range
        wild = (self._wild + _SHARE_OF_SCALE * usual_step) / (usual_step * (1 + _SHARE_OF_SCALE))
        self._run = self._run + 1 if value == self._value and self._steps else 0
        self._learn(value, jump, share)
        return (
            max(step, 0.0),
            max(-step, 0.0),
            max(shift, 0.0),
            max(-shift, 0.0),
            max(distance, 0.0),
            max(-distance, 0.0),
            max(season, 0.0),
            max(-season, 0.0),
            wild,
            1 / wild,
            float(self._run),
        )

    def _season(self, instant_s: float, value: float) -> float:
        expected = self._seasons.expected(instant_s, value, self._long)
        off = 0.0 if isnan(expected) else value - expected
        self._off_season += (off - self._off_season) * _SEASON
        return self._off_season

    def _learn(self, value: float, jump: float, share: float) -> None:
        self._steps += (abs(jump) - self._steps) * max(_SCALE, share)
        self._wild += (abs(jump) - self._wild) * max(_RESTLESS, share)
        self._range += (abs(value - self._long) - self._range) * max(_SCALE, share)
        self._slow += (value - self._slow) * max(_SLOW, share)
        self._long += (value - self._long) * max(_LONG, share)
        self._value = value
