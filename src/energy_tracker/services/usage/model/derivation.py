"""What new readings change: quarter-hours, the stream's head and its checkpoints.

A stream's head is the state after its last reading. Readings behind the head extend it; a late one is folded in from
the checkpoint before it, beside a fold of what was there already, until both states agree: the difference of the two
is the change. So the figures are those of one fold over all readings in order, whatever the order in which they came.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec

from energy_tracker.kit.instants import MS_PER_HOUR
from energy_tracker.services.usage.model.fold import State, advance, advance_all, tail
from energy_tracker.services.usage.model.measured import Measured, measured_by
from energy_tracker.services.usage.model.readings import DeviceRules, Kind, Reading, counted_kind
from energy_tracker.services.usage.model.steps import QuarterHours, Step

time_of = attrgetter("time_ms")
"""The instant of a reading."""


class Head(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What is known of a stream after its last reading; `present` are the kinds of readings that it has had."""

    last_ms: int
    last_key: bytes
    present: tuple[Kind, ...]
    state: State | None

    @property
    def order(self) -> tuple[int, bytes]:
        """The place of the last reading in the order of the stream."""
        return (self.last_ms, self.last_key)


class Checkpoint(NamedTuple):
    """The state after all readings before `boundary_ms` (the start of a UTC hour that has readings)."""

    boundary_ms: int
    state: State | None


@dataclass(slots=True)
class Change:
    """What readings change in one stream."""

    head: Head
    quarter_hours: QuarterHours = field(default_factory=QuarterHours)
    checkpoints: dict[int, State | None] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    """The steps that were settled, in order."""
    taken_back: list[Step] = field(default_factory=list)
    """The steps that were settled before and are not any more."""
    settled_by: list[Reading] | None = None
    """The reading that settled each step; None where more changes than what was settled."""
    measured: dict[int, Measured] | None = None
    """What several settled steps say of quarter-hours, by their start in ms, where that was wanted."""


class KindHasChanged(Exception):
    """A kind of readings has come that counts instead of the one before: the whole stream is to be derived again."""


def in_order(readings: Iterable[Reading]) -> list[Reading]:
    """Return readings of one stream in the order of the fold."""
    ordered = sorted(readings, key=time_of)
    return ordered if each_has_its_instant(ordered) else sorted(ordered, key=reading_order)


def each_has_its_instant(readings: Sequence[Reading]) -> bool:
    """Tell whether no two readings are of one millisecond: their order does not depend on their keys then."""
    return len({reading.time_ms for reading in readings}) == len(readings)


def reading_order(reading: Reading) -> tuple[int, bytes]:
    """Return the place of a reading in the order of its stream."""
    return (reading.time_ms, reading.key)


def is_behind(reading: Reading, order: tuple[int, bytes]) -> bool:
    """Tell whether a reading comes later in its stream than one of this order."""
    time_ms, key = order
    return reading.time_ms > time_ms or (reading.time_ms == time_ms and reading.key > key)


def _hour_of(reading: Reading) -> int:
    return reading.time_ms // MS_PER_HOUR


def extend(head: Head | None, readings: Sequence[Reading], rules: DeviceRules, *, measure: bool = True) -> Change:
    """Fold readings, in order, behind the head; `measure` is whether `measured` is wanted. Raises `KindHasChanged`."""
    present = _present(head, readings)
    kind = counted_kind(rules.kind, present)
    if head is not None and head.state is not None and kind != counted_kind(rules.kind, head.present):
        raise KindHasChanged
    state = head.state if head else None
    before = state
    hour = head.last_ms // MS_PER_HOUR if head else None
    last = readings[-1]
    change = Change(Head(last.time_ms, last.key, present, None))
    quarter_hours, settled, settled_by = change.quarter_hours, change.steps, list[Reading]()
    for its_hour, together in _by_hour(readings):
        if its_hour != hour:
            hour = its_hour
            change.checkpoints[hour * MS_PER_HOUR] = state
        counted = together if len(present) == 1 else [reading for reading in together if reading.kind == kind]
        state = advance_all(state, counted, rules, settled, settled_by)
    quarter_hours.add_all(settled)
    change.settled_by = settled_by
    if measure and len(settled) > 1:
        change.measured = measured_by(settled_by, settled, quarter_hours)
    if state is not before:
        _replace_tail(quarter_hours, before, state, rules)
    change.head = Head(last.time_ms, last.key, present, state)
    return change


