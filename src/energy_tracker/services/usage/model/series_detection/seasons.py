"""What is usual at this time of the day or of the week, where the series follows one."""

from math import isnan, nan
from typing import Final

_DAY_S: Final = 86_400
_SLOTS_A_DAY: Final = 48
_SLOTS_A_WEEK: Final = 7 * _SLOTS_A_DAY
_LEARNING: Final = 0.25
_FORGETTING: Final = 1 / 600
_CLEARLY: Final = 0.75
"""A season is followed where it is wrong by less than this share of what the level alone is wrong by."""
_LEAST_POINTS: Final = 150


class _Season:
    """A level for each slot of a period, and how wrong it was lately."""

    __slots__ = ("_levels", "_slot", "_slots", "_sum", "_sum_count", "error", "judged")

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._levels = [nan] * slots
        self._slot = -1
        self._sum = 0.0
        self._sum_count = 0
        self.error = 0.0
        self.judged = 0

    def expected(self, instant_s: float, value: float) -> float:
        """Return the level of the instant's slot (nan: not known yet), then learn the value."""
        slot = int(instant_s // (_DAY_S // _SLOTS_A_DAY)) % self._slots
        if slot != self._slot:
            self._close_slot()
            self._slot = slot
        level = self._levels[slot]
        self._sum += value
        self._sum_count += 1
        if not isnan(level):
            self.judged += 1
            self.error += (abs(value - level) - self.error) * max(_FORGETTING, 1 / self.judged)
        return level

    def _close_slot(self) -> None:
        if self._sum_count:
            mean, level = self._sum / self._sum_count, self._levels[self._slot]
            self._levels[self._slot] = mean if isnan(level) else level + _LEARNING * (mean - level)
        self._sum, self._sum_count = 0.0, 0


class Seasons:
    """The day's and the week's course of a series."""

    __slots__ = ("_day", "_plain_error", "_seen", "_week")

    def __init__(self) -> None:
        self._day = _Season(_SLOTS_A_DAY)
        self._week = _Season(_SLOTS_A_WEEK)
        self._plain_error = 0.0
        self._seen = 0

    def expected(self, instant_s: float, value: float, level: float) -> float:
        """Return what is usual at the instant, nan where the series follows no season; then learn the value.

        `level` is what would be expected without one: the long-run mean.
        """
        self._seen += 1
        self._plain_error += (abs(value - level) - self._plain_error) * max(_FORGETTING, 1 / self._seen)
        day, week = self._day, self._week
        by_day = day.expected(instant_s, value)
        by_week = week.expected(instant_s, value)
        if (
            week.judged > _LEAST_POINTS
            and not isnan(by_week)
            and week.error < min(day.error, _CLEARLY * self._plain_error)
        ):
            return by_week
        if day.judged > _LEAST_POINTS and not isnan(by_day) and day.error < _CLEARLY * self._plain_error:
            return by_day
        return nan
