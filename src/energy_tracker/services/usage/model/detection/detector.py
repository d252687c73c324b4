"""The fold: a state and a closed quarter-hour give the next state and what there is to say."""

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

import msgspec

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR, MS_PER_SECOND
from energy_tracker.services.usage.model.detection import acute, daily
from energy_tracker.services.usage.model.detection.causes import LIMIT, judge, same_cause
from energy_tracker.services.usage.model.detection.days import end_day, flat_class, with_flat
from energy_tracker.services.usage.model.detection.findings import Candidate, Finding
from energy_tracker.services.usage.model.detection.quarter_hours import NOTHING, QuarterHour
from energy_tracker.services.usage.model.detection.reference import make_reference
from energy_tracker.services.usage.model.detection.schedule import evidence
from energy_tracker.services.usage.model.detection.state import (
    KEPT_DAYS,
    KEPT_QUARTERS,
    NO_WINDOW,
    WINDOWS,
    Runs,
    State,
    Today,
)
from energy_tracker.services.usage.model.detection.weather import NO_WEATHER, Weather

LONGEST_SILENCE: Final = 14 * 96
"""A device that comes back after two weeks is not followed through each quarter-hour of its absence."""


LEAST_FIRST_MW: Final = 1_000
"""A device that is plugged in and not used yet has no history."""


class QuarterHourOutOfOrder(ValueError):
    """The quarter-hour does not begin after the one before it."""


class _How(NamedTuple):
    """How quarter-hours are taken; see `observe`."""

    zone: tzinfo
    limit: int
    away: bool
    weather: Weather


def observe(
    state: State,
    quarter: QuarterHour,
    *,
    zone: tzinfo,
    limit: int = LIMIT,
    away: bool = False,
    weather: Weather = NO_WEATHER,
) -> tuple[State, tuple[Finding, ...]]:
    """Take the next closed quarter-hour of a device or home; return the next state and the findings that change.

    Quarter-hours come in order of time, each once. Those without readings may be left out (of more than two weeks, all
    but the last two): they are found out about with the next one. `zone` is the home's, `limit` the score from which
    a finding opens; `away` says that nobody is at home (`homes.is_away`), so that what is not used is not taken for
    dead; `weather` how cold it is outside, as far as that is known.
    Raises `QuarterHourOutOfOrder`.
    """
    if quarter.start_ms <= state.last_start_ms:
        raise QuarterHourOutOfOrder(f"{quarter.start_ms} after {state.last_start_ms}")
    findings: list[Finding] = []
    how = _How(zone, limit, away, weather)
    if state.last_start_ms >= 0:
        start_ms = max(
            state.last_start_ms + MS_PER_QUARTER_HOUR, quarter.start_ms - LONGEST_SILENCE * MS_PER_QUARTER_HOUR
        )
        while start_ms < quarter.start_ms:
            state, found = _step(state, QuarterHour(start_ms, 0, 0, readings=0), how)
            findings += found
            start_ms += MS_PER_QUARTER_HOUR
    state, found = _step(state, quarter, how)
    return state, (*findings, *found)


