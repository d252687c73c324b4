"""Which quarter-hours of a home are closed, and what was measured in them, from the store."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, quarter_hour_start
from energy_tracker.services.usage.history import steps_between
from energy_tracker.services.usage.model.detection.closing import StepOf, quarter_hours
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.readings import DeviceRules
from energy_tracker.services.usage.model.steps import ESTIMATED_LONGER_THAN_MS
from energy_tracker.services.usage.ports import ReadingStore

LATENESS_MS: Final = 15 * MS_PER_MINUTE
"""So much later than they were measured readings may come, and are taken all the same."""

LONGEST_WAIT_MS: Final = 6 * MS_PER_HOUR
"""Who reports more seldom is not waited for."""

_PACE_READINGS: Final = 50
_BEFORE_ALL: Final = (-1, b"")
_LAST_KEY: Final = b"\xff" * 65


@dataclass
class Closing:
    """Looks into the store; keeps how often each device reports, by its last reading."""

    store: ReadingStore
    _paces: dict[int, tuple[int, int]] = field(default_factory=dict)

    async def first_ms(self, device: DirectoryDevice) -> int | None:
        """Return the time of a device's first reading in this home, in ms since 1970."""
        since_ms = _since_ms(device)
        after = _BEFORE_ALL if since_ms is None else (since_ms - 1, _LAST_KEY)
        page = await self.store.device_readings(device.id, after=after, limit=1)
        return page[0].time_ms if page else None

    async def closed_until(self, devices: Sequence[DirectoryDevice], *, from_ms: int, now_ms: int) -> int:
        """Return the end of the last quarter-hour that no reading is expected for any more, in ms since 1970.

        A device that reports is waited for twice as long as it usually lets pass, and for `LATENESS_MS`.
        """
        limit_ms = quarter_hour_start(now_ms - LATENESS_MS)
        if limit_ms <= from_ms:
            return limit_ms
        for device in devices:
            last_ms = await self.store.last_reading_ms(device.id)
            if last_ms is None or last_ms >= limit_ms:
                continue
            wait_ms = LATENESS_MS + min(2 * await self._pace_ms(device.id, last_ms), LONGEST_WAIT_MS)
            if now_ms - last_ms < wait_ms:
                limit_ms = min(limit_ms, quarter_hour_start(last_ms))
        return limit_ms

    async def quarter_hours(
        self, devices: Sequence[DirectoryDevice], *, from_ms: int, to_ms: int
    ) -> Mapping[int, Mapping[int, QuarterHour]]:
        """Return what was measured in `[from_ms, to_ms)`: start of a quarter-hour → device → quarter-hour."""
        found: defaultdict[int, dict[int, QuarterHour]] = defaultdict(dict)
        states = await self.store.device_states([device.id for device in devices])
        for device in devices:
            since_ms = _since_ms(device)
            begin_ms = from_ms if since_ms is None else max(from_ms, since_ms)
            # a reading at the first instant settles the step before it, and is one of the first quarter-hour
            steps_from_ms = begin_ms - (begin_ms == from_ms)
            state = states[device.id]
            rules = state.rules or DeviceRules()
            streams: list[list[StepOf]] = [
                [
                    step
                    async for step in steps_between(
                        self.store,
                        stream,
                        head,
                        rules,
                        from_ms=steps_from_ms,
                        to_ms=to_ms,
                        longest_ms=ESTIMATED_LONGER_THAN_MS,
                    )
                ]
                for stream, head in state.heads.items()
                if stream.direction == "import"
            ]
            for quarter in quarter_hours(streams, from_ms=quarter_hour_start(begin_ms), to_ms=to_ms):
                found[quarter.start_ms][device.id] = quarter
        return found

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
