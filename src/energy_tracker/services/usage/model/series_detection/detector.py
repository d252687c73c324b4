"""The detector: a score and a kind for each point of a series."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Final

from energy_tracker.services.usage.model.series_detection.rarity import STRETCH, Rarity
from energy_tracker.services.usage.model.series_detection.signals import FAMILIES, KINDS, Signals

REST: Final = 80
"""Points after an event for which only something clearly more seldom is an event of its own."""
NAMED_FROM: Final = 0.5
"""A point with this score and more has a kind."""
TOLD: Final = 0.4
"""What is left of the score of a point that belongs to an event which was scored already."""

_GOING_ON: Final = 0.85  # an event goes on where the score is at least this share of its first
_LONGEST: Final = 4 * REST  # however long it goes on, it is told again after so many points
_CLEARLY: Final = 0.16
_SECOND: Final = 0.7  # how much the second family that finds a point strange adds to the first
_FREQUENT_STILLNESS: Final = 1.0  # decades: a value that stays is mostly a meter that rounds, or nothing to measure
_OWN_HISTORY: Final = 0.25
_DECADES: Final = 6.0
_STRETCH_DECADES: Final = log10(STRETCH)
_COMBINED_SLOPE: Final = 1.0
_FROZEN: Final = "frozen"
_LARGEST: Final = 1e100  # so that no difference of two values is infinite


@dataclass(frozen=True, slots=True)
class PointScore:
    """How strange a point is: 0 (as ever) to 1, on a scale of decades of how seldom; `kind` is one of KINDS or empty.

    A sixth more stands for ten times as seldom. As one number is made of several, no exact frequency belongs to it.
    """

    score: float
    kind: str


class SeriesDetector:
    """Scores one series; feed the points in their order.

    Each way of being strange is rated by how seldom it was as strong in this series. The rarest counts, with a part of
    what another family adds, and a quarter of it is how seldom so rare a thing was in this series: one that often
    surprises has to surprise more. An event is scored where it begins and not again at each of its points.
    """

    __slots__ = ("_combined", "_held", "_rarities", "_rest", "_signals", "_since")

    def __init__(self) -> None:
        self._signals = Signals()
        self._rarities = tuple(Rarity() for _ in KINDS)
        self._combined = Rarity(prior_slope=_COMBINED_SLOPE)
        self._held = 0.0
        self._rest = 0
        self._since = 0

    def score(self, instant_s: float, value: float) -> PointScore:
        """Return the score of the next point: its instant in seconds since 1970 and its finite value."""
        rarest, kind = self._rarest(self._signals.strengths(instant_s, max(-_LARGEST, min(_LARGEST, value))))
        decades = _OWN_HISTORY * self._combined.rate(10**rarest) + (1 - _OWN_HISTORY) * rarest
        self._pass_point()
        if decades <= 0:
            return PointScore(0.0, "")
        score = min(1.0, (decades + _STRETCH_DECADES) / _DECADES)
        if self._is_told(score):
            score *= TOLD
        return PointScore(score, kind if score >= NAMED_FROM else "")

    def _rarest(self, strengths: Sequence[float]) -> tuple[float, str]:
        """Return the decades of the rarest kind, with a part of those of the rarest of another family, and its name."""
        first, second, kind, first_family = 0.0, 0.0, "", ""
        for rarity, strength, name, family in zip(self._rarities, strengths, KINDS, FAMILIES, strict=True):
            decades = rarity.rate(strength)
            if name == _FROZEN:
                decades -= _FREQUENT_STILLNESS
            if decades > first:
                if family != first_family:
                    second = first
                first, kind, first_family = decades, name, family
            elif decades > second and family != first_family:
                second = decades
        return first + _SECOND * second, kind

    def _pass_point(self) -> None:
        if self._rest > 0:
            self._rest -= 1
            self._since += 1

    def _is_told(self, score: float) -> bool:
        """Return whether a point belongs to an event that was scored already; begin an event where not."""
        if self._rest > 0 and score <= self._held + _CLEARLY:
            if score >= _GOING_ON * self._held and self._since < _LONGEST:
                self._rest = REST
            return True
        self._held, self._rest, self._since = score, REST, 0
        return False
