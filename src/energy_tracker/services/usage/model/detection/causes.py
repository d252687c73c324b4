"""One finding for one cause: which candidates open a finding, which belong to one that is open, and when it ends."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.detection.findings import Candidate, Finding, Kind, Measure
from energy_tracker.services.usage.model.detection.normal import is_normal
from energy_tracker.services.usage.model.detection.state import Open, State

FULL_AFTER_DAYS: Final = 14
LIMIT: Final = 100
"""The score from which the detector speaks, where no alert budget asks for another."""

MOST_SCORE: Final = 1_000
"""No finding is more certain than this."""

GOES_ON: Final = 50
"""A finding goes on while its cause has half of the score that would open it."""

LINGERS_MS: Final = 26 * MS_PER_HOUR
"""What a day ago explains, since stretches of a day and the end of a day still see it."""

_AT_ONCE: Final = frozenset({Measure.SILENCE, Measure.FALL, Measure.HIGHEST, Measure.FLAT, Measure.RUN, Measure.REST})
"""What these measure is over as soon as they say nothing; of others only a day later."""

_OWN_CAUSE: Final = frozenset({Kind.SILENT, Kind.REGISTER_BACK, Kind.SPIKE})
"""Kinds about the measurement; all others are about how the device behaves, and have one cause at a time."""


def same_cause(kind: Kind, other: Kind) -> bool:
    """Tell whether findings of two kinds are never open beside each other."""
    return _cause(kind) is _cause(other)


def _cause(kind: Kind) -> Kind | None:
    return kind if kind in _OWN_CAUSE else None


def judge(
    state: State, candidates: Sequence[Candidate], decided_ms: int, limit: int = LIMIT
) -> tuple[State, tuple[Finding, ...]]:
    """Return the state with its findings after what the newest quarter-hour, or the end of a day, gave cause to say."""
    if not candidates and not state.open:
        return state, ()
    strongest = _strongest(state, candidates)
    count, kept, findings = state.findings, [], []
    for one in state.open:
        cause = _cause(one.candidate.kind)
        candidate = strongest.get(cause)
        if candidate is not None and one.ended and candidate.since_ms >= one.seen_ms:
            if candidate.score >= limit:
                continue  # another cause, which began after this one was over
            candidate = None
        elif candidate is not None:
            del strongest[cause]
        after, finding = _go_on(one, candidate, decided_ms)
        if after is not None:
            kept.append(after)
        if finding is not None:
            findings.append(finding)
    for candidate in strongest.values():
        if candidate.score >= limit:
            count += 1
            kept.append(Open(count, candidate, decided_ms))
            findings.append(_finding("opened", kept[-1]))
    return msgspec.structs.replace(state, open=tuple(kept), findings=count), tuple(findings)


def _strongest(state: State, candidates: Iterable[Candidate]) -> dict[Kind | None, Candidate]:
    """Return the strongest candidate of each cause that nobody called normal; in the first two weeks, cautiously."""
    strongest: dict[Kind | None, Candidate] = {}
    days = state.reference.days
    for candidate in candidates:
        if is_normal(state.taught, candidate):
            continue
        score = min(_cautiously(candidate, days), MOST_SCORE)
        before = strongest.get(_cause(candidate.kind))
        if before is None or score > before.score:
            strongest[_cause(candidate.kind)] = msgspec.structs.replace(candidate, score=score)
    return strongest


def _cautiously(candidate: Candidate, days: int) -> int:
    """Return the score as far as the days that are known carry it: fully after two weeks."""
    if days >= FULL_AFTER_DAYS or candidate.kind is Kind.REGISTER_BACK:
        return candidate.score
    if candidate.comparison.measure in _AT_ONCE or candidate.comparison.measure is Measure.WINDOW_POWER:
        return candidate.score * days // FULL_AFTER_DAYS
    return min(candidate.score, 2 * LIMIT) * days * days // FULL_AFTER_DAYS**2


def _go_on(one: Open, candidate: Candidate | None, decided_ms: int) -> tuple[Open | None, Finding | None]:
    """Return an open finding with what is new about it; None for one that is over and forgotten."""
    if candidate is not None and candidate.score >= GOES_ON:
        grown = candidate.score * 2 >= 3 * one.candidate.score and not one.ended
        same = msgspec.structs.replace(
            one.candidate,
            score=max(candidate.score, one.candidate.score),
            extra_mw=candidate.extra_mw,
            comparison=candidate.comparison
            if candidate.comparison.measure is one.candidate.comparison.measure
            else one.candidate.comparison,
        )
        after = msgspec.structs.replace(one, candidate=same if grown else one.candidate, seen_ms=decided_ms)
        return after, _finding("updated", after, decided_ms) if grown else None
    quiet_ms = decided_ms - one.seen_ms
    if one.ended:
        return (one, None) if quiet_ms < LINGERS_MS else (None, None)
    patience_ms = MS_PER_QUARTER_HOUR if one.candidate.comparison.measure in _AT_ONCE else LINGERS_MS
    if quiet_ms < patience_ms:
        return one, None
    ended = _finding("ended", one, decided_ms)
    keep = _cause(one.candidate.kind) is None and quiet_ms < LINGERS_MS
    return (msgspec.structs.replace(one, ended=True) if keep else None), ended


def _finding(transition: str, one: Open, decided_ms: int | None = None) -> Finding:
    candidate = one.candidate
    return Finding(
        transition=transition,  # type: ignore[arg-type]  # one of the three
        number=one.number,
        kind=candidate.kind,
        since_ms=candidate.since_ms,
        decided_ms=one.seen_ms if decided_ms is None else decided_ms,
        score=candidate.score,
        extra_mw=candidate.extra_mw,
        comparison=candidate.comparison,
    )
