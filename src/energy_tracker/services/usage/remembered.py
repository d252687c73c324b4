"""What is stored of the homes that are judged: read once, and then followed, as long as nobody else changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from energy_tracker.services.usage.history import episodes_of
from energy_tracker.services.usage.model.detection.household import Household
from energy_tracker.services.usage.model.detection.records import household_of
from energy_tracker.services.usage.model.detection.state import StateEncoder
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.ports import ReadingStore, Recorded
from energy_tracker.services.usage.recording import Recorder

MOST_DEVICES: Final = 40
"""Of so many devices the states, decoded and as bytes, are kept: with six weeks of days about 5 MB."""

Version = tuple[int, int]


@dataclass(frozen=True, slots=True)
class RememberedHome:
    """What is stored of a home's judging; `version` tells whether it still is (`LateReadings.version`)."""

    version: Version
    entries: Mapping[int, bytes]
    household: Household | None
    episodes: Mapping[str, Episode]
    """Those of unusual use, by id."""
    encoder: StateEncoder


@dataclass(slots=True)
class RememberedHomes:
    """Gives what is stored of homes; keeps the last ones, as far as they have no more than `MOST_DEVICES` together."""

    store: ReadingStore
    recorder: Recorder
    _homes: dict[int, RememberedHome] = field(default_factory=dict)

    async def home(self, user_id: int) -> RememberedHome:
        """Return what is stored of a home. What comes meanwhile changes its version."""
        known = self._homes.get(user_id)
        async with self.recorder.alone():  # what is under way may yet fail
            version = self.recorder.late.version(user_id)
        if known is not None and known.version == version:
            return known
        self._homes.pop(user_id, None)
        entries = await self.store.detectors(user_id)
        episodes = {each.id: each for each in await episodes_of(self.store, user_id) if each.finding}
        return RememberedHome(version, entries, household_of(entries), episodes, StateEncoder())

    def is_as_it_was(self, user_id: int, home: RememberedHome) -> bool:
        """Tell, while nothing else goes on, whether a home is still as it was read."""
        return self.recorder.late.version(user_id) == home.version

    def follow(self, user_id: int, before: RememberedHome, household: Household, turn: Recorded) -> None:
        """Take over, while nothing else goes on, the turn that stores what a home is like now.

        It went on from what was stored before: so the states of devices that are judged no more are still there.
        """
        if before.household is None:
            return
        entries = dict(before.entries)
        for (_, key), entry in turn.detectors.items():
            if entry is None:
                entries.pop(key, None)
            else:
                entries[key] = entry
        self._homes.pop(user_id, None)
        self._homes[user_id] = RememberedHome(
            self.recorder.late.version(user_id),
            entries,
            msgspec.structs.replace(household, devices={**before.household.devices, **household.devices}),
            {**before.episodes, **{each.id: each for each in turn.episodes}},
            before.encoder,
        )
        self._forget_some()

    def _forget_some(self) -> None:
        kept = 0
        for user_id in reversed(list(self._homes)):
            household = self._homes[user_id].household
            kept += 1 + (0 if household is None else len(household.devices))
            if kept > MOST_DEVICES:
                del self._homes[user_id]
