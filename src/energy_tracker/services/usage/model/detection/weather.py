"""What the outdoor temperature explains: a home that is heated draws more in the cold, as it did on cold days before.

How much more is taken from the home's own past: the middle slope of all pairs of days (Theil 1950, Sen 1968), which a
few odd days do not move. Colder than the past ever was, below where heating begins, that is the beginning of
the heating; what it takes cannot be known yet.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from itertools import combinations
from types import MappingProxyType
from typing import Final, NamedTuple

from energy_tracker.kit.instants import MS_PER_SECOND
from energy_tracker.services.usage.model.detection.findings import Candidate, Kind
from energy_tracker.services.usage.model.detection.medians import median
from energy_tracker.services.usage.model.detection.quarter_hours import NOTHING
from energy_tracker.services.usage.model.detection.state import Day

Outdoor = Mapping[int, int]
"""Mean outdoor temperatures of local days, in tenths of a degree Celsius, by the days' ordinal numbers."""

NOT_KNOWN: Final[Outdoor] = MappingProxyType({})

EXPLAINS_PERCENT: Final = 50
"""The temperature explains what it brings at least so much of."""
MOST_PERCENT: Final = 400
"""What is far less than the cold should bring is something else."""
LEAST_DAYS: Final = 10
LEAST_APART: Final = 10
"""Days that differ by less than a degree say nothing about its influence."""
AGREEING_PERCENT: Final = 70
"""Of so many pairs of days the colder one has to be the higher one: half of them are where there is no influence."""
NEW: Final = 20
"""So much colder or warmer than any day before is new."""
HEATED_BELOW: Final = 150
COMFORTABLE: Final = 180
COOLED_ABOVE: Final = 220
MOST_MW: Final = 30_000
"""A large old house takes 300 W for each degree."""
LEAST_COLDER: Final = 20
"""By less than two degrees the temperature is as ever."""
_FINE: Final = 1_000

_OF_THE_WEATHER: Final = frozenset(
    {
        Kind.STUCK_ON,
        Kind.NEVER_OFF,
        Kind.STANDBY_UP,
        Kind.DRAWS_MORE,
        Kind.CYCLING,
        Kind.NIGHT_UP,
        Kind.UNUSUAL_DAY,
    }
)


class Weather(NamedTuple):
    """How cold it was where a device is; `is_tempered` whether heating or cooling is what it may be there for."""

    outdoor: Outdoor = NOT_KNOWN
    zone: tzinfo = UTC
    is_tempered: bool = False

    def explains(self, candidate: Candidate, history: Sequence[Day], decided_ms: int) -> bool:
        """Tell whether the temperature explains most of what is drawn beyond, or below, the usual.

        `history` are the days of the device or home. While it is not known how cold a day is, it is as the one before.
        """
        outdoor = self.outdoor
        compared = candidate.comparison
        if not outdoor or candidate.kind not in _OF_THE_WEATHER or not candidate.extra_mw:
            return False
        if (compared.seen - compared.expected) * candidate.extra_mw < 0:
            return False  # something rose, though less was used
        since, until = self._date(candidate.since_ms), self._date(decided_ms - 1)
        seen = [outdoor[date] for date in range(since, until + 1) if date in outdoor]
        if not seen and since - 1 in outdoor:
            seen = [outdoor[since - 1]]
        past = tuple(
            (outdoor[day.date], day.energy)
            for day in history
            if day.date < since and day.date in outdoor and day.energy != NOTHING
        )
        if not seen or len(past) < LEAST_DAYS:
            return False
        now, past_degrees = sum(seen) // len(seen), [degrees for degrees, _ in past]
        if self.is_tempered and 0 < candidate.extra_mw <= _most_mw(now, past_degrees):
            return True
        usual = median(past_degrees)
        if abs(now - usual) < LEAST_COLDER:
            return False
        expected_mw = _slope(past) * (now - usual) // _FINE
        percent = expected_mw * 100 // candidate.extra_mw
        return EXPLAINS_PERCENT <= percent <= MOST_PERCENT

    def _date(self, instant_ms: int) -> int:
        return datetime.fromtimestamp(instant_ms // MS_PER_SECOND, self.zone).toordinal()


NO_WEATHER: Final = Weather()


def _most_mw(now: int, past: Sequence[int]) -> int:
    """Return what heating or cooling takes at most where it begins now; 0 where it does not."""
    if now <= min(past) - NEW and now < HEATED_BELOW:
        return (COMFORTABLE - now) * MOST_MW
    if now >= max(past) + NEW and now > COOLED_ABOVE:
        return (now - COMFORTABLE) * MOST_MW
    return 0


@lru_cache(maxsize=512)  # within a day each quarter-hour asks about the same days
def _slope(days: tuple[tuple[int, int], ...]) -> int:
    """Return mW for a tenth of a degree, a thousandfold; 0 where the days do not agree about its sign."""
    slopes = [
        (energy - other) * _FINE // (degrees - cold)
        for (cold, other), (degrees, energy) in combinations(sorted(days), 2)
        if degrees - cold >= LEAST_APART
    ]
    middle = median(slopes)
    agreeing = sum(slope * middle > 0 for slope in slopes)
    return middle if slopes and agreeing * 100 >= len(slopes) * AGREEING_PERCENT else 0
