"""The score of the Numenta Anomaly Benchmark, written from its paper (Lavin and Ahmad, 2015) and its published rules.

A detector gives each point 0 to 1; ONE threshold for all files is sought that gives the best sum. In the standard
profile a window counts once, the more the earlier its first alarm lies (a sigmoid, from 1 at its left to 0 at its
right edge); a window without an alarm costs 1; an alarm outside costs up to 0.11, less just behind a window. The first
15 % of a file, at most 750 points, do not count. 0 is what silence gets, 100 what only early hits do.
"""

import math
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


def _sigmoid(position: float) -> float:
    return -1.0 if position >= _FAR else 2.0 / (1.0 + math.exp(5.0 * position)) - 1.0


def judge(series: Series, scores: Sequence[float]) -> Judged:
    """Weigh an alarm at each point of a file."""
    size = len(series.values)
    probation = min(math.floor(_PROBATION * size), int(_PROBATION * _PROBATION_OF_AT_MOST))
    ahead = list(series.windows)
    current: tuple[int, int] | None = None
    last: tuple[int, int] | None = None
    number = -1
    alarms = []
    for index in range(size):
        if ahead and index == ahead[0][0]:
            current = ahead.pop(0)
            number += 1
        if current is not None:
            first, right = current
            worth = _sigmoid(-(right - index + 1) / (right - first + 1)) * TRUE_POSITIVE / _sigmoid(-1.0)
        else:
            position = _FAR if last is None else (index - last[1]) / max(1, last[1] - last[0])
            worth = _sigmoid(position) * FALSE_POSITIVE
        if index >= probation:
            alarms.append((scores[index], worth, -1 if current is None else number))
        if current is not None and index == current[1]:
            last, current = current, None
    return Judged(series.name, len({window for _, _, window in alarms if window >= 0}), alarms)


@dataclass(frozen=True, slots=True)
class Result:
    """The best threshold over all files, and what it gives."""

    score: float
    threshold: float
    hits: int
    windows: int
    false_alarms: int


def best(judged: Sequence[Judged]) -> Result:
    """Seek the threshold that gives the best sum over all files."""
    windows = sum(each.windows for each in judged)
    points = sorted(
        (
            (score, worth, number, window)
            for number, each in enumerate(judged)
            for score, worth, window in each.alarms
            if score > 0
        ),
        key=lambda point: -point[0],
    )
    reached: dict[tuple[int, int], float] = {}
    total, false_alarms = -FALSE_NEGATIVE * windows, 0
    found = Result(0.0, 1.1, 0, windows, 0)
    for at, (score, worth, number, window) in enumerate(points):
        if window < 0:
            total += worth
            false_alarms += 1
        else:
            before = reached.get((number, window), -FALSE_NEGATIVE)
            total += max(worth - before, 0.0)
            reached[number, window] = max(worth, before)
        if at + 1 == len(points) or points[at + 1][0] != score:
            scaled = 100 * (total + FALSE_NEGATIVE * windows) / ((TRUE_POSITIVE + FALSE_NEGATIVE) * max(1, windows))
            if scaled > found.score:
                found = Result(scaled, score, len(reached), windows, false_alarms)
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
