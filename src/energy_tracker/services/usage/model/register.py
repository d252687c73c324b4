"""Cumulative registers: which rises are energy, and what a fall means.

Real meters and their gateways send zeros, small falls, restarts and jumps that no fuse could carry; each rule here is
named by the mark that it leaves on its step. A fall or an implausible jump is held until the next readings judge it.
Why each limit is what it is: docs/decisions/what-a-register-may-do.md.
"""

from typing import Final

import msgspec

from energy_tracker.kit.instants import MS_PER_HOUR, MS_PER_QUARTER_HOUR, MS_PER_SECOND
from energy_tracker.kit.quantities import (
    MILLIJOULES_PER_KILOWATT_HOUR,
    MILLIJOULES_PER_WATT_HOUR,
    kwh_to_millijoules,
    millijoules_to_kwh,
)
from energy_tracker.services.usage.model.readings import DeviceRules
from energy_tracker.services.usage.model.steps import Mark, Step

JITTER_MJ: Final = 10 * MILLIJOULES_PER_WATT_HOUR
"""A fall below this is noise of the meter. Absolute: a percentage would grow with the meter's age."""

HOUSE_CONNECTION_W: Final = 43_500
"""What three phases of 63 A at 230 V carry: a common upper limit of a home's connection."""

IMPLAUSIBLE_RISE_W: Final = 1_000_000
"""Without a rated power, a rise beyond 1 MW is taken for a changed unit or meter; a building's connection is below."""

TENFOLD: Final = 10
"""A value above ten times the one before, by more than a home's connection carries, is a changed unit or meter."""

RISE_TOLERANCE_MJ: Final = MILLIJOULES_PER_KILOWATT_HOUR
"""Meters that count whole kWh rise by one at an instant."""

RATED_POWER_MARGIN: Final = 1.1
STEADY: Final = 2
"""Rates that differ by at most this factor are the same rate."""

SMALLEST_ROLLOVER_KWH: Final = 10_000
ROLLOVER_MARGIN: Final = 0.05
"""How near to its greatest value, as a share of it, a register is just below it."""

RESET_BELOW: Final = 0.9
"""A register that began again from 0 has seldom come this near, as a share, to where it was."""


