"""Which quarter-hours of a home are closed, and what was measured in them, from memory or from the store."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from types import MappingProxyType
from typing import Final

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, quarter_hour_start
from energy_tracker.services.usage.history import steps_around, touches
from energy_tracker.services.usage.model.detection.closing import quarter_hours
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.measured import Measured, measured_by
from energy_tracker.services.usage.model.readings import DeviceRules, Reading
from energy_tracker.services.usage.model.steps import ESTIMATED_LONGER_THAN_MS, Step
from energy_tracker.services.usage.ports import DeviceState, ReadingStore
from energy_tracker.services.usage.recording import Recorder

LATENESS_MS: Final = 15 * MS_PER_MINUTE
"""So much later than they were measured readings may come, and are taken all the same."""

LONGEST_WAIT_MS: Final = 6 * MS_PER_HOUR
"""Who reports more seldom is not waited for."""

_PACE_READINGS: Final = 50
_DEVICES_AT_ONCE: Final = 4
_BEFORE_ALL: Final = (-1, b"")
_LAST_KEY: Final = b"\xff" * 65


@dataclass
class Closing:
    """Looks into the store, and at what the `recorder` has in memory; keeps how often each device reports."""

    store: ReadingStore
    recorder: Recorder
    _paces: dict[int, tuple[int, int]] = field(default_factory=dict)

    async def first_ms(self, device: DirectoryDevice) -> int | None:
        """Return the time of a device's first reading in this home, in ms since 1970."""
        deriver, since_ms = self.recorder.deriver, _since_ms(device)
        async with self.recorder.alone():
            await deriver.load([device.id])
            state = deriver.state(device.id)
        if state.is_whole and not state.heads:
            return None
        after = _BEFORE_ALL if since_ms is None else (since_ms - 1, _LAST_KEY)
        page = await self.store.device_readings(device.id, after=after, limit=1)
        return page[0].time_ms if page else None

    async def last_ms(self, devices: Sequence[DirectoryDevice]) -> dict[int, int]:
        """Return the time, in ms since 1970, of the last reading of each device that has any."""
        deriver = self.recorder.deriver
        async with self.recorder.alone():  # what is under way may yet fail
            await deriver.load([device.id for device in devices])
            states = {device.id: deriver.state(device.id) for device in devices}
        return {
            device_id: max(head.last_ms for head in state.heads.values())
            for device_id, state in states.items()
            if state.is_whole and state.heads
        }

    async def closed_until(self, devices: Sequence[DirectoryDevice], *, from_ms: int, now_ms: int) -> int:
        """Return the end of the last quarter-hour that no reading is expected for any more, in ms since 1970.

        A device that reports is waited for twice as long as it usually lets pass, and for `LATENESS_MS`.
        """
        limit_ms = quarter_hour_start(now_ms - LATENESS_MS)
        if limit_ms <= from_ms:
            return limit_ms
        for device_id, last_ms in (await self.last_ms(devices)).items():
            if last_ms >= limit_ms or now_ms - last_ms >= LATENESS_MS + LONGEST_WAIT_MS:
                continue
            wait_ms = LATENESS_MS + min(2 * await self._pace_ms(device_id, last_ms), LONGEST_WAIT_MS)
            if now_ms - last_ms < wait_ms:
                limit_ms = min(limit_ms, quarter_hour_start(last_ms))
        return limit_ms

    def recent(
        self, devices: Sequence[DirectoryDevice], *, from_ms: int, to_ms: int
    ) -> dict[int, Sequence[QuarterHour]]:
        """Return what devices measured in `[from_ms, to_ms)`, as far as that is in memory.

        Called while nothing else goes on, so that the store has it all.
        """
        found: dict[int, Sequence[QuarterHour]] = {}
        for device in devices:
            state = self.recorder.deriver.known_state(device.id)
            if state is None or (_since_ms(device) or 0) > from_ms:
                continue
            quarters = self.recorder.deriver.recent.between(state, from_ms=from_ms, to_ms=to_ms)
            if quarters is not None:
                found[device.id] = quarters
        return found

    async def quarter_hours(
        self,
        devices: Sequence[DirectoryDevice],
        *,
        from_ms: int,
        to_ms: int,
        recent: Mapping[int, Sequence[QuarterHour]] = MappingProxyType({}),
    ) -> Mapping[int, Mapping[int, QuarterHour]]:
        """Return what was measured in `[from_ms, to_ms)`: start of a quarter-hour → device → quarter-hour.

        What is `recent` is taken from there, the rest read from the store.
        """
        found: defaultdict[int, dict[int, QuarterHour]] = defaultdict(dict)
        others = [device for device in devices if device.id not in recent]
        states = await self.store.device_states([device.id for device in others]) if others else {}
        read: dict[int, Sequence[QuarterHour]] = {}
        for first in range(0, len(others), _DEVICES_AT_ONCE):
            some = others[first : first + _DEVICES_AT_ONCE]
            parts = [self._read(device, states[device.id], from_ms=from_ms, to_ms=to_ms) for device in some]
            read |= zip([device.id for device in some], await asyncio.gather(*parts), strict=True)
        for device in devices:
            for quarter in recent.get(device.id) or read.get(device.id, ()):
                found[quarter.start_ms][device.id] = quarter
        return found

    async def _read(
        self, device: DirectoryDevice, state: DeviceState, *, from_ms: int, to_ms: int
    ) -> list[QuarterHour]:
        """Return what a device measured in `[from_ms, to_ms)` and in its home of now, from the store."""
        since_ms, rules = _since_ms(device), state.rules or DeviceRules()
        begin_ms = None if since_ms is None or since_ms <= from_ms else since_ms
        streams: list[tuple[Mapping[int, Measured], Sequence[Step]]] = []
        for stream, head in state.heads.items():
            if stream.direction != "import":
                continue
            settled_by, settled, held = list[Reading](), list[Step](), list[Step]()
            # a reading at the end settles the steps before it, each of those that come at that instant
            async for reading, step in steps_around(
                self.store, stream, head, rules, from_ms=from_ms, to_ms=to_ms + 1, longest_ms=ESTIMATED_LONGER_THAN_MS
            ):
                if begin_ms is not None and not touches(step, begin_ms, to_ms):
                    continue
                if reading is None:
                    held.append(step)
                else:
                    settled_by.append(reading)
                    settled.append(step)
            streams.append((measured_by(settled_by, settled), held))
        return quarter_hours(streams, from_ms=from_ms, to_ms=to_ms)

    async def _pace_ms(self, device_id: int, last_ms: int) -> int:
        """Return how much time usually passes between two readings of a device."""
        known = self._paces.get(device_id)
        if known is not None and known[0] == last_ms:
            return known[1]
        after = (last_ms - MS_PER_DAY, b"")
        page = await self.store.device_readings(device_id, after=after, limit=_PACE_READINGS)
        times_ms = [reading.time_ms for reading in page]
        passed = [later - earlier for earlier, later in pairwise(times_ms) if later > earlier]
        pace_ms = round(median(passed)) if passed else MS_PER_DAY
        self._paces[device_id] = (last_ms, pace_ms)
        return pace_ms


def _since_ms(device: DirectoryDevice) -> int | None:
    """Return from when on a device belongs to its home of now; None: ever since."""
    since_ms = None
    for assignment in reversed(device.assignments):
        if assignment.user_id != device.user_id:
            break
        since_ms = assignment.from_ms
    return since_ms
