"""The forecasts of past days as they would have been, and what is known after them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, tzinfo
from typing import Final

from energy_tracker.services.usage.model.forecast.accuracy import Accuracy, accuracy_of
from energy_tracker.services.usage.model.forecast.day_ahead import LEARNING_DAYS, play_through
from energy_tracker.services.usage.model.forecast.hours import HourUse
from energy_tracker.services.usage.model.forecast.learning import NOTHING_LEARNED, Learned
from energy_tracker.services.usage.model.forecast.likeness import MOST_DAYS

JUDGED_DAYS: Final = 28
PLAYED_DAYS: Final = LEARNING_DAYS + JUDGED_DAYS
"""Before the first day that is judged, as much is learned as before a forecast of today."""

HISTORY_DAYS: Final = MOST_DAYS + PLAYED_DAYS


NOTHING_JUDGED: Final = Accuracy()


@dataclass(frozen=True, slots=True)
class PastDays:
    """How good the forecasts of the days from `first` to `last` were, and what was learned from them."""

    learned: Learned = NOTHING_LEARNED
    accuracy: Accuracy = NOTHING_JUDGED
    days: int = 0
    first: date | None = None
    last: date | None = None


def judge_past_days(history: Sequence[HourUse], *, zone: tzinfo, until_ms: int, today: date) -> Iterator[PastDays]:
    """Judge the days before a midnight, `until_ms`, at which the date `today` begins: one more each time it is asked.

    Causal: each is forecast from the hours before its own midnight and from what was learned until then.
    """
    past = PastDays()
    for each in play_through(history, zone=zone, until_ms=until_ms, most_days=PLAYED_DAYS):
        past = replace(past, learned=each.learned)
        if (today - each.day).days <= JUDGED_DAYS:
            accuracy = past.accuracy + accuracy_of(each.outcomes, each.week_before_kwh)
            past = replace(past, accuracy=accuracy, days=past.days + 1, first=past.first or each.day, last=each.day)
        yield past
