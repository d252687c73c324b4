"""When a home is above its threshold, and which stretches of its past are to be judged again."""

from collections.abc import Collection

from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.kit.instants import MS_PER_HOUR
from energy_tracker.kit.quantities import kwh_to_millijoules
from energy_tracker.services.usage.model.steps import Step
from energy_tracker.services.usage.ports import Recorded, Span


def threshold_mj(user: DirectoryUser | None) -> int | None:
    """Return the threshold of a home that wants to be warned; 0 and none are never passed."""
    if user is None or not user.alerting or not user.energy_alerting_threshold:
        return None
    return kwh_to_millijoules(user.energy_alerting_threshold)


def judge_later(turn: Recorded, user_id: int, past: Collection[Step], *, until_ms: int) -> None:
    """Add to a turn the stretch of a home's past that steps have changed."""
    from_ms = min((step.start_ms for step in past), default=0)
    to_ms = max((step.end_ms for step in past), default=until_ms) + MS_PER_HOUR
    if from_ms:
        turn.to_judge.append(Span(user_id, from_ms, min(to_ms, until_ms)))
