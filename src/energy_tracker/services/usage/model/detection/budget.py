"""An alert budget: at most so many notices a month, the most important first."""

from collections.abc import Iterable
from typing import Final

from energy_tracker.services.usage.model.detection.causes import LIMIT, MOST_SCORE

MONTH_DAYS: Final = 30


def fit_limit(scores: Iterable[int], *, days: int, notices_a_month: int) -> int:
    """Return the lowest score, at least `LIMIT`, from which the findings of some past days would have kept a budget.

    `scores` are the highest scores that each finding of a home and its devices reached in the last `days` days.
    What scores less is listed, not told: the limit is for who tells. `observe` keeps `LIMIT`, so that findings do not
    depend on a budget, and an `updated` one may be told when it reaches the limit.
    """
    allowed = notices_a_month * max(days, MONTH_DAYS) // MONTH_DAYS
    beyond = sorted(scores, reverse=True)[allowed:]
    return min(max(LIMIT, beyond[0] + 1), MOST_SCORE + 1) if beyond else LIMIT
