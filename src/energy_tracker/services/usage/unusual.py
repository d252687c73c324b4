"""Watching for what is unusual: homes are judged by their closed quarter-hours, as the store has them.

What is known of a home, up to where, and what follows from it are stored in one transaction; so a restart, a replay or
another process go on where this one was, and come to the same. Nothing here is on the way of a reading.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, MS_PER_QUARTER_HOUR, quarter_hour_start
from energy_tracker.kit.problems import Problem
from energy_tracker.services.usage.closing import Closing
from energy_tracker.services.usage.history import episodes_of
from energy_tracker.services.usage.model.calendar import zone_of
from energy_tracker.services.usage.model.detection.household import (
    HOME,
    Found,
    HomeRules,
    Household,
    begun_anew,
    is_open,
    judge_quarter,
)
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.detection.records import (
    WatchSettings,
    entries_of,
    household_of,
    settings_of,
)
from energy_tracker.services.usage.model.episodes import Episode, open_unusual, unusual_id
from energy_tracker.services.usage.news import tell
from energy_tracker.services.usage.ports import Directory, Homes, ReadingStore, Recorded
from energy_tracker.services.usage.recording import Recorder

log = logging.getLogger(__name__)

PIECE_MS: Final = MS_PER_DAY
"""So much of a home's past is judged at once."""

LOOK_AGAIN_MS: Final = MS_PER_MINUTE
_REST_MS: Final = 60 * MS_PER_MINUTE


@dataclass(slots=True)
class _Judging:
    """A piece of a home while it is judged."""

    user: DirectoryUser
    household: Household
    settings: WatchSettings
    known: dict[str, Episode]
    entry: bytes | None
    """What was known of the home when it began: what is stored follows from that."""
    turn: Recorded = field(default_factory=Recorded)


