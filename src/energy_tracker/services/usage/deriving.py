"""From new readings of a device to what they change in its streams, over what the store has of them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from energy_tracker.services.usage.history import device_pages, stream_readings
from energy_tracker.services.usage.model.derivation import (
    Change,
    Head,
    KindHasChanged,
    each_has_its_instant,
    extend,
    in_order,
    is_behind,
    reading_order,
    refold,
    time_of,
)
from energy_tracker.services.usage.model.readings import DeviceRules, Kind, Reading, Stream, stream_of
from energy_tracker.services.usage.news import dead_letter_of
from energy_tracker.services.usage.ports import DeviceState, ReadingStore, Recorded, StreamChange
from energy_tracker.services.usage.recent import RecentQuarters
from energy_tracker.services.usage.settled import Settled, at_once

CACHED_DEVICES = 50_000
READINGS_AT_ONCE = 1_000
"""After so many, others of the event loop have their turn."""

Identity = tuple[int, int, bytes]


@dataclass
class Deriver:
    """Adds to a turn what readings change. Keeps the states of devices, and what they measured lately.

    Both follow each turn.
    """

    store: ReadingStore
    settled: Settled = at_once
    recent: RecentQuarters = field(default_factory=RecentQuarters)
    _states: dict[int, DeviceState] = field(default_factory=dict)
    _taken_at_once: int = 0

    async def load(self, device_ids: Collection[int]) -> None:
        """Make the states of devices ready."""
        missing = [device_id for device_id in device_ids if device_id not in self._states]
        if missing:
            await self.settled()
            if len(self._states) + len(missing) > CACHED_DEVICES:
                self._states = {key: self._states[key] for key in device_ids if key in self._states}
                self.recent.clear()
            self._states |= await self.store.device_states(missing)

    def reset(self) -> None:
        """Forget all states; they are read from the store again when they are needed."""
        self._states.clear()
        self.recent.clear()

    def state(self, device_id: int) -> DeviceState:
        """Return the state of a device that was loaded, as it is with all turns so far."""
        return self._states[device_id]

    def known_state(self, device_id: int) -> DeviceState | None:
        """Return the state of a device, None where it is not loaded."""
        return self._states.get(device_id)

    def follow(self, turn: Recorded) -> None:
        """Take over what a turn changes."""
        for device_id in turn.erased:
            self.recent.forget(self._states.pop(device_id, None))
        for device_id in turn.derived_anew:
            self.recent.forget(self._states.get(device_id))
            self._states[device_id] = DeviceState(turn.rules[device_id], {})
        for device_id, rules in turn.rules.items():
            state = self._states.get(device_id)
            if state is not None and state.rules != rules:
                self._states[device_id] = state._replace(rules=rules)
        for stream, change in turn.changes:
            state = self._states.get(stream.device_id)
            if state is not None:
                self.recent.follow(stream, state.heads, change)
                state.heads[stream] = change.head

    async def take(self, device_id: int, rules: DeviceRules, readings: list[Reading], turn: Recorded) -> None:
        """Add what readings of a device, in any order, change: the new ones, and their streams."""
        self._taken_at_once += len(readings)
        if self._taken_at_once > READINGS_AT_ONCE:
            self._taken_at_once = 0
            await asyncio.sleep(0)
        state = self._states[device_id]
        fresh = await self._fresh(readings, state, rules, turn)
        if not fresh and state.is_whole:
            return
        turn.readings += fresh
        turn.rules[device_id] = rules
        if not state.is_whole or (state.rules is not None and state.rules != rules):
            await self.take_anew(device_id, rules, turn, new=fresh)
            return
        by_stream = _by_stream(fresh, rules)
        try:
            turn.changes += [
                StreamChange(stream, await self._change(stream, state.heads.get(stream), group, rules))
                for stream, group in by_stream.items()
            ]
        except KindHasChanged:
            await self.take_anew(device_id, rules, turn, new=fresh)

    async def _fresh(
        self, readings: list[Reading], state: DeviceState, rules: DeviceRules, turn: Recorded
    ) -> list[Reading]:
        """Return what is not stored yet, in order; count repeats, and bury other content under a known identity."""
        newest = max((head.order for head in state.heads.values()), default=None)
        ordered = sorted(readings, key=time_of)
        if (newest is None or is_behind(ordered[0], newest)) and each_has_its_instant(ordered):
            return ordered
        identified = [(reading.identity, reading) for reading in readings]  # once: a key may have to be worked out
        late: list[Identity] = []
        if newest is not None:
            late = [identity for identity, reading in identified if not is_behind(reading, newest)]
        known = await self._find(late) if late else {}
        unique: dict[Identity, Reading] = {}
        for identity, reading in identified:
            other = known.get(identity) or unique.get(identity)
            if other is None:
                unique[identity] = reading
            else:
                _settle_repeat(reading, other, rules, turn)
        return in_order(unique.values())

    async def _find(self, identities: list[Identity]) -> dict[Identity, Reading]:
        await self.settled()
        return await self.store.find(identities)

    async def _change(self, stream: Stream, head: Head | None, readings: list[Reading], rules: DeviceRules) -> Change:
        if head is None or is_behind(readings[0], head.order):
            return extend(head, readings, rules)
        await self.settled()
        checkpoint = await self.store.checkpoint(stream, readings[0].time_ms)
        start = checkpoint.boundary_ms if checkpoint else None
        stored = stream_readings(self.store, stream, rules, from_ms=start)
        return await refold(head, checkpoint, stored, readings, rules)

    async def take_anew(
        self,
        device_id: int,
        rules: DeviceRules,
        turn: Recorded,
        *,
        new: Sequence[Reading] = (),
        stays: Callable[[Reading], bool] = lambda _: True,
    ) -> int:
        """Fold all readings of a device that stay, stored and new; return how many were stored."""
        await self.settled()
        kinds = await self._kinds(device_id, rules, new)
        whole = {stream: Change(Head(-1, b"", tuple(sorted(present)), None)) for stream, present in kinds.items()}
        waiting, folded = in_order(new), 0
        async for page in device_pages(self.store, device_id):
            folded += len(page)
            last = reading_order(page[-1])
            due = [reading for reading in waiting if reading_order(reading) < last]
            waiting = waiting[len(due) :]
            _fold_page(whole, in_order([*filter(stays, page), *due]), rules)
            await asyncio.sleep(0)
        _fold_page(whole, waiting, rules)
        turn.derived_anew.add(device_id)
        turn.changes += [StreamChange(stream, change) for stream, change in whole.items() if change.head.last_ms >= 0]
        return folded

    async def _kinds(self, device_id: int, rules: DeviceRules, new: Sequence[Reading]) -> dict[Stream, set[Kind]]:
        kinds: defaultdict[Stream, set[Kind]] = defaultdict(set)
        for (sent, channel), present in (await self.store.kinds(device_id)).items():
            kinds[Stream(device_id, sent or rules.direction, channel)] |= present
        for reading in new:
            kinds[stream_of(reading, rules)].add(reading.kind)
        return kinds


def _by_stream(readings: Iterable[Reading], rules: DeviceRules) -> dict[Stream, list[Reading]]:
    by_stream: defaultdict[Stream, list[Reading]] = defaultdict(list)
    said, group = None, list[Reading]()
    for reading in readings:
        if said != (reading.direction, reading.channel):  # most devices say the same each time
            said = (reading.direction, reading.channel)
            group = by_stream[stream_of(reading, rules)]
        group.append(reading)
    return by_stream


def _fold_page(whole: dict[Stream, Change], page: Sequence[Reading], rules: DeviceRules) -> None:
    by_stream = _by_stream(page, rules)
    for stream, readings in by_stream.items():
        before = whole[stream]
        after = extend(before.head, readings, rules, measure=False)
        before.head = after.head
        before.checkpoints |= after.checkpoints
        before.quarter_hours.merge(after.quarter_hours)


def _settle_repeat(reading: Reading, stored: Reading, rules: DeviceRules, turn: Recorded) -> None:
    if _content(reading, rules) == _content(stored, rules):
        turn.repeated += 1
    else:
        turn.dead_letters.append(dead_letter_of(reading, "other content under a known event id"))


def _content(reading: Reading, rules: DeviceRules) -> tuple[object, ...]:
    return (reading.kind, reading.amount, reading.since_ms, stream_of(reading, rules))
