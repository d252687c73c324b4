"""Judging a home's past again where it has changed, a piece at a time."""

from collections.abc import AsyncIterator

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR
from energy_tracker.services.usage.history import steps_of_home
from energy_tracker.services.usage.model.high_usage import Crossing, HomeHour
from energy_tracker.services.usage.ports import Directory, ReadingStore, Recorded, Span
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


async def crossings_between(
    store: ReadingStore, directory: Directory, user_id: int, *, from_ms: int, to_ms: int, threshold_mj: int
) -> AsyncIterator[Crossing]:
    """Yield where the last hour of a home crossed a threshold within `[from_ms, to_ms)`, a day at a time."""
    hour = HomeHour(head_ms=from_ms - MS_PER_HOUR)
    start_ms = from_ms - MS_PER_HOUR
    while start_ms < to_ms:
        end_ms = min(to_ms, start_ms + MS_PER_DAY)
        steps = await steps_of_home(store, directory, user_id, from_ms=start_ms, to_ms=end_ms)
        ended = [(stream, step) for stream, step in steps if start_ms < step.end_ms <= end_ms]
        for crossing in hour.pass_over(ended, tails=(), head_ms=end_ms, threshold_mj=threshold_mj):
            if crossing.at_ms >= from_ms:
                yield crossing
        start_ms = end_ms