@dataclass
class UnusualWatch:
    """Judges the homes of this process, a piece at a time. Stores through the `recorder`, alone."""

    store: ReadingStore
    directory: Directory
    homes: Homes
    recorder: Recorder
    clock: Clock

    def __post_init__(self) -> None:
        self.one_at_a_time = asyncio.Lock()
        """Held by whoever reads what is known of a home and stores something that follows from it."""
        self.wishes_changed: set[int] = set()
        """Homes that have just said how they want to be watched."""
        self.closing = Closing(self.store)
        self._look_at_ms: dict[int, int] = {}

    async def look(self) -> bool:
        """Judge one piece of each home that has closed quarter-hours; return whether there may be more."""
        more = False
        for user in list(self.directory.users()):
            if self.is_here(user.id) and self._look_at_ms.get(user.id, 0) <= self.clock.now_ms():
                more = await self._judge_carefully(user) or more
                await asyncio.sleep(0)
        return more

    async def _judge_carefully(self, user: DirectoryUser) -> bool:
        """Judge a piece of a home; one that cannot be judged is left for a while, so that the others are."""
        try:
            return await self._judge_a_piece(user)
        except Problem:
            raise
        except Exception:
            log.exception("home %d cannot be judged; it is looked at again in a while", user.id)
            self._look_at_ms[user.id] = self.clock.now_ms() + _REST_MS
            return False

    def is_here(self, user_id: int) -> bool:
        """Whether this process looks after a home."""
        return self.homes.partition_of(user_id) in self.homes.partitions

    async def _judge_a_piece(self, user: DirectoryUser) -> bool:
        """Judge up to a day of a home; return whether there is more."""
        async with self.one_at_a_time:
            devices = self.watched(user.id)
            entries = await self.store.detectors(user.id)
            household, firsts = await self._begin(household_of(entries), devices)
            self._look_at_ms[user.id] = self.clock.now_ms() + LOOK_AGAIN_MS
            if household is None:
                return False
            from_ms = household.through_ms
            to_ms = await self.closing.closed_until(devices, from_ms=from_ms, now_ms=self.clock.now_ms())
            to_ms = min(to_ms, quarter_hour_start(from_ms + PIECE_MS))
            if to_ms <= from_ms:
                return False
            quarters = await self.closing.quarter_hours(devices, from_ms=from_ms, to_ms=to_ms)
            known = {each.id: each for each in await episodes_of(self.store, user.id)}
            judging = _Judging(user, household, settings_of(entries), known, entries.get(HOME))
            await self._judge(judging, devices, quarters, to_ms=to_ms)
            looked_at = {key: first_ms for key, first_ms in firsts.items() if first_ms < to_ms}
            first_ms = looked_at | dict(judging.household.first_ms)
            judging.household = msgspec.structs.replace(judging.household, first_ms=first_ms)
            judging.turn.detectors = {
                (user.id, device_id): entry for device_id, entry in entries_of(judging.household).items()
            }
            await self._store(judging)
            del self._look_at_ms[user.id]
            return True

    async def _store(self, judging: _Judging) -> None:
        async with self.recorder.alone():
            user_id = judging.user.id
            gone = [key for key in judging.turn.detectors if key[1] > HOME and self.directory.device(key[1]) is None]
            for key in gone:
                del judging.turn.detectors[key]
            if (await self.store.detectors(user_id)).get(HOME) == judging.entry:
                await self.commit_here(user_id, judging.turn)

    async def commit_here(self, user_id: int, turn: Recorded) -> bool:
        """Store a turn about a home, alone; False: the home is not this process's any more, or gone."""
        if not self.is_here(user_id) or self.directory.user_is_deleted(user_id):
            return False
        await self.recorder.commit(turn)
        return True

    async def _begin(
        self, known: Household | None, devices: Sequence[DirectoryDevice]
    ) -> tuple[Household | None, dict[int, int]]:
        """Return what is known of a home, and the quarter-hours in which devices begin that were not looked at.

        A new home, or one whose past has grown at its beginning, begins with its readings: late ones of a device that
        was looked at are left alone; those of a device that was not, an import, are not.
        """
        firsts = {
            device.id: quarter_hour_start(first_ms)
            for device in devices
            if (known is None or device.id not in known.first_ms)
            and (first_ms := await self.closing.first_ms(device)) is not None
        }
        if known is not None and all(first_ms >= known.through_ms for first_ms in firsts.values()):
            return known, firsts
        earliest = min([*firsts.values(), *(known.first_ms.values() if known else ())], default=None)
        return None if earliest is None else begun_anew(earliest, known), firsts

    async def _judge(
        self,
        judging: _Judging,
        devices: Sequence[DirectoryDevice],
        quarters: Mapping[int, Mapping[int, QuarterHour]],
        *,
        to_ms: int,
    ) -> None:
        watched = {device.id for device in devices}
        kept = {key: state for key, state in judging.household.devices.items() if key in watched}
        household = msgspec.structs.replace(judging.household, devices=kept)
        rules = rules_of_home(judging.user, devices, judging.settings)
        for start_ms in range(household.through_ms, to_ms, MS_PER_QUARTER_HOUR):
            household, found = judge_quarter(household, quarters.get(start_ms, {}), rules)
            for one in found:
                self._take(one, judging)
            await asyncio.sleep(0)
        judging.household = household
        self._end_what_is_gone(judging)

    def _end_what_is_gone(self, judging: _Judging) -> None:
        """End the episodes that nothing goes on of: their device has gone, or the home was begun anew without them."""
        through_ms, now_ms = judging.household.through_ms, self.clock.now_ms()
        for known in list(judging.known.values()):
            finding = known.finding
            if finding is None or known.ended_ms is not None or finding.decided_ms > through_ms:
                continue
            if not is_open(judging.household, known.device_id or HOME, finding):
                ended = known.ended(max(through_ms, known.opened_ms), now_ms=now_ms)
                judging.turn.episodes.append(ended)
                judging.turn.outgoing += tell(ended, self.directory)

    def _take(self, found: Found, judging: _Judging) -> None:
        """Add to the turn what a finding changes: an episode that opens, is known better, or ends."""
        finding, user_id, now_ms = found.finding, judging.user.id, self.clock.now_ms()
        device_id = None if found.device_id == HOME else found.device_id
        known = judging.known.get(unusual_id(finding, user_id=user_id, device_id=device_id))
        if finding.transition == "opened":
            if known is not None:
                return
            held = not found.told
            episode = open_unusual(finding, user_id=user_id, device_id=device_id, now_ms=now_ms, held=held)
        elif known is None or known.ended_ms is not None:
            return
        elif finding.transition == "updated":
            episode = msgspec.structs.replace(known, finding=finding)
        else:
            episode = known.ended(max(finding.decided_ms, known.opened_ms), now_ms=now_ms)
        judging.known[episode.id] = episode
        judging.turn.episodes.append(episode)
        if finding.transition != "updated":
            judging.turn.outgoing += tell(episode, self.directory)

    def watched(self, user_id: int) -> list[DirectoryDevice]:
        """Return the devices of a home that are in use and take energy."""
        return [
            device
            for device in self.directory.devices_of(user_id)
            if device.user_id == user_id and device.retired_at_ms is None and device.direction == "import"
        ]


def rules_of_home(user: DirectoryUser, devices: Collection[DirectoryDevice], settings: WatchSettings) -> HomeRules:
    """Return how a home is judged, by what the registry says and what it wants."""
    counted = [device for device in devices if device.parent_id is None]
    return HomeRules(
        zone=zone_of(user.time_zone),
        counted={device.id for device in counted},
        muted=settings.muted,
        silence_is_ruled={device.id for device in devices if device.silent_after_ms is not None},
        notices_a_month=settings.notices_a_month,
        mains=counted[0].id if len(counted) == 1 and _measures_a_home(counted[0], devices) else HOME,
    )


def _measures_a_home(device: DirectoryDevice, devices: Collection[DirectoryDevice]) -> bool:
    """Tell whether a device is a meter rather than a plug: it has others behind it, or sends energy and has no type."""
    is_meter = device.type == "MISC" and device.kind != "power"
    return is_meter or any(other.parent_id == device.id for other in devices)
