"""What must hold for all readings: splits, sums, coverage, and folding in pieces or late."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.energy import DAY, HOUR, MINUTE, QUARTER, T0_MS, derive, reading, spread

from energy_tracker.kit.quantities import energy_before, kwh_to_millijoules
from energy_tracker.services.usage.model.derivation import (
    Change,
    Checkpoint,
    Head,
    extend,
    in_order,
    reading_order,
    refold,
    steps_of,
)
from energy_tracker.services.usage.model.fold import State
from energy_tracker.services.usage.model.readings import DeviceRules, Kind, Reading
from energy_tracker.services.usage.model.steps import Mark, QuarterHours, Step

instants = st.integers(0, 3 * DAY // MINUTE).map(lambda minute: minute * MINUTE) | st.integers(0, 2 * HOUR)
amounts: dict[Kind, st.SearchStrategy[float]] = {
    "interval": st.floats(0, 50),
    "power": st.floats(0, 20_000),
    "register": st.sampled_from([0.0, 0.004, 5.0, 5.004, 5.2, 215.6, 215.7, 9_999.5, 9_999.9, 0.3, 12_000.0, 5e6])
    | st.floats(0, 1e6),
}


@st.composite
def readings_of(draw: st.DrawFn, kind: Kind, *, max_size: int = 25) -> list[Reading]:
    found = {}
    for at_ms in draw(st.lists(instants, min_size=1, max_size=max_size)):
        since = None
        if kind == "interval" and draw(st.booleans()):
            since = at_ms - draw(st.sampled_from([1, MINUTE, QUARTER, 90 * MINUTE, 25 * HOUR]))
        one = reading(kind, at_ms, draw(amounts[kind]), since=since)
        found[reading_order(one)] = one
    return in_order(found.values())


any_readings = st.sampled_from(["interval", "register", "power"]).flatmap(readings_of)  # type: ignore[arg-type]  # kinds
rules_of_any = st.builds(
    DeviceRules,
    max_hold_ms=st.sampled_from([1_000, 5 * MINUTE, 2 * HOUR]),
    rated_power_w=st.none() | st.sampled_from([100.0, 3_000.0]),
)
some_steps = st.builds(
    lambda start, length, energy, covered: Step(
        start, start + length, energy, start + covered * length // 8, Mark.PLAIN
    ),
    st.integers(T0_MS, T0_MS + DAY),
    st.integers(0, 9 * HOUR),
    st.integers(0, 10**15),
    st.integers(0, 8),
)


@given(st.integers(0, 10**18), st.integers(1, 10**9), st.data())
def test_splits_add_up(energy_mj: int, duration_ms: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, duration_ms), max_size=10)))
    edges = [0, *cuts, duration_ms]
    before = [energy_before(energy_mj, edge, duration_ms) for edge in edges]
    assert before == sorted(before)
    assert (before[0], before[-1]) == (0, energy_mj)


@given(st.lists(some_steps, max_size=8))
def test_what_is_added_can_be_taken_back(steps: list[Step]) -> None:
    quarter_hours = spread(steps)
    assert sum(sums[0] for sums in quarter_hours.values()) == sum(step.energy_mj for step in steps)
    for step in reversed(steps):
        quarter_hours.add(step, -1)
    assert quarter_hours.changes() == []


@given(some_steps, st.lists(st.integers(-QUARTER, DAY + 9 * HOUR), min_size=1, max_size=6))
def test_parts_of_a_step_add_up(step: Step, cuts: list[int]) -> None:
    edges = [T0_MS - DAY, *sorted(T0_MS + cut for cut in cuts), T0_MS + 3 * DAY]
    assert sum(step.energy_within(a, b) for a, b in pairwise(edges)) == step.energy_mj


@given(some_steps)
def test_a_quarter_hour_has_the_part_of_the_step_that_lies_in_it(step: Step) -> None:
    for start, energy_mj, estimated_mj, _ in spread([step]).changes():
        assert energy_mj == step.energy_within(start, start + QUARTER)
        assert estimated_mj == (energy_mj if step.estimated else 0)


@settings(max_examples=200)
@given(any_readings, rules_of_any)
def test_quarter_hours_are_the_steps(readings: list[Reading], rules: DeviceRules) -> None:
    derived = derive(readings, DeviceRules(readings[0].kind, "import", rules.max_hold_ms, rules.rated_power_w))
    assert derived.mj == sum(step.energy_mj for step in derived.steps)
    for energy_mj, estimated_mj, covered_ms in derived.quarters.values():
        assert 0 <= estimated_mj <= energy_mj
        assert 0 <= covered_ms <= QUARTER
    assert all(step.energy_mj >= 0 and step.start_ms <= step.covered_from_ms <= step.end_ms for step in derived.steps)


@given(st.lists(st.tuples(st.integers(1, DAY), st.floats(0, 1)), min_size=1, max_size=30), st.floats(0, 1e6))
def test_a_register_that_only_rises_gives_its_last_value_less_its_first(
    moves: list[tuple[int, float]], first_kwh: float
) -> None:
    readings, at_ms, kwh = [reading("register", 0, first_kwh)], 0, first_kwh
    for after_ms, rise_kwh in moves:
        at_ms, kwh = at_ms + after_ms, kwh + rise_kwh
        readings.append(reading("register", at_ms, kwh))
    derived = derive(readings)
    if any(value.amount - first_kwh > 1 for value in readings) and first_kwh < 1:
        return  # tenfold within less than what a home's connection carries cannot be told from a changed unit
    assert derived.mj == kwh_to_millijoules(kwh) - kwh_to_millijoules(first_kwh)


@settings(max_examples=200)
@given(any_readings, st.data())
def test_folding_in_pieces_is_folding_at_once(readings: list[Reading], data: st.DataObject) -> None:
    rules = DeviceRules(kind=readings[0].kind)
    whole = extend(None, readings, rules)
    head: Head | None = None
    sums, steps = QuarterHours(), list[Step]()
    checkpoints: dict[int, State | None] = {}
    rest = readings
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        change = extend(head, rest[:size], rules)
        head, rest = change.head, rest[size:]
        sums.merge(change.quarter_hours)
        checkpoints |= change.checkpoints
        steps += change.steps
    assert head == whole.head
    assert sums.changes() == whole.quarter_hours.changes()
    assert checkpoints == whole.checkpoints
    assert steps == whole.steps


@settings(max_examples=200)
@given(any_readings, st.data())
def test_folding_late_readings_in_is_folding_at_once(readings: list[Reading], data: st.DataObject) -> None:
    rules = DeviceRules(kind=readings[0].kind)
    late = data.draw(st.lists(st.sampled_from(readings), unique_by=reading_order, max_size=len(readings) - 1))
    stored = [one for one in readings if one not in late]
    first = extend(None, stored, rules)
    if not late:
        return
    late = in_order(late)
    change = asyncio.run(_refold(first, stored, late, rules))
    whole = extend(None, readings, rules)
    sums = QuarterHours()
    sums.merge(first.quarter_hours)
    sums.merge(change.quarter_hours)
    assert change.head == whole.head
    assert sums.changes() == whole.quarter_hours.changes()
    assert first.checkpoints | change.checkpoints == whole.checkpoints
    kept = list(first.steps)
    for step in change.taken_back:
        kept.remove(step)
    assert sorted([*kept, *change.steps], key=repr) == sorted(whole.steps, key=repr)


async def _refold(first: Change, stored: Sequence[Reading], late: Sequence[Reading], rules: DeviceRules) -> Change:
    boundary = max((start for start in first.checkpoints if start <= late[0].time_ms), default=None)
    if reading_order(late[0]) > first.head.order:
        return extend(first.head, late, rules)

    async def since_checkpoint() -> AsyncIterator[Reading]:
        for one in stored:
            if boundary is None or one.time_ms >= boundary:
                yield one

    checkpoint = None if boundary is None else Checkpoint(boundary, first.checkpoints[boundary])
    return await refold(first.head, checkpoint, since_checkpoint(), late, rules)


@given(any_readings)
def test_a_checkpoint_is_the_state_of_the_fold_there(readings: list[Reading]) -> None:
    rules = DeviceRules(kind=readings[0].kind)
    whole = extend(None, readings, rules)
    for boundary, state in whole.checkpoints.items():
        before = [one for one in readings if one.time_ms < boundary]
        behind = [one for one in readings if one.time_ms >= boundary]
        expected = extend(None, before, rules).head.state if before else None
        assert state == expected
        assert boundary % HOUR == 0
        assert behind
        rest = list(steps_of(behind, state, rules.kind, rules))
        assert sum(step.energy_mj for step in rest) <= derive(readings).mj
