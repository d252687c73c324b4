"""How seldom a strength is reached, judged by the strongest of each stretch of points so far."""

from bisect import bisect_left, insort
from collections import deque
from math import log, log10
from typing import Final

STRETCH: Final = 24
"""Points in a stretch. One event makes one or two stretches strong, however many points it has."""
MEMORY: Final = 600
"""Stretches that are remembered."""
SETTLED: Final = 7
"""Stretches before anything is called seldom."""
CAP: Final = 9.0
"""The largest answer: a series gives no ground to call anything more seldom than that."""

_TAIL_SHARE: Final = 5  # the tail is the strongest fifth …
_TAIL_MOST: Final = 24  # … and not more than so many stretches
_PRIOR_SLOPE: Final = 0.10  # a tail is taken to fall this fast …
_PRIOR_WEIGHT: Final = 8.0  # … with the weight of so many stretches, until it has shown otherwise
_LEAST: Final = 1e-6


class Rarity:
    """Strengths of one kind (0 and more), and how seldom each is.

    The strongest of each stretch is kept. Up to where the tail begins the share of stretches that were as strong
    counts; beyond it a Pareto tail, its slope by Hill (1975), shrunk to a prior. A series with a heavy tail thus needs
    more to be surprised than one that keeps to its range, and no unit matters.
    """

    __slots__ = (
        "_count",
        "_ordered",
        "_prior_slope",
        "_recent",
        "_share",
        "_slope",
        "_strongest",
        "_tail_from",
        "_usual",
    )

    def __init__(self, prior_slope: float = _PRIOR_SLOPE) -> None:
        self._prior_slope = prior_slope
        self._recent: deque[float] = deque()
        self._ordered: list[float] = []
        self._count = 0
        self._strongest = 0.0
        self._usual = float("inf")
        self._tail_from = float("inf")
        self._share = 1.0
        self._slope = prior_slope

    def rate(self, strength: float) -> float:
        """Return the decimal logarithm of how many stretches pass between such strengths, and remember this one."""
        rarity = self._rarity(strength) if strength > self._usual else 0.0
        self._strongest = max(self._strongest, strength)
        self._count += 1
        if self._count == STRETCH:
            self._close_stretch()
        return rarity

    def _rarity(self, strength: float) -> float:
        if strength <= self._tail_from:
            stronger = len(self._ordered) - bisect_left(self._ordered, strength)
            return log10((len(self._ordered) + 1) / (stronger + 1))
        beyond = log10(strength / self._tail_from) / self._slope
        return min(CAP, beyond - log10(self._share))

    def _close_stretch(self) -> None:
        strongest = max(self._strongest, _LEAST)
        self._count, self._strongest = 0, 0.0
        if len(self._recent) == MEMORY:
            del self._ordered[bisect_left(self._ordered, self._recent.popleft())]
        self._recent.append(strongest)
        insort(self._ordered, strongest)
        size = len(self._ordered)
        if size < SETTLED:
            return
        tail = min(_TAIL_MOST, max(2, size // _TAIL_SHARE))
        self._tail_from = self._ordered[-tail - 1]
        self._usual = self._ordered[size // 2]
        self._share = (tail + 1) / (size + 1)
        excess = sum(log(each / self._tail_from) for each in self._ordered[-tail:])
        self._slope = (excess + _PRIOR_WEIGHT * self._prior_slope) / (tail + _PRIOR_WEIGHT)