class HeldValue(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A value that does not follow from the ones before it, since when, and the last one like it."""

    time_ms: int
    value_mj: int
    last_ms: int


class RegisterState(msgspec.Struct, frozen=True, gc=False, tag="register", array_like=True):
    """The value that is believed, in mJ, when it was read, and a value that is held.

    `peak_w` is the greatest mean power between the first values of two quarter-hours; `quarter_ms` and `quarter_mj` are
    the first believed value of the last quarter-hour, from which the next one is measured.
    """

    time_ms: int
    value_mj: int
    quarter_ms: int
    quarter_mj: int
    peak_w: float = 0.0
    held: HeldValue | None = None


Advanced = tuple[RegisterState, tuple[Step, ...]]


def advance_register(state: RegisterState | None, time_ms: int, register_kwh: float, rules: DeviceRules) -> Advanced:
    """Take one value of a cumulative register."""
    value_mj = kwh_to_millijoules(register_kwh)
    if state is None:
        return _begun(time_ms, value_mj, 0.0), (_nothing(time_ms, time_ms, Mark.BASELINE, None, value_mj),)
    held = state.held
    if held is None:
        return _follow(state, time_ms, value_mj, rules)
    if held.value_mj < state.value_mj:
        return _judge_fall(state, held, time_ms, value_mj, rules)
    return _judge_jump(state, held, time_ms, value_mj, rules)


def register_tail(state: RegisterState) -> tuple[Step, ...]:
    """Return the held value, which is no energy so far."""
    if state.held is None:
        return ()
    return (_nothing(state.held.time_ms, state.held.last_ms, Mark.HELD, state.value_mj, state.held.value_mj),)


def _follow(state: RegisterState, time_ms: int, value_mj: int, rules: DeviceRules) -> Advanced:
    """Judge a value beside the believed one."""
    start, rise_mj = state.time_ms, value_mj - state.value_mj
    if rise_mj >= 0:
        if rise_mj > _greatest_rise(state, state.value_mj, time_ms - start, rules):
            return _hold(state, time_ms, value_mj), ()
        step = Step(start, time_ms, rise_mj, start, Mark.PLAIN, _kwh(state.value_mj), _kwh(value_mj))
        return _risen(state, time_ms, value_mj), (step,)
    if -rise_mj < JITTER_MJ:
        step = Step(start, time_ms, 0, start, Mark.JITTER, _kwh(state.value_mj), _kwh(value_mj))
        return _risen(state, time_ms, state.value_mj), (step,)
    return _hold(state, time_ms, value_mj), ()


def _judge_fall(state: RegisterState, held: HeldValue, time_ms: int, value_mj: int, rules: DeviceRules) -> Advanced:
    """Judge a fall by the value after it: taken back, not yet clear, or the beginning of a new count."""
    if value_mj > state.value_mj - JITTER_MJ:
        return _take_back(state, held, time_ms, value_mj, rules)
    if value_mj > held.value_mj:
        return _begin_new_count(state, held, time_ms, value_mj, rules)
    if held.value_mj - value_mj < JITTER_MJ:
        return _hold_on(state, held, time_ms), ()
    return _hold(state, time_ms, value_mj), (_glitch(state, held),)


def _judge_jump(state: RegisterState, held: HeldValue, time_ms: int, value_mj: int, rules: DeviceRules) -> Advanced:
    """Judge a jump by the value after it: not yet clear, gone on with, taken back, or jumped again."""
    beyond_mj = value_mj - held.value_mj
    if -JITTER_MJ < beyond_mj <= 0:
        return _hold_on(state, held, time_ms), ()
    if beyond_mj > 0:
        if beyond_mj <= _greatest_rise(state, held.value_mj, time_ms - held.last_ms, rules):
            return _begin_new_count(state, held, time_ms, value_mj, rules)
        if _is_steady(state, held, time_ms, value_mj):
            return _count_fast(state, held, time_ms, value_mj)
    elif (
        -JITTER_MJ < value_mj - state.value_mj <= _greatest_rise(state, state.value_mj, time_ms - state.time_ms, rules)
    ):
        return _take_back(state, held, time_ms, value_mj, rules)
    return _hold(state, time_ms, value_mj), (_glitch(state, held),)


def _is_steady(state: RegisterState, held: HeldValue, time_ms: int, value_mj: int) -> bool:
    """Tell whether a register went on as fast as it jumped: then it is no jump, but a greater power than expected."""
    first = (held.value_mj - state.value_mj) * max(time_ms - held.last_ms, MS_PER_SECOND)
    second = (value_mj - held.value_mj) * max(held.time_ms - state.time_ms, MS_PER_SECOND)
    return first <= STEADY * second and second <= STEADY * first


def _count_fast(state: RegisterState, held: HeldValue, time_ms: int, value_mj: int) -> Advanced:
    way = _way(state, held, Mark.FAST, held.value_mj - state.value_mj)
    rise_mj = value_mj - held.value_mj
    step = Step(held.last_ms, time_ms, rise_mj, held.last_ms, Mark.FAST, _kwh(held.value_mj), _kwh(value_mj))
    following = _risen(_risen(_released(state), held.time_ms, held.value_mj), time_ms, value_mj)
    return following, (way, *_stay(held), step)


def _take_back(state: RegisterState, held: HeldValue, time_ms: int, value_mj: int, rules: DeviceRules) -> Advanced:
    following, steps = _follow(_released(state), time_ms, value_mj, rules)
    return following, (_glitch(state, held), *steps)


def _begin_new_count(
    state: RegisterState, held: HeldValue, time_ms: int, value_mj: int, rules: DeviceRules
) -> Advanced:
    """Believe the held value, account for the way to it, and go on from there."""
    way = _way(state, held, *_meaning(state, held, rules))
    following, steps = _follow(_begun(held.last_ms, held.value_mj, state.peak_w), time_ms, value_mj, rules)
    return following, (way, *_stay(held), *steps)


def _meaning(state: RegisterState, held: HeldValue, rules: DeviceRules) -> tuple[Mark, int]:
    """Say what a value that stayed means, and the energy in mJ of the way to it."""
    elapsed_ms = held.time_ms - state.time_ms
    if held.value_mj > state.value_mj:
        rise_mj = held.value_mj - state.value_mj
        if rules.rated_power_w and rise_mj <= STEADY * _greatest_rise(state, state.value_mj, elapsed_ms, rules):
            return Mark.FAST, rise_mj
        return Mark.SWAP, 0
    full_mj = SMALLEST_ROLLOVER_KWH * MILLIJOULES_PER_KILOWATT_HOUR
    while full_mj <= state.value_mj:
        full_mj *= 10
    over_mj = full_mj - state.value_mj + held.value_mj
    rate_w = state.peak_w or rules.rated_power_w or HOUSE_CONNECTION_W
    if over_mj <= min(ROLLOVER_MARGIN * full_mj, STEADY * rate_w * elapsed_ms + RISE_TOLERANCE_MJ):
        return Mark.ROLLOVER, over_mj
    rated_w = rules.rated_power_w * RATED_POWER_MARGIN if rules.rated_power_w else HOUSE_CONNECTION_W
    counted_mj = max(rated_w, STEADY * state.peak_w) * elapsed_ms + RISE_TOLERANCE_MJ
    if held.value_mj <= min(RESET_BELOW * state.value_mj, counted_mj):
        return Mark.RESET, held.value_mj
    return Mark.SWAP, 0


def _greatest_rise(state: RegisterState, from_mj: int, elapsed_ms: int, rules: DeviceRules) -> float:
    """Return by how many mJ a register that stood at `from_mj` can have risen in a time."""
    if rules.rated_power_w:
        return max(rules.rated_power_w * RATED_POWER_MARGIN, state.peak_w) * elapsed_ms + RISE_TOLERANCE_MJ
    lasting_w = max(HOUSE_CONNECTION_W, STEADY * state.peak_w)
    home_mj = lasting_w * elapsed_ms + RISE_TOLERANCE_MJ
    building_mj = home_mj + max(IMPLAUSIBLE_RISE_W - lasting_w, 0) * min(elapsed_ms, MS_PER_HOUR)
    return min(building_mj, max(home_mj, (TENFOLD - 1) * from_mj))


def _begun(time_ms: int, value_mj: int, peak_w: float) -> RegisterState:
    return RegisterState(time_ms, value_mj, time_ms, value_mj, peak_w)


def _risen(state: RegisterState, time_ms: int, value_mj: int) -> RegisterState:
    quarter_ms, quarter_mj = state.quarter_ms, state.quarter_mj
    if time_ms // MS_PER_QUARTER_HOUR == quarter_ms // MS_PER_QUARTER_HOUR:
        return RegisterState(time_ms, value_mj, quarter_ms, quarter_mj, state.peak_w)
    power_w = (value_mj - quarter_mj) / max(time_ms - quarter_ms, MS_PER_QUARTER_HOUR)
    return RegisterState(time_ms, value_mj, time_ms, value_mj, max(state.peak_w, power_w))


def _hold(state: RegisterState, time_ms: int, value_mj: int) -> RegisterState:
    return _with_held(state, HeldValue(time_ms, value_mj, time_ms))


def _hold_on(state: RegisterState, held: HeldValue, time_ms: int) -> RegisterState:
    return _with_held(state, HeldValue(held.time_ms, held.value_mj, time_ms))


def _released(state: RegisterState) -> RegisterState:
    return _with_held(state, None)


def _with_held(state: RegisterState, held: HeldValue | None) -> RegisterState:
    return RegisterState(state.time_ms, state.value_mj, state.quarter_ms, state.quarter_mj, state.peak_w, held)


def _way(state: RegisterState, held: HeldValue, mark: Mark, energy_mj: int) -> Step:
    covered_from = held.time_ms if mark is Mark.SWAP else state.time_ms
    return Step(state.time_ms, held.time_ms, energy_mj, covered_from, mark, _kwh(state.value_mj), _kwh(held.value_mj))


def _stay(held: HeldValue) -> tuple[Step, ...]:
    if held.last_ms == held.time_ms:
        return ()
    value_kwh = _kwh(held.value_mj)
    return (Step(held.time_ms, held.last_ms, 0, held.time_ms, Mark.PLAIN, value_kwh, value_kwh),)


def _glitch(state: RegisterState, held: HeldValue) -> Step:
    return _nothing(held.time_ms, held.last_ms, Mark.GLITCH, state.value_mj, held.value_mj)


def _nothing(start_ms: int, end_ms: int, mark: Mark, before_mj: int | None, value_mj: int) -> Step:
    return Step(start_ms, end_ms, 0, end_ms, mark, None if before_mj is None else _kwh(before_mj), _kwh(value_mj))


def _kwh(energy_mj: int) -> float:
    return millijoules_to_kwh(energy_mj)