def _by_hour(readings: Sequence[Reading]) -> Iterable[tuple[int, Sequence[Reading]]]:
    """Return readings, in order, by the hour that they lie in; mostly that is one."""
    hour = _hour_of(readings[0])
    if hour == _hour_of(readings[-1]):
        return ((hour, readings),)
    return ((its_hour, list(together)) for its_hour, together in groupby(readings, key=_hour_of))


async def refold(
    head: Head,
    checkpoint: Checkpoint | None,
    stored: AsyncIterator[Reading],
    new: Sequence[Reading],
    rules: DeviceRules,
) -> Change:
    """Fold late readings in.

    `stored` are the stream's readings since the checkpoint (all, where there is none), in order; `new` are in order,
    and none of them is stored. Raises `KindHasChanged`.
    """
    present = _present(head, new)
    kind = counted_kind(rules.kind, present)
    if kind != counted_kind(rules.kind, head.present):
        raise KindHasChanged
    start = checkpoint.state if checkpoint else None
    sides = _TwoFolds(kind, rules, start)
    waiting = iter(new)
    late = next(waiting, None)
    async for reading in stored:
        while late is not None and reading_order(late) < reading_order(reading):
            sides.take_new(late)
            late = next(waiting, None)
        sides.take_stored(reading)
        if late is None and sides.agree():
            return sides.change(Head(head.last_ms, head.last_key, present, head.state), tails=False)
    while late is not None:
        sides.take_new(late)
        late = next(waiting, None)
    order = max(head.order, reading_order(new[-1]))
    return sides.change(Head(*order, present, sides.new_state), tails=True)


@dataclass(slots=True)
class _TwoFolds:
    """The fold of what was stored beside the fold of all."""

    kind: Kind
    rules: DeviceRules
    old_state: State | None
    new_state: State | None = None
    quarter_hours: QuarterHours = field(default_factory=QuarterHours)
    checkpoints: dict[int, State | None] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    taken_back: list[Step] = field(default_factory=list)
    hour: int | None = None

    def __post_init__(self) -> None:
        self.new_state = self.old_state

    def take_stored(self, reading: Reading) -> None:
        """Take a reading that both folds have."""
        if reading.kind == self.kind:
            self._mark_hour(reading)
            self.old_state, steps = advance(self.old_state, reading, self.rules)
            self.taken_back.extend(steps)
            for step in steps:
                self.quarter_hours.add(step, -1)
        self.take_new(reading)

    def take_new(self, reading: Reading) -> None:
        """Take a reading that only the new fold has."""
        self._mark_hour(reading)
        if reading.kind == self.kind:
            self.new_state, steps = advance(self.new_state, reading, self.rules)
            self.steps.extend(steps)
            for step in steps:
                self.quarter_hours.add(step)

    def _mark_hour(self, reading: Reading) -> None:
        hour = reading.time_ms // MS_PER_HOUR
        if hour != self.hour:
            self.hour = hour
            self.checkpoints[hour * MS_PER_HOUR] = self.new_state

    def agree(self) -> bool:
        """Whether both folds go on alike from here."""
        return self.old_state == self.new_state

    def change(self, head: Head, *, tails: bool) -> Change:
        """Return the difference of the two; `tails` where they were folded to the end."""
        if tails:
            _replace_tail(self.quarter_hours, self.old_state, self.new_state, self.rules)
        return Change(head, self.quarter_hours, self.checkpoints, self.steps, self.taken_back)


def steps_of(readings: Iterable[Reading], state: State | None, kind: Kind, rules: DeviceRules) -> Iterator[Step]:
    """Yield the steps of readings in order, from a state on, the tail at last."""
    for reading in readings:
        if reading.kind == kind:
            state, steps = advance(state, reading, rules)
            yield from steps
    yield from tail(state, rules)


def _present(head: Head | None, readings: Iterable[Reading]) -> tuple[Kind, ...]:
    kinds = {reading.kind for reading in readings}
    if head is not None:
        if kinds.issubset(head.present):
            return head.present
        kinds.update(head.present)
    return tuple(sorted(kinds))


def _replace_tail(quarter_hours: QuarterHours, before: State | None, after: State | None, rules: DeviceRules) -> None:
    for step in tail(before, rules):
        quarter_hours.add(step, -1)
    for step in tail(after, rules):
        quarter_hours.add(step)
