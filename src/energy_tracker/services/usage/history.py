"""Reading a stream's past from the store: pages of readings, and the steps that they make."""

from collections.abc import AsyncIterator, Mapping

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.services.usage.model.derivation import Checkpoint, Head
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.fold import State, advance, tail
from energy_tracker.services.usage.model.homes import owned_spans
from energy_tracker.services.usage.model.readings import DeviceRules, Reading, Stream, counted_kind, stream_of
from energy_tracker.services.usage.model.steps import Step
from energy_tracker.services.usage.ports import DeviceState, Directory, ReadingStore

PAGE = 2_000
END_OF_TIME_MS = 2**53
FIRST_PAGE = 50
"""A late reading is seldom very late: the folds mostly agree again after a few readings."""
_BEFORE_ALL = (-1, b"")


def _before(from_ms: int | None) -> tuple[int, bytes]:
    """Return the place before all readings from an instant on."""
    return _BEFORE_ALL if from_ms is None else (from_ms - 1, b"\xff" * 65)


async def device_pages(
    store: ReadingStore, device_id: int, *, limit: int = PAGE, from_ms: int | None = None
) -> AsyncIterator[list[Reading]]:
    """Yield the readings of a device from an instant on (None: all), in order, in pages of at most `limit`."""
    after = _before(from_ms)
    while page := await store.device_readings(device_id, after=after, limit=limit):
        yield list(page)
        after = (page[-1].time_ms, page[-1].key)


async def stream_readings(
    store: ReadingStore, stream: Stream, rules: DeviceRules, *, from_ms: int | None
) -> AsyncIterator[Reading]:
    """Yield the readings of a stream from an instant on (None: all), in order."""
    after = _before(from_ms)
    limit = FIRST_PAGE
    while page := await store.device_readings(stream.device_id, after=after, limit=limit):
        for reading in page:
            if stream_of(reading, rules) == stream:
                yield reading
        after = (page[-1].time_ms, page[-1].key)
        limit = min(4 * limit, PAGE)


async def steps_between(
    store: ReadingStore, stream: Stream, head: Head, rules: DeviceRules, *, from_ms: int, to_ms: int
) -> AsyncIterator[tuple[Reading | None, Step]]:
    """Yield the steps of a stream that touch `[from_ms, to_ms)`, each with the reading that settled it.

    The tail's steps come with None.
    Steps that explain why nothing was added are among them. Intervals that reach back from after the end are found
    too: their fold goes on to the head.
    """
    async for reading, step in steps_around(store, stream, head, rules, from_ms=from_ms, to_ms=to_ms):
        if touches(step, from_ms, to_ms):
            yield reading, step


async def steps_around(  # noqa: PLR0913 - a stream, how it is derived, and a stretch of it
    store: ReadingStore,
    stream: Stream,
    head: Head,
    rules: DeviceRules,
    *,
    from_ms: int,
    to_ms: int,
    longest_ms: int | None = None,
) -> AsyncIterator[tuple[Reading | None, Step]]:
    """Yield the steps of `steps_between`, with those that a fold over them comes by before and after.

    Where intervals that are longer than `longest_ms` do not matter, the fold goes on for no more than that.
    """
    checkpoint: Checkpoint | None = await store.checkpoint(stream, from_ms)
    state: State | None = checkpoint.state if checkpoint else None
    kind = counted_kind(rules.kind, head.present)
    start = checkpoint.boundary_ms if checkpoint else None
    async for reading in stream_readings(store, stream, rules, from_ms=start):
        if reading.kind != kind:
            continue
        state, steps = advance(state, reading, rules)
        for step in steps:
            yield reading, step
        if reading.time_ms >= to_ms and kind != "interval" and _nothing_held(state):
            return
        if longest_ms is not None and reading.time_ms >= to_ms + longest_ms and _nothing_held(state):
            return
    for step in tail(state, rules):
        yield None, step


async def settled_steps(
    store: ReadingStore, stream: Stream, head: Head, rules: DeviceRules, *, from_ms: int, to_ms: int
) -> list[Step]:
    """Return the steps of a stream that touch `[from_ms, to_ms)` and that a reading has settled, without the tail."""
    return [
        step
        async for reading, step in steps_between(store, stream, head, rules, from_ms=from_ms, to_ms=to_ms)
        if reading is not None
    ]


async def steps_of_home(
    store: ReadingStore, directory: Directory, user_id: int, *, from_ms: int, to_ms: int
) -> list[tuple[Stream, Step]]:
    """Return the settled steps of what counts for high usage of a home, as far as they touch `[from_ms, to_ms)`."""
    states = await counted_states(store, directory, user_id)
    return [
        (stream, step)
        for stream, head in counted_heads(states).items()
        for step in await settled_steps(
            store, stream, head, states[stream.device_id].rules or DeviceRules(), from_ms=from_ms, to_ms=to_ms
        )
    ]


async def episodes_of(store: ReadingStore, user_id: int, *, from_ms: int = 0) -> list[Episode]:
    """Return the episodes of a user that are open or reach beyond an instant (by default all), in order."""
    return list(await store.episodes(user_id=user_id, from_ms=from_ms, to_ms=END_OF_TIME_MS))


async def spans_with_readings(store: ReadingStore, device: DirectoryDevice, user_id: int) -> list[tuple[int, int]]:
    """Return the stretches of time in which a device was a user's and from which there are readings."""
    return [
        (begin, end)
        for begin, end in owned_spans(device, user_id)
        if await store.readings(device_ids=[device.id], from_ms=begin, to_ms=end, after=None, limit=1)
    ]


async def counted_states(store: ReadingStore, directory: Directory, user_id: int) -> dict[int, DeviceState]:
    """Return the states of a home's devices that count for high usage: its own, and no sub-meters."""
    ids = [
        device.id for device in directory.devices_of(user_id) if device.user_id == user_id and device.parent_id is None
    ]
    return await store.device_states(ids)


def counted_heads(states: Mapping[int, DeviceState]) -> dict[Stream, Head]:
    """Return the streams that count for high usage, import, with their heads."""
    return {
        stream: head
        for state in states.values()
        for stream, head in state.heads.items()
        if stream.direction == "import"
    }


def touches(step: Step, from_ms: int, to_ms: int) -> bool:
    """Tell whether a step lies in `[from_ms, to_ms)`; one without length may lie at either end."""
    if step.start_ms == step.end_ms:
        return from_ms <= step.start_ms <= to_ms
    return step.start_ms < to_ms and step.end_ms > from_ms


def _nothing_held(state: State) -> bool:
    return getattr(state, "held", None) is None