def _step(state: State, quarter: QuarterHour, how: _How) -> tuple[State, tuple[Finding, ...]]:
    local = datetime.fromtimestamp(quarter.start_ms // MS_PER_SECOND, how.zone)
    date = local.toordinal()
    findings: tuple[Finding, ...] = ()
    if date != state.today.date:
        state, findings = _next_day(state, date, quarter.start_ms, how)
    state = _take(state, quarter, local.hour)
    given = acute.candidates(state, quarter, away=how.away)
    if given or state.open:
        state, found = _judge(state, given, quarter.start_ms + MS_PER_QUARTER_HOUR, how)
        findings += found
    return state, findings


def _judge(
    state: State, candidates: Sequence[Candidate], decided_ms: int, how: _How
) -> tuple[State, tuple[Finding, ...]]:
    """Judge; what the weather explains opens nothing, but does not end what is open."""
    if how.weather.outdoor:
        going_on = [one.candidate.kind for one in state.open if not one.ended]
        candidates = [
            each
            for each in candidates
            if any(same_cause(each.kind, kind) for kind in going_on)
            or not how.weather.explains(each, state.history, decided_ms)
        ]
    return judge(state, candidates, decided_ms, how.limit)


def _next_day(state: State, date: int, start_ms: int, how: _How) -> tuple[State, tuple[Finding, ...]]:
    findings: tuple[Finding, ...] = ()
    if state.today.hours:
        day = end_day(state)
        if not day.covered or (not state.history and day.highest < LEAST_FIRST_MW):
            return msgspec.structs.replace(state, today=Today(date, start_ms)), ()
        history = (*state.history, day)[-KEPT_DAYS:]
        history = (*history[:-1], msgspec.structs.replace(day, shift=evidence(history)))
        state = msgspec.structs.replace(state, history=history)
        given = daily.candidates(state, start_ms)
        state, findings = _judge(state, given, start_ms, how)
        state = msgspec.structs.replace(state, reference=make_reference(history))
    return msgspec.structs.replace(state, today=Today(date, start_ms)), findings


def _take(state: State, quarter: QuarterHour, hour: int) -> State:
    """Return the state with the quarter-hour in it."""
    mean, highest = quarter.mean_mw, quarter.top_mw
    if quarter.fell_mj or _is_spike(state, highest):
        mean = NOTHING
    means = (*state.means[1 - KEPT_QUARTERS :], mean)
    runs = _next_runs(state.runs, quarter, mean, state)
    lowest = mean if quarter.lowest_mw is None else quarter.lowest_mw
    most, least = _windows(means, state.today)
    before, today = state.runs, state.today
    flats = today.flats
    if runs.flat <= before.flat and before.flat > 1:
        flats = with_flat(flats, flat_class(before.flat_mw, state.reference), before.flat)
    today = Today(
        today.date,
        today.start_ms,
        (*today.hours, hour),
        (*today.highests, max(highest, 0)),
        _lower(today.lowest, lowest),
        most,
        least,
        today.starts + (runs.on == 1 and before.on == 0),
        max(today.longest_run, before.on) if runs.on < before.on else today.longest_run,
        max(today.longest_rest, before.rest) if runs.rest < before.rest else today.longest_rest,
        max(today.longest_gap, before.gap) if runs.gap < before.gap else today.longest_gap,
        flats,
    )
    return State(
        quarter.start_ms,
        means,
        runs,
        today,
        state.reference,
        state.history,
        state.findings,
        state.open,
        state.taught,
        state.is_home,
    )


def _lower(lowest: int, seen: int) -> int:
    return seen if lowest == NOTHING or 0 <= seen < lowest else lowest


def _is_spike(state: State, highest: int) -> bool:
    reference = state.reference
    known = reference.days >= acute.LEAST_DAYS and reference.highest >= acute.LEAST_SPIKE_MW
    return known and highest > 2 * reference.highest + acute.LEAST_SPIKE_MW


def _next_runs(runs: Runs, quarter: QuarterHour, mean: int, state: State) -> Runs:
    if not quarter.readings or not quarter.covered_ms:
        return Runs(runs.on, runs.rest, runs.gap + 1, 0, -1)
    if mean == NOTHING:
        return Runs(runs.on, runs.rest, 0, 0, -1)
    reference = state.reference
    lowest, highest = quarter.lowest_mw, quarter.highest_mw
    flat, flat_mw = 0, -1
    if lowest is None or highest is None:
        lowest = highest = mean
    if lowest == highest:
        flat, flat_mw = (runs.flat + 1 if runs.flat_mw == lowest else 1), lowest
    if not reference.days:
        return Runs(0, 0, 0, flat, flat_mw)
    on = runs.on + 1 if lowest > reference.on_mw else 0
    rest = runs.rest + 1 if mean <= reference.idle_mw else 0
    return Runs(on, rest, 0, flat, flat_mw)


def _windows(means: tuple[int, ...], today: Today) -> tuple[tuple[int, ...], tuple[int, ...]]:
    most, least = [], []
    for length, high, low in zip(WINDOWS, today.most, today.least, strict=True):
        mean = acute.window_mean(means, length)
        if mean == NOTHING:
            most.append(high)
            least.append(low)
        else:
            most.append(mean if mean > high else high)  # noqa: FURB136 - the cheaper form of max
            least.append(mean if low == NO_WINDOW or mean < low else low)
    return tuple(most), tuple(least)
