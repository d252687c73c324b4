"""Tests after every quarter-hour: cheap comparisons with what is usual."""

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.detection.days import flat_class
from energy_tracker.services.usage.model.detection.findings import Candidate, Comparison, Kind, Measure
from energy_tracker.services.usage.model.detection.quarter_hours import NOTHING, QuarterHour
from energy_tracker.services.usage.model.detection.state import WINDOWS, Reference, Runs, State

MINUTES = 15
QUARTERS_A_DAY = 96
LEAST_GAP = 3
LEAST_FLAT = 3
LEAST_FALL_MJ = 36_000_000
"""10 Wh: less is jitter (docs/decisions/what-a-register-may-do.md)."""

LEAST_STEP_MW = 2_000
"""A mean power that is higher by less than this is not worth a word."""

LEAST_DAYS = 3
LEAST_REST_OF_USE = 16
"""What usually rests for four hours waits for people; what does not has a rhythm of its own."""

LEAST_LOW_QUARTERS = 8
LEAST_SPIKE_MW = 5_000


def candidates(state: State, quarter: QuarterHour, *, away: bool = False) -> list[Candidate]:
    """Return what the newest quarter-hour, which the state holds already, gives cause to say."""
    found: list[Candidate] = []
    end_ms = state.last_start_ms + MS_PER_QUARTER_HOUR
    if quarter.fell_mj >= LEAST_FALL_MJ:
        found.append(_fall(quarter, end_ms))
    reference, runs = state.reference, state.runs
    if reference.days < LEAST_DAYS:
        return found
    if runs.gap:
        if runs.gap >= LEAST_GAP and runs.gap > reference.gap:
            found.append(_silence(runs, reference, end_ms))
        return found
    _add_measured(found, state, quarter, end_ms)
    _add_behaviour(found, state, end_ms)
    if away and reference.rest_usual >= LEAST_REST_OF_USE:
        found = [one for one in found if one.kind is not Kind.DEAD]
    return found


def _add_measured(found: list[Candidate], state: State, quarter: QuarterHour, end_ms: int) -> None:
    """Add what single readings say: one too high, or all the same."""
    reference, runs = state.reference, state.runs
    if quarter.top_mw > reference.highest + LEAST_SPIKE_MW and reference.highest >= LEAST_SPIKE_MW:
        found.append(_spike(quarter, reference, end_ms))
    if runs.flat >= LEAST_FLAT:
        _add_flat(found, state, end_ms)


def _add_behaviour(found: list[Candidate], state: State, end_ms: int) -> None:
    """Add what stretches of mean powers say: at rest, at nothing, or on for too long."""
    reference, runs = state.reference, state.runs
    if runs.rest > reference.rest and not state.is_home:
        found.append(_rest(runs, reference, end_ms))
    if state.means[-1] * 2 <= reference.floor and (low := _low(state, end_ms)) is not None:
        found.append(low)
    if reference.floor < reference.on_mw and runs.on > reference.run:
        _add_windows(found, state, end_ms)
        found.append(_run(state, end_ms))


def _since(end_ms: int, quarters: int) -> int:
    return end_ms - quarters * MS_PER_QUARTER_HOUR


def _fall(quarter: QuarterHour, end_ms: int) -> Candidate:
    compared = Comparison(Measure.FALL, quarter.start_ms, end_ms, quarter.fell_mj, 0, 0, 0)
    return Candidate(Kind.REGISTER_BACK, 1_000, quarter.start_ms, 0, compared)


