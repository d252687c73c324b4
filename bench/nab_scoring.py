"""The score of the Numenta Anomaly Benchmark, by the formulas of its paper (Lavin and Ahmad, 2015, section II).

A detector gives each point 0 to 1; ONE threshold for all files is sought that gives the best sum. In the standard
profile a window counts once, the more the earlier its first alarm lies (a sigmoid, from 1 at its left to 0 at its
right edge); a window without an alarm costs 1; an alarm outside costs up to 0.11, less just behind a window. The first
15 % of a file, at most 750 points, do not count. 0 is what silence gets, 100 what only early hits do.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = 1.0, 0.11, 1.0
_PROBATION, _PROBATION_OF_AT_MOST = 0.15, 5000
_FAR = 3.0


@dataclass(frozen=True, slots=True)
class Series:
    """A file: its points and the windows, each the index of its first and of its last point."""

    name: str
    instants_s: Sequence[float]
    values: Sequence[float]
    windows: Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Judged:
    """How a file was judged: what an alarm at each point that counts is worth, by its score, and in which window."""

    name: str
    windows: int
    alarms: Sequence[tuple[float, float, int]]  # the score, the worth, the window (-1: outside)


def judge(series: Series, scores: Sequence[float]) -> Judged:
    """Weigh an alarm at each point of a file that counts."""
    size = len(series.values)
    begin = min(math.floor(_PROBATION * size), int(_PROBATION * _PROBATION_OF_AT_MOST))
    firsts = [first for first, _ in series.windows]
    alarms = []
    for index in range(begin, size):
        number = bisect_right(firsts, index) - 1
        inside = number >= 0 and index <= series.windows[number][1]
        worth = _worth(series.windows[number] if number >= 0 else None, index)
        alarms.append((scores[index], worth, number if inside else -1))
    return Judged(series.name, len({window for _, _, window in alarms if window >= 0}), alarms)


def _worth(window: tuple[int, int] | None, index: int) -> float:
    """Return what an alarm is worth in the window, or behind it (None: no window lies before it)."""
    if window is None:
        return -FALSE_POSITIVE
    first, last = window
    if index <= last:
        return TRUE_POSITIVE * _sigmoid((index - last - 1) / (last - first + 1)) / _sigmoid(-1.0)
    return FALSE_POSITIVE * _sigmoid((index - last) / max(1, last - first))


def _sigmoid(position: float) -> float:
    """Return the paper's scaled sigmoid: 1 far in front of a window's right edge (0), -1 far behind it."""
    return -1.0 if position >= _FAR else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


@dataclass(frozen=True, slots=True)
class Result:
    """The best threshold over all files, and what it gives."""

    score: float
    threshold: float
    hits: int
    windows: int
    false_alarms: int


def best(judged: Sequence[Judged]) -> Result:
    """Seek the threshold that gives the best sum over all files; each score that was given is tried."""
    windows = sum(each.windows for each in judged)
    by_score: defaultdict[float, list[tuple[int, float, int]]] = defaultdict(list)
    for number, each in enumerate(judged):
        for score, worth, window in each.alarms:
            if score > 0:
                by_score[score].append((number, worth, window))
    best_of: dict[tuple[int, int], float] = {}
    outside, false_alarms = 0.0, 0
    found = Result(0.0, 1.1, 0, windows, 0)
    for threshold in sorted(by_score, reverse=True):
        for number, worth, window in by_score[threshold]:
            if window < 0:
                outside += worth
                false_alarms += 1
            else:
                best_of[number, window] = max(worth, best_of.get((number, window), -FALSE_NEGATIVE))
        gained = outside + sum(best_of.values()) + FALSE_NEGATIVE * len(best_of)
        scaled = 100 * gained / ((TRUE_POSITIVE + FALSE_NEGATIVE) * max(1, windows))
        if scaled > found.score:
            found = Result(scaled, threshold, len(best_of), windows, false_alarms)
    return found


def at_threshold(judged: Judged, threshold: float) -> tuple[float, int, int]:
    """Return what a file adds to the sum at a threshold (of 2 for each window), its hits and its false alarms."""
    reached: dict[int, float] = {}
    total, false_alarms = 0.0, 0
    for score, worth, window in judged.alarms:
        if score < threshold:
            continue
        if window < 0:
            total += worth
            false_alarms += 1
        else:
            reached[window] = max(worth, reached.get(window, -FALSE_NEGATIVE))
    return total + sum(worth + FALSE_NEGATIVE for worth in reached.values()), len(reached), false_alarms
