"""What the outdoor temperature explains: a home that is heated draws more in the cold, as it did on cold days before.

How much more is taken from the home's own past: the middle slope of all pairs of days (Theil 1950, Sen 1968), which a
few odd days do not move. Colder than the past ever was, below where heating begins, that is the beginning of
the heating; what it takes cannot be known yet.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import combinations
from types import MappingProxyType
from typing import Final

from energy_tracker.kit.instants import MS_PER_SECOND
from energy_tracker.services.usage.model.detection.findings import Finding, Kind
from energy_tracker.services.usage.model.detection.homes import EXPLAINS_PERCENT
from energy_tracker.services.usage.model.detection.medians import median
from energy_tracker.services.usage.model.detection.quarter_hours import NOTHING
from energy_tracker.services.usage.model.detection.state import Day

Outdoor = Mapping[int, int]
"""Mean outdoor temperatures of local days, in tenths of a degree Celsius, by the days' ordinal numbers."""

NOT_KNOWN: Final[Outdoor] = MappingProxyType({})

LEAST_DAYS: Final = 10
LEAST_APART: Final = 10
"""Days that differ by less than a degree say nothing about its influence."""
AGREEING_PERCENT: Final = 70
"""Of so many pairs of days the colder one has to be the higher one: half of them are where there is no influence."""
NEW: Final = 20
"""So much colder or warmer than any day before is new."""
HEATED_BELOW: Final = 150
COOLED_ABOVE: Final = 220
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


def explains(outdoor: Outdoor, finding: Finding, history: Sequence[Day], zone: tzinfo, *, is_tempered: bool) -> bool:
    """Tell whether the temperature explains most of what is drawn beyond, or below, the usual.

    `history` are the days of the device or home, `is_tempered` whether heating or cooling is what it may be there for.
    """
    if not outdoor or finding.kind not in _OF_THE_WEATHER or not finding.extra_mw:
        return False
    since, until = _date(finding.since_ms, zone), _date(finding.decided_ms - 1, zone)
    seen = [outdoor[date] for date in range(since, until + 1) if date in outdoor]
    past = [(outdoor[day.date], day.energy) for day in history if day.date < since and day.date in outdoor]
    past = [(degrees, energy) for degrees, energy in past if energy != NOTHING]
    if not seen or len(past) < LEAST_DAYS:
        return False
    now = sum(seen) // len(seen)
    if is_tempered and finding.extra_mw > 0 and _is_new(now, [degrees for degrees, _ in past]):
        return True
    usual = median([degrees for degrees, _ in past])
    expected_mw = _slope(past) * (now - usual) // _FINE
    alike = expected_mw * finding.extra_mw > 0
    return alike and abs(expected_mw) * 100 >= abs(finding.extra_mw) * EXPLAINS_PERCENT


def _date(instant_ms: int, zone: tzinfo) -> int:
    return datetime.fromtimestamp(instant_ms // MS_PER_SECOND, zone).toordinal()


def _is_new(now: int, past: Sequence[int]) -> bool:
    return now < min(min(past) - NEW + 1, HEATED_BELOW) or now > max(max(past) + NEW - 1, COOLED_ABOVE)


def _slope(days: Sequence[tuple[int, int]]) -> int:
    """Return mW for a tenth of a degree, a thousandfold; 0 where the days do not agree about its sign."""
    slopes = [
        (energy - other) * _FINE // (degrees - cold)
        for (cold, other), (degrees, energy) in combinations(sorted(days), 2)
        if degrees - cold >= LEAST_APART
    ]
    middle = median(slopes)
    agreeing = sum(slope * middle > 0 for slope in slopes)
    return middle if slopes and agreeing * 100 >= len(slopes) * AGREEING_PERCENT else 0
