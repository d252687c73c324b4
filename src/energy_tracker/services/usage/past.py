"""Judging a home's past again where it has changed, a piece at a time."""

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.usage.ports import Recorded, Span
from energy_tracker.services.usage.watch import HomeWatch

JUDGED_AT_ONCE_MS = 7 * MS_PER_DAY


async def judge_a_piece(watch: HomeWatch, span: Span, *, now_ms: int) -> Recorded:
    """Return the turn that judges the beginning of a stretch; pieces are so long that their end cuts no episode."""
    length_ms = JUDGED_AT_ONCE_MS
    while True:
        turn = Recorded(judged=[span])
        piece = Span(span.user_id, span.from_ms, min(span.to_ms, span.from_ms + length_ms))
        judged_ms = await watch.judge_again(piece, turn, now_ms=now_ms)
        if judged_ms > span.from_ms or piece.to_ms == span.to_ms:
            break
        length_ms *= 2
    if piece.to_ms < span.to_ms:
        turn.to_judge = [Span(span.user_id, judged_ms, span.to_ms)]
    return turn
