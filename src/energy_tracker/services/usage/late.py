"""Readings that come late: from when on a home is to be judged again is stored in the turn that stores them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from energy_tracker.contracts.directory import DirectoryDevice
from energy_tracker.kit.instants import quarter_hour_start
from energy_tracker.services.usage.model.detection.household import HOME
from energy_tracker.services.usage.model.detection.records import LATE, judged_until, late_entry, late_of
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.ports import ReadingStore, Recorded, StreamChange
from energy_tracker.services.usage.settled import Settled, at_once

_ROUNDING_MJ: Final = 2
"""By so little a quarter-hour may change where the next reading settles what was held so far."""


@dataclass(slots=True)
class LateReadings:
    """Knows up to when homes are judged, and from when on what they are judged by has changed since.

    It counts what else changes of them, so that whoever judges a home knows whether it is as it was.
    """

    store: ReadingStore
    settled: Settled = at_once
    _judged: dict[int, int] = field(default_factory=dict)
    _late: dict[int, int] = field(default_factory=dict)
    _judging: dict[int, int] = field(default_factory=dict)
    _changes: Counter[int] = field(default_factory=Counter)
    _changes_of_all: int = 0

    def reset(self) -> None:
        """Forget what the store says; it is read again when it is needed."""
        self._judged.clear()
        self._late.clear()
        self._changes_of_all += 1

    def version(self, user_id: int) -> tuple[int, int]:
        """Return what stays the same as long as all that is stored of a home's judging, and its episodes, do.

        It changes as soon as a turn is on its way into the store, or a reading that the piece which is judged lacks.
        """
        return self._changes_of_all, self._changes[user_id]

    async def load(self, user_ids: Collection[int]) -> None:
        """Make homes ready."""
        missing = [user_id for user_id in user_ids if user_id not in self._judged]
        if missing:
            await self.settled()
        for user_id in missing:
            entries = await self.store.detectors(user_id)
            self._judged[user_id], self._late[user_id] = judged_until(entries), late_of(entries)

    def note(
        self, device: DirectoryDevice, first: Sequence[Reading], changes: Sequence[StreamChange], turn: Recorded
    ) -> None:
        """Add to a turn from when on a home is to be judged again, where a device changes what it is judged by.

        `first` is the first of its new readings, if there are any, and `changes` what they change.
        """
        user_id = device.user_id
        judged_ms = max(self._judged[user_id], self._judging.get(user_id, 0))
        if not judged_ms or not first or device.direction != "import":
            return
        late_ms = first[0].time_ms
        for stream, change in changes:
            if stream.direction == "import":
                late_ms = min(late_ms, _first_change(change.quarter_hours, judged_ms))
        if late_ms < self._judging.get(user_id, 0):
            self._changes[user_id] += 1
        if late_ms < judged_ms and (late_ms := quarter_hour_start(late_ms)) < self._late[user_id]:
            turn.detectors[user_id, LATE] = late_entry(late_ms)
            self._late[user_id] = late_ms

    async def begin_to_judge(self, user_id: int, until_ms: int) -> None:
        """Take note that a home is judged up to an instant: what comes from now on and is older is late.

        Called while nothing else goes on.
        """
        await self.load([user_id])
        self._judging[user_id] = until_ms

    def follow(self, turn: Recorded) -> None:
        """Take over what a turn changes."""
        for (user_id, key), entry in turn.detectors.items():
            self._changes[user_id] += 1
            if user_id in self._judged and key == HOME and entry is not None:
                self._judged[user_id] = judged_until({HOME: entry})
                self._judging.pop(user_id, None)
            elif user_id in self._judged and key == LATE:
                self._late[user_id] = late_of({} if entry is None else {LATE: entry})
        for episode in turn.episodes:
            if episode.finding is not None:
                self._changes[episode.user_id] += 1
        for user_id in turn.forgotten_users:
            self._judged.pop(user_id, None)
        if turn.forgotten_users or turn.erased:
            self._changes_of_all += 1


def _first_change(quarters: Mapping[int, Sequence[int]], before_ms: int) -> int:
    """Return the first quarter-hour before an instant that changes, or the instant."""
    changed = (
        start_ms
        for start_ms, (energy_mj, _, covered_ms) in quarters.items()
        if start_ms < before_ms and (covered_ms or abs(energy_mj) > _ROUNDING_MJ)
    )
    return min(changed, default=before_ms)