def _silence(runs: Runs, reference: Reference, end_ms: int) -> Candidate:
    limit = max(LEAST_GAP, (reference.gap * 5 + 3) // 4)
    compared = Comparison(
        Measure.SILENCE,
        _since(end_ms, runs.gap),
        end_ms,
        runs.gap * MINUTES,
        0,
        0,
        reference.gap * MINUTES,
    )
    return Candidate(Kind.SILENT, runs.gap * 100 // limit, compared.from_ms, 0, compared)


def _spike(quarter: QuarterHour, reference: Reference, end_ms: int) -> Candidate:
    seen = quarter.top_mw
    scale = max(reference.highest - reference.highest_usual, reference.highest // 2, LEAST_SPIKE_MW)
    compared = Comparison(
        Measure.HIGHEST, quarter.start_ms, end_ms, seen, reference.highest_usual, 0, reference.highest
    )
    return Candidate(Kind.SPIKE, (seen - reference.highest) * 100 // scale, quarter.start_ms, 0, compared)


def _add_flat(found: list[Candidate], state: State, end_ms: int) -> None:
    reference, runs = state.reference, state.runs
    usual = reference.flats[flat_class(runs.flat_mw, reference)]
    limit = max(LEAST_FLAT, usual * 3 // 2 + min(usual, 2))
    if runs.flat <= usual:
        return
    kind = Kind.FROZEN if runs.flat_mw > 0 else Kind.DEAD
    at_level = reference.floor < reference.on_mw < runs.flat_mw and runs.flat_mw * 10 >= reference.level * 6
    if at_level and not state.is_home:
        kind = Kind.STUCK_ON
    if kind is Kind.DEAD:
        limit += limit // 2
    compared = Comparison(Measure.FLAT, _since(end_ms, runs.flat), end_ms, runs.flat * MINUTES, 0, 0, usual * MINUTES)
    found.append(Candidate(kind, runs.flat * 100 // limit, compared.from_ms, 0, compared))


def _rest(runs: Runs, reference: Reference, end_ms: int) -> Candidate:
    limit = (reference.rest * 4 // 3 if reference.rest < QUARTERS_A_DAY else reference.rest * 3 // 2) + 4
    compared = Comparison(
        Measure.REST, _since(end_ms, runs.rest), end_ms, runs.rest * MINUTES, 0, 0, reference.rest * MINUTES
    )
    return Candidate(Kind.DEAD, runs.rest * 100 // limit, compared.from_ms, -reference.level, compared)


def _run(state: State, end_ms: int) -> Candidate:
    runs, reference = state.runs, state.reference
    limit = reference.run * 3 // 2 + 2
    stretch = state.means[-runs.on :] if runs.on <= len(state.means) else state.means
    mean = sum(max(mean, 0) for mean in stretch) // len(stretch)
    steady = min(stretch) * 2 > max(stretch)
    kind = Kind.STUCK_ON if steady else Kind.NEVER_OFF
    compared = Comparison(
        Measure.RUN, _since(end_ms, runs.on), end_ms, runs.on * MINUTES, 0, 0, reference.run * MINUTES
    )
    extra = mean - reference.most_usual[-1] if reference.most_usual else mean
    return Candidate(kind, runs.on * 100 // limit, compared.from_ms, extra, compared)


def _add_windows(found: list[Candidate], state: State, end_ms: int) -> None:
    """Compare the mean power of stretches, during which it was on all the time, with the highest that there were."""
    reference, means, runs = state.reference, state.means, state.runs
    best, best_score = -1, 0
    for index, length in enumerate(WINDOWS):
        if runs.on < length:
            break
        mean, most = window_mean(means, length), reference.most[index]
        if mean > most + LEAST_STEP_MW:
            scale = max(most - reference.most_usual[index], most * 15 // 100, LEAST_STEP_MW)
            score = (mean - most) * 100 // scale
            if score > best_score:
                best, best_score = index, score
    if best >= 0:
        found.append(_high(state, best, best_score, end_ms))


def _high(state: State, index: int, score: int, end_ms: int) -> Candidate:
    reference, length = state.reference, WINDOWS[index]
    mean, usual = window_mean(state.means, length), reference.most_usual[index]
    compared = Comparison(
        Measure.WINDOW_POWER, _since(end_ms, length), end_ms, mean, usual, reference.least[index], reference.most[index]
    )
    return Candidate(Kind.STUCK_ON, score, compared.from_ms, mean - usual, compared)


def _low(state: State, end_ms: int) -> Candidate | None:
    """Compare what is drawn with the least that ever was: half of that is no rest but a loss."""
    reference = state.reference
    for index, length in enumerate(WINDOWS):
        least = reference.least[index]
        if length < LEAST_LOW_QUARTERS or least < LEAST_STEP_MW:
            continue
        mean = window_mean(state.means, length)
        if mean != NOTHING and mean * 2 <= (reference.floor if state.is_home else least):
            usual = reference.least_usual[index]
            compared = Comparison(
                Measure.WINDOW_POWER, _since(end_ms, length), end_ms, mean, usual, least, reference.most[index]
            )
            return Candidate(Kind.DEAD, (least - mean) * 200 // least, compared.from_ms, mean - usual, compared)
    return None


def window_mean(means: tuple[int, ...], length: int) -> int:
    """Return the mean power of the last quarter-hours, `NOTHING` where a quarter of them is not known."""
    stretch = means[-length:]
    unknown = stretch.count(NOTHING)
    known = len(stretch) - unknown
    return (sum(stretch) - unknown * NOTHING) // known if known * 4 >= length * 3 else NOTHING
