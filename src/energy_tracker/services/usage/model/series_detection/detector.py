"""The detector: a score and a kind for each point of a series."""

from dataclasses import dataclass
from math import log10
from typing import Final

from energy_tracker.services.usage.model.series_detection.rarity import STRETCH, Rarity
from energy_tracker.services.usage.model.series_detection.signals import KINDS, Signals

REST: Final = 80
"""Points after an event for which only something clearly more seldom is an event of its own."""
_CLEARLY: Final = 0.06
_DECADES: Final = 6.0
_STRETCH_DECADES: Final = log10(STRETCH)
_NAMED: Final = 0.5
_TOLD: Final = 0.4
_GOING_ON: Final = 0.85
_LONGEST: Final = 4 * REST


@dataclass(frozen=True, slots=True)
class PointScore:
    """How strange a point is.

    `score` is the decimal logarithm of the points that pass between such events, over 6: 0.5 stands for once in a
    thousand points, 1 for once in a million and more seldom. `kind` is one of KINDS where the score is 0.5 and more,
    otherwise empty.
    """

    score: float
    kind: str


class SeriesDetector:
    """Scores one series; feed the points in their order."""

    __slots__ = ("_combined", "_held", "_rarities", "_rest", "_signals", "_since")

    def __init__(self) -> None:
        self._signals = Signals()
        self._rarities = tuple(Rarity() for _ in KINDS)
        self._combined = Rarity(prior_slope=1.0)
        self._held = 0.0
        self._rest = 0
        self._since = 0

    def score(self, instant_s: float, value: float) -> PointScore:
        """Return the score of the next point: its instant in seconds since 1970 and its finite value."""
        strengths = self._signals.strengths(instant_s, value)
        most, kind = 0.0, ""
        for rarity, strength, name in zip(self._rarities, strengths, KINDS, strict=True):
            rated = rarity.rate(strength)
            if rated > most:
                most, kind = rated, name
        decades = 0.5 * (self._combined.rate(10**most) + most)
        if decades <= 0:
            self._rest_on()
            return PointScore(0.0, "")
        score = min(1.0, (decades + _STRETCH_DECADES) / _DECADES)
        if self._is_told(score):
            score *= _TOLD
        return PointScore(score, kind if score >= _NAMED else "")

    def _rest_on(self) -> None:
        if self._rest > 0:
            self._rest -= 1
            self._since += 1

    def _is_told(self, score: float) -> bool:
        """Whether a point belongs to an event that was told already."""
        self._rest_on()
        if self._rest > 0 and score <= self._held + _CLEARLY:
            if score >= _GOING_ON * self._held and self._since < _LONGEST:
                self._rest = REST
            return True
        self._held, self._rest, self._since = score, REST, 0
        return False
