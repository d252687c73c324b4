"""Deriving energy: a pure fold over a stream's readings in (time, key) order.

A state says all that the readings so far mean for the next ones. `advance` takes one reading and returns the next state
and the steps that are settled by it: no later reading changes them. `tail` returns the steps that the last readings
make for the time being; they give way to what the next reading settles.
"""

from collections.abc import Sequence
from itertools import islice
from typing import TypeVar, assert_never

import msgspec

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR
from energy_tracker.kit.quantities import MILLIJOULES_PER_KILOWATT_HOUR, held_power_millijoules, kwh_to_millijoules
from energy_tracker.services.usage.model.readings import DeviceRules, Kind, Reading
from energy_tracker.services.usage.model.register import RegisterState, advance_register, register_tail
from energy_tracker.services.usage.model.steps import Mark, Step


class PowerState(msgspec.Struct, frozen=True, gc=False, tag="power", array_like=True):
    """The last power value."""

    time_ms: int
    power_w: float


class IntervalState(msgspec.Struct, frozen=True, gc=False, tag="interval", array_like=True):
    """When the last readings were: intervals that end together share the time since the one before them."""

    last_ms: int
    previous_ms: int | None
    covered_until_ms: int


State = PowerState | IntervalState | RegisterState
_PLAIN = Mark.PLAIN  # looking up a member of an enumeration takes as long as half a step
StateT = TypeVar("StateT", PowerState, IntervalState, RegisterState)


def advance(state: State | None, reading: Reading, rules: DeviceRules) -> tuple[State, tuple[Step, ...]]:
    """Take one reading of the counted kind; None is the state before the first."""
    match reading.kind:
        case "power":
            return _advance_power(_as(PowerState, state), reading, rules)
        case "interval":
            return _advance_interval(_as(IntervalState, state), reading)
        case "register":
            return advance_register(_as(RegisterState, state), reading.time_ms, reading.amount, rules)
        case _ as never:
            assert_never(never)


def advance_all(
    state: State | None, readings: Sequence[Reading], rules: DeviceRules, settled: list[Step], settled_by: list[Reading]
) -> State | None:
    """Take readings of the counted kind, in order; add the steps that they settle, and return the state after them.

    `settled_by` is given the reading that settled each step. It is `advance`, one by one, with a shorter way for powers
    and for the intervals that come most.
    """
    if isinstance(state, PowerState) and readings and readings[0].kind == "power":
        return _advance_powers(state, readings, rules.max_hold_ms, settled, settled_by)
    position = 0
    while position < len(readings):
        reading = readings[position]
        if reading.kind == "interval" and isinstance(state, IntervalState):
            first = position
            position, state = _advance_intervals(state, readings, first, settled)
            settled_by.extend(readings[first:position])
        if position < len(readings):
            reading = readings[position]
            state, steps = advance(state, reading, rules)
            for step in steps:
                settled.append(step)
                settled_by.append(reading)
            position += 1
    return state


def _advance_powers(
    state: PowerState, readings: Sequence[Reading], max_hold_ms: int, settled: list[Step], settled_by: list[Reading]
) -> PowerState:
    time_ms, power_w = state.time_ms, state.power_w
    for reading in readings:
        next_ms = reading.time_ms
        if next_ms != time_ms:
            held_ms = next_ms - time_ms
            held_ms = min(held_ms, max_hold_ms)
            energy_mj = round(power_w * held_ms)  # `held_power_millijoules`, without the call
            settled.append(Step(time_ms, time_ms + held_ms, energy_mj, time_ms, _PLAIN, power_w, power_w))
            settled_by.append(reading)
        time_ms, power_w = next_ms, reading.amount
    return PowerState(time_ms, power_w)


def _advance_intervals(
    state: IntervalState, readings: Sequence[Reading], first: int, settled: list[Step]
) -> tuple[int, IntervalState]:
    """Take intervals that each begin where the one before ended; return the position of the first that does not."""
    position = first
    last_ms, previous_ms, covered_until_ms = state.last_ms, state.previous_ms, state.covered_until_ms
    for reading in islice(readings, first, None):
        end_ms = reading.time_ms
        if reading.since_ms is not None or last_ms >= end_ms:
            break
        covered_from_ms = last_ms if covered_until_ms <= last_ms else min(end_ms, covered_until_ms)
        amount = reading.amount
        energy_mj = round(amount * MILLIJOULES_PER_KILOWATT_HOUR)
        settled.append(Step(last_ms, end_ms, energy_mj, covered_from_ms, _PLAIN, None, amount))
        previous_ms, last_ms = last_ms, end_ms
        covered_until_ms = max(end_ms, covered_until_ms)
        position += 1
    return position, IntervalState(last_ms, previous_ms, covered_until_ms)


def tail(state: State | None, rules: DeviceRules) -> tuple[Step, ...]:
    """Return what the last readings make for the time being."""
    if state is None or isinstance(state, IntervalState):
        return ()
    if isinstance(state, PowerState):
        return (_hold(state, state.time_ms + rules.max_hold_ms, Mark.HOLD),)
    return register_tail(state)


def kind_of(state: State) -> Kind:
    """Return the kind of readings that a state was made by."""
    if isinstance(state, PowerState):
        return "power"
    return "interval" if isinstance(state, IntervalState) else "register"


def _as(expected: type[StateT], state: State | None) -> StateT | None:
    if state is None or isinstance(state, expected):
        return state
    message = f"a {type(state).__name__} cannot take this kind of reading"
    raise TypeError(message)


def _hold(state: PowerState, until_ms: int, mark: Mark) -> Step:
    start = state.time_ms
    energy_mj = held_power_millijoules(state.power_w, until_ms - start)
    return Step(start, until_ms, energy_mj, start, mark, state.power_w, state.power_w)


def _advance_power(
    state: PowerState | None, reading: Reading, rules: DeviceRules
) -> tuple[PowerState, tuple[Step, ...]]:
    following = PowerState(reading.time_ms, reading.amount)
    if state is None or state.time_ms == reading.time_ms:
        return following, ()
    return following, (_hold(state, min(reading.time_ms, state.time_ms + rules.max_hold_ms), Mark.PLAIN),)


def _advance_interval(state: IntervalState | None, reading: Reading) -> tuple[IntervalState, tuple[Step, ...]]:
    end = reading.time_ms
    covered_until = state.covered_until_ms if state else None
    mark = Mark.PLAIN
    if reading.since_ms is not None:
        start = reading.since_ms
    elif state is None:
        end += -end % MS_PER_QUARTER_HOUR
        start = end - MS_PER_QUARTER_HOUR
        mark = Mark.FIRST
    elif state.last_ms < end:
        start = state.last_ms
    elif state.previous_ms is not None:
        start = state.previous_ms
    else:
        end += -end % MS_PER_QUARTER_HOUR
        start = end - MS_PER_QUARTER_HOUR
        mark = Mark.FIRST
    covered_from = start if covered_until is None else min(end, max(start, covered_until))
    step = Step(start, end, kwh_to_millijoules(reading.amount), covered_from, mark, None, reading.amount)
    previous = None if state is None else state.last_ms if state.last_ms < reading.time_ms else state.previous_ms
    return IntervalState(reading.time_ms, previous, max(end, covered_until or end)), (step,)
