"""What a person calls normal is not told again, for good: of this device or home, and of this kind."""

from collections.abc import Iterable
from typing import Final

import msgspec

from energy_tracker.services.usage.model.detection.findings import Candidate, Finding, Kind, Measure
from energy_tracker.services.usage.model.detection.state import KEPT_TAUGHT, State, Taught

TOLERANCE_PERCENT: Final = 25
"""What is taught holds up to so much more than was seen."""

LEAST_TOLERANCE_MW: Final = 2_000

_LASTING: Final = frozenset({Measure.RUN, Measure.REST, Measure.SILENCE, Measure.FLAT})
"""What goes on grows by itself: where it is normal, it is so however long."""

_ONE: Final = {Kind.NEVER_OFF: Kind.STUCK_ON}
"""Kinds that are one to whoever calls them normal."""


def teach_normal(state: State, finding: Finding) -> State:
    """Return the state that keeps still about what a finding told, and about less; the finding counts as ended.

    Of the same kind, what goes clearly beyond it is told again: a standby of 5 W may be normal, one of 50 W is not.
    The oldest is forgotten beyond `KEPT_TAUGHT` of them.
    """
    compared = finding.comparison
    seen, extra_mw = compared.seen, finding.extra_mw
    kept = []
    for one in state.taught:
        if _alike(one.kind, finding.kind) and one.measure is compared.measure:
            seen, extra_mw = max(seen, one.seen), max(extra_mw, one.extra_mw)
        else:
            kept.append(one)
    taught = (*kept, Taught(finding.kind, compared.measure, seen, extra_mw))[-KEPT_TAUGHT:]
    still_open = tuple(one for one in state.open if one.number != finding.number)
    return msgspec.structs.replace(state, taught=taught, open=still_open)


def is_normal(taught: Iterable[Taught], candidate: Candidate) -> bool:
    """Return whether a person called what was seen normal."""
    compared = candidate.comparison
    for one in taught:
        if not _alike(one.kind, candidate.kind):
            continue
        if one.measure in _LASTING and compared.measure in _LASTING:
            return True
        if one.measure is compared.measure:
            if compared.seen <= one.seen + abs(one.seen) * TOLERANCE_PERCENT // 100:
                return True
        elif 0 < candidate.extra_mw <= one.extra_mw + max(one.extra_mw * TOLERANCE_PERCENT // 100, LEAST_TOLERANCE_MW):
            return True
    return False


def _alike(one: Kind, other: Kind) -> bool:
    return _ONE.get(one, one) is _ONE.get(other, other)
