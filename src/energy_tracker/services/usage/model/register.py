"""Cumulative registers: which rises are energy, and what a fall means.

Real meters and their gateways send zeros, small falls, restarts and jumps that no fuse could carry; each rule here is
named by the mark that it leaves on its step. A fall or an implausible jump is held until the next readings judge it.
"""

from typing import Final

import msgspec

from energy_tracker.kit.instants import MS_PER_SECOND
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

RISE_TOLERANCE_MJ: Final = MILLIJOULES_PER_KILOWATT_HOUR
"""Meters that count whole kWh rise by one at an instant."""

RATED_POWER_MARGIN: Final = 1.1
SMALLEST_ROLLOVER_KWH: Final = 10_000
ROLLOVER_MARGIN: Final = 0.05
"""How near to its greatest value, as a share of it, a register is just below it."""


class HeldValue(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A value that does not follow from the ones before it, since when, and the last one like it."""

    time_ms: int
    value_mj: int
    last_ms: int


class RegisterState(msgspec.Struct, frozen=True, gc=False, tag="register", array_like=True):
    """The value that is believed, in mJ, when it was read, the greatest power so far, and a value that is held."""

    time_ms: int
    value_mj: int
    peak_w: float = 0.0
    held: HeldValue | None = None


Advanced = tuple[RegisterState, tuple[Step, ...]]


def advance_register(state: RegisterState | None, time_ms: int, register_kwh: float, rules: DeviceRules) -> Advanced:
    """Take one value of a cumulative register."""
    value_mj = kwh_to_millijoules(register_kwh)
    if state is None:
        return RegisterState(time_ms, value_mj), (_nothing(time_ms, time_ms, Mark.BASELINE, None, value_mj),)
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
        if rise_mj > _greatest_rise(rules, time_ms - start):
            return _hold(state, time_ms, value_mj), ()
        power_w = rise_mj / max(time_ms - start, MS_PER_SECOND)
        step = Step(start, time_ms, rise_mj, start, Mark.PLAIN, _kwh(state.value_mj), _kwh(value_mj))
        return RegisterState(time_ms, value_mj, max(state.peak_w, power_w)), (step,)
    if -rise_mj < JITTER_MJ:
        step = Step(start, time_ms, 0, start, Mark.JITTER, _kwh(state.value_mj), _kwh(value_mj))
        return RegisterState(time_ms, state.value_mj, state.peak_w), (step,)
    return _hold(state, time_ms, value_mj), ()


def _judge_fall(state: RegisterState, held: HeldValue, time_ms: int, value_mj: int, rules: DeviceRules) -> Advanced:
    """Judge a fall by the value after it: taken back, not yet clear, or the beginning of a new count."""
    if value_mj > state.value_mj - JITTER_MJ:
        return _take_back(state, held, time_ms, value_mj, rules)
    if value_mj == held.value_mj:
        return _with_held(state, HeldValue(held.time_ms, held.value_mj, time_ms)), ()
    if value_mj < held.value_mj:
        if held.value_mj - value_mj < JITTER_MJ:
            return _with_held(state, HeldValue(held.time_ms, held.value_mj, time_ms)), ()
        glitch = _nothing(held.time_ms, held.last_ms, Mark.GLITCH, state.value_mj, held.value_mj)
        return _hold(state, time_ms, value_mj), (glitch,)
    return _begin_new_count(state, held, time_ms, value_mj, rules)


def _judge_jump(state: RegisterState, held: HeldValue, time_ms: int, value_mj: int, rules: DeviceRules) -> Advanced:
    """Judge a jump by the value after it: taken back, gone on with (another meter), or jumped again."""
    rise_mj = value_mj - state.value_mj
    if -JITTER_MJ < rise_mj <= _greatest_rise(rules, time_ms - state.time_ms):
        return _take_back(state, held, time_ms, value_mj, rules)
    beyond_mj = value_mj - held.value_mj
    if -JITTER_MJ < beyond_mj <= _greatest_rise(rules, time_ms - held.last_ms):
        return _begin_new_count(state, held, time_ms, value_mj, rules)
    glitch = _nothing(held.time_ms, held.last_ms, Mark.GLITCH, state.value_mj, held.value_mj)
    return _hold(state, time_ms, value_mj), (glitch,)


def _take_back(state: RegisterState, held: HeldValue, time_ms: int, value_mj: int, rules: DeviceRules) -> Advanced:
    glitch = _nothing(held.time_ms, held.last_ms, Mark.GLITCH, state.value_mj, held.value_mj)
    following, steps = _follow(_with_held(state, None), time_ms, value_mj, rules)
    return following, (glitch, *steps)


def _begin_new_count(
    state: RegisterState, held: HeldValue, time_ms: int, value_mj: int, rules: DeviceRules
) -> Advanced:
    """Believe the held value, account for the way to it, and go on from there."""
    mark, energy_mj = _meaning(state, held, rules)
    covered_from = held.time_ms if mark is Mark.SWAP else state.time_ms
    way = Step(state.time_ms, held.time_ms, energy_mj, covered_from, mark, _kwh(state.value_mj), _kwh(held.value_mj))
    stay: tuple[Step, ...] = ()
    if held.last_ms > held.time_ms:
        amount = _kwh(held.value_mj)
        stay = (Step(held.time_ms, held.last_ms, 0, held.time_ms, Mark.PLAIN, amount, amount),)
    begun = RegisterState(held.last_ms, held.value_mj, state.peak_w)
    following, steps = _follow(begun, time_ms, value_mj, rules)
    return following, (way, *stay, *steps)


def _meaning(state: RegisterState, held: HeldValue, rules: DeviceRules) -> tuple[Mark, int]:
    """Say what a value that stayed means, and the energy in mJ of the way to it."""
    if held.value_mj > state.value_mj:
        return Mark.SWAP, 0
    elapsed_ms = max(held.time_ms - state.time_ms, MS_PER_SECOND)
    full_mj = SMALLEST_ROLLOVER_KWH * MILLIJOULES_PER_KILOWATT_HOUR
    while full_mj <= state.value_mj:
        full_mj *= 10
    over_mj = full_mj - state.value_mj + held.value_mj
    rate_w = state.peak_w or rules.rated_power_w or HOUSE_CONNECTION_W
    if over_mj <= min(ROLLOVER_MARGIN * full_mj, 2 * rate_w * elapsed_ms + JITTER_MJ):
        return Mark.ROLLOVER, over_mj
    greatest_w = max(
        rules.rated_power_w * RATED_POWER_MARGIN if rules.rated_power_w else HOUSE_CONNECTION_W, 2 * state.peak_w
    )
    if held.value_mj <= greatest_w * elapsed_ms + JITTER_MJ:
        return Mark.RESET, held.value_mj
    return Mark.SWAP, 0


def _greatest_rise(rules: DeviceRules, elapsed_ms: int) -> float:
    greatest_w = rules.rated_power_w * RATED_POWER_MARGIN if rules.rated_power_w else IMPLAUSIBLE_RISE_W
    return greatest_w * elapsed_ms + RISE_TOLERANCE_MJ


def _hold(state: RegisterState, time_ms: int, value_mj: int) -> RegisterState:
    return _with_held(state, HeldValue(time_ms, value_mj, time_ms))


def _with_held(state: RegisterState, held: HeldValue | None) -> RegisterState:
    return RegisterState(state.time_ms, state.value_mj, state.peak_w, held)


def _nothing(start_ms: int, end_ms: int, mark: Mark, before_mj: int | None, value_mj: int) -> Step:
    return Step(start_ms, end_ms, 0, end_ms, mark, None if before_mj is None else _kwh(before_mj), _kwh(value_mj))


def _kwh(energy_mj: int) -> float:
    return millijoules_to_kwh(energy_mj)
