"""What was measured lately, kept in memory as readings are derived, so that judging need not read them again."""

from dataclasses import dataclass, field
from typing import Final

from energy_tracker.kit.instants import MS_PER_QUARTER_HOUR, quarter_hour_start
from energy_tracker.services.usage.model.derivation import Change, Head
from energy_tracker.services.usage.model.detection.closing import quarter_hours
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.fold import tail
from energy_tracker.services.usage.model.measured import Measured
from energy_tracker.services.usage.model.readings import DeviceRules, Stream
from energy_tracker.services.usage.ports import DeviceState

MOST_KEPT: Final = 30_000
"""So many quarter-hours of all streams take about 8 MB; beyond that, all are forgotten."""


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

    def follow(self, stream: Stream, before: Head | None, change: Change) -> None:
        """Take over what new readings change in a stream whose head was `before`."""
        if stream.direction != "import":
            return
        recent = self._streams.get(stream)
        if change.measured is None:
            if recent is not None:
                self._kept -= len(recent.quarters)
                del self._streams[stream]
            return
        if recent is None:
            recent = self._streams[stream] = _Recent(_behind(before))
        quarters = recent.quarters
        for start_ms, measured in change.measured.items():
            known = quarters.get(start_ms)
            if known is not None:
                known.add(measured)
            elif start_ms >= recent.from_ms:
                quarters[start_ms] = measured
                self._kept += 1
        if self._kept > MOST_KEPT:
            self.clear()

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
