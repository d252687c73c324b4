"""What was measured lately, kept in memory as readings are derived, so that judging need not read them again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR, quarter_hour_start
from energy_tracker.services.usage.model.derivation import Change, Head
from energy_tracker.services.usage.model.detection.closing import quarter_hours
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.fold import tail
from energy_tracker.services.usage.model.measured import Measured, add_all, take_one
from energy_tracker.services.usage.model.readings import DeviceRules, Stream
from energy_tracker.services.usage.ports import DeviceState

MOST_KEPT: Final = 30_000
"""So many quarter-hours of all streams take about 9 MB; beyond that, all are forgotten."""


@dataclass(slots=True)
class _Recent:
    """The quarter-hours of a stream, known wholly from an instant on, in ms since 1970."""

    from_ms: int
    quarters: dict[int, Measured] = field(default_factory=dict)


@dataclass(slots=True)
class RecentQuarters:
    """Keeps what steps say of quarter-hours, from behind the reading at which it began to see a stream.

    What changes otherwise than by readings behind the last one is forgotten: the store is to be asked about it.
    """

    _streams: dict[Stream, _Recent] = field(default_factory=dict)
    _kept: int = 0

    def clear(self) -> None:
        """Forget everything."""
        self._streams.clear()
        self._kept = 0

    def forget(self, state: DeviceState | None) -> None:
        """Forget a device, of which this was known."""
        for stream in () if state is None else state.heads:
            recent = self._streams.pop(stream, None)
            if recent is not None:
                self._kept -= len(recent.quarters)

    def follow(self, stream: Stream, heads: Mapping[Stream, Head], change: Change) -> None:
        """Take over what new readings change in a stream; `heads` are those of its device before."""
        recent = self._streams.get(stream)
        if recent is None or change.settled_by is None:
            recent = self._begin_anew(stream, heads.get(stream), change)
            if recent is None:
                return
        quarters = recent.quarters
        kept = len(quarters)
        if change.measured is not None:
            add_all(quarters, change.measured)
        elif change.steps and change.settled_by:
            take_one(quarters, change.settled_by[0], change.steps[0])
        if len(quarters) != kept:
            self._kept += len(quarters) - kept
            if self._kept > MOST_KEPT:
                self.clear()

    def _begin_anew(self, stream: Stream, before: Head | None, change: Change) -> _Recent | None:
        """Forget a stream, and begin with what changes now if that goes on behind its head; None: it does not."""
        known = self._streams.pop(stream, None)
        if known is not None:
            self._kept -= len(known.quarters)
        if stream.direction != "import" or change.settled_by is None:
            return None
        recent = self._streams[stream] = _Recent(_behind(before))
        return recent

    def between(self, state: DeviceState, *, from_ms: int, to_ms: int) -> list[QuarterHour] | None:
        """Return what a device measured in `[from_ms, to_ms)`, as the store has it; None: that is not known here.

        What lies before is forgotten.
        """
        if not state.is_whole:
            return None
        rules, streams = state.rules or DeviceRules(), []
        for stream, head in state.heads.items():
            if stream.direction != "import":
                continue
            recent = self._streams.get(stream)
            if recent is None:
                recent = self._streams[stream] = _Recent(_behind(head))
            if recent.from_ms > from_ms:
                return None
            self._forget_before(recent, from_ms)
            streams.append((recent.quarters, tail(head.state, rules)))
        return quarter_hours(streams, from_ms=from_ms, to_ms=to_ms)

    def _forget_before(self, recent: _Recent, from_ms: int) -> None:
        old = [start_ms for start_ms in recent.quarters if start_ms < from_ms]
        for start_ms in old:
            del recent.quarters[start_ms]
        self._kept -= len(old)
        recent.from_ms = from_ms


def _behind(head: Head | None) -> int:
    """Return the first quarter-hour, in ms since 1970, that nothing which is settled already reaches into."""
    return 0 if head is None else quarter_hour_start(head.last_ms) + MS_PER_QUARTER_HOUR
