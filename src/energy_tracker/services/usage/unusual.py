"""Watching for what is unusual: homes are judged by their closed quarter-hours, as the store has them.

What is known of a home, up to where, and what follows from it are stored in one transaction; so a restart, a replay or
another process go on where this one was, and come to the same. Nothing here is on the way of a reading.
"""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, MS_PER_QUARTER_HOUR, quarter_hour_start
from energy_tracker.kit.problems import Problem
from energy_tracker.services.usage.closing import Closing
from energy_tracker.services.usage.model.calendar import zone_of
from energy_tracker.services.usage.model.detection.household import HOME, HomeRules, Household, begun_anew
from energy_tracker.services.usage.model.detection.keeping import device_of, gone_back
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.detection.records import (
    NEVER_MS,
    late_of,
    outdoor_of,
    settings_of,
)
from energy_tracker.services.usage.ports import Directory, Homes, ReadingStore, Recorded
from energy_tracker.services.usage.recording import Recorder
from energy_tracker.services.usage.remembered import RememberedHome, RememberedHomes, Version
from energy_tracker.services.usage.unusual_judging import Judging

log = logging.getLogger(__name__)

PIECE_MS: Final = MS_PER_DAY
"""So much of a home's past is judged at once."""

LOOK_AGAIN_MS: Final = MS_PER_MINUTE
_REST_MS: Final = 60 * MS_PER_MINUTE
_TEMPERING: Final = frozenset({"HEATER", "AIR_CONDITIONER", "THERMOSTAT"})
"""Types of devices that heat or cool."""


class _Quiet(NamedTuple):
    """A home of which nothing was to be judged beyond an instant, in ms since 1970."""

    version: Version
    devices: Sequence[DirectoryDevice]
    until_ms: int


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
        self.closing = Closing(self.store, self.recorder)
        self.remembered = RememberedHomes(self.store, self.recorder)
        self._look_at_ms: dict[int, int] = {}
        self._quiet: dict[int, _Quiet] = {}

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
        """Judge up to a day of a home; return whether there may be more."""
        async with self.one_at_a_time:
            devices = self.watched(user.id)
            if await self._is_quiet(user.id, devices):
                return False
            home = await self.remembered.home(user.id)
            household, firsts = await self._begin(home, devices)
            self._look_at_ms[user.id] = self.clock.now_ms() + LOOK_AGAIN_MS
            if household is None:
                return False
            from_ms = household.through_ms
            closed_ms = await self.closing.closed_until(devices, from_ms=from_ms, now_ms=self.clock.now_ms())
            is_again = household is not home.household and household.again_until_ms > 0
            until_ms = household.again_until_ms if is_again else from_ms
            if closed_ms <= until_ms:  # what came late is looked at with the next quarter-hour that is closed
                self._quiet[user.id] = _Quiet(home.version, devices, until_ms)
                return False
            to_ms = min(closed_ms, quarter_hour_start(from_ms + PIECE_MS))
            async with self.recorder.alone():
                await self.recorder.late.begin_to_judge(user.id, to_ms)
                recent = self.closing.recent(devices, from_ms=from_ms, to_ms=to_ms)
            quarters = await self.closing.quarter_hours(devices, from_ms=from_ms, to_ms=to_ms, recent=recent)
            judging = Judging(user.id, household, home, self.directory)
            if household is not home.household and not is_again:
                judging.forget_copies()
            await self._judge(judging, user, devices, quarters, to_ms=to_ms)
            looked_at = {key: first_ms for key, first_ms in firsts.items() if first_ms < to_ms}
            first_ms = looked_at | dict(judging.household.first_ms)
            judging.household = msgspec.structs.replace(judging.household, first_ms=first_ms)
            is_stored = await self._store(judging, goes_on=household is home.household)
            if is_stored and to_ms == closed_ms:
                self._quiet[user.id] = _Quiet(self.recorder.late.version(user.id), devices, to_ms)
                return False
            del self._look_at_ms[user.id]
            return True

    async def _is_quiet(self, user_id: int, devices: Sequence[DirectoryDevice]) -> bool:
        """Tell whether a home is as it was when it was looked at last, and no more of it closed."""
        quiet = self._quiet.pop(user_id, None)
        if quiet is None or quiet.version != self.recorder.late.version(user_id) or quiet.devices != devices:
            return False
        until_ms = quiet.until_ms
        closed_ms = await self.closing.closed_until(devices, from_ms=until_ms, now_ms=self.clock.now_ms())
        if closed_ms > until_ms:
            return False
        self._quiet[user_id] = quiet
        self._look_at_ms[user_id] = self.clock.now_ms() + LOOK_AGAIN_MS
        return True

    async def _store(self, judging: Judging, *, goes_on: bool) -> bool:
        """Store what follows, unless something else was stored of the home meanwhile: then it is judged again.

        Return whether it is stored; `goes_on` is whether it followed from what was stored before.
        """
        user_id = judging.user_id
        async with self.recorder.alone():
            turn = judging.finish(now_ms=self.clock.now_ms())
            gone = [key for key in turn.detectors if self._is_gone(device_of(key[1]))]
            for key in gone:
                del turn.detectors[key]
            if not self.remembered.is_as_it_was(user_id, judging.home):
                return False
            is_stored = await self.commit_here(user_id, turn)
            if is_stored and goes_on and not gone:
                self.remembered.follow(user_id, judging.home, judging.household, turn)
            return is_stored

    def _is_gone(self, device_id: int | None) -> bool:
        return device_id is not None and self.directory.device(device_id) is None

    async def commit_here(self, user_id: int, turn: Recorded) -> bool:
        """Store a turn about a home, alone; False: the home is not this process's any more, or gone."""
        if not self.is_here(user_id) or self.directory.user_is_deleted(user_id):
            return False
        await self.recorder.commit(turn)
        return True

    async def _begin(
        self, home: RememberedHome, devices: Sequence[DirectoryDevice]
    ) -> tuple[Household | None, dict[int, int]]:
        """Return what is known of a home, and the quarter-hours in which devices begin that were not looked at.

        A new home, or one of which the past of a device that was not looked at begins before, an import, begins with
        its readings. One of which readings came late is again as it was before them, as far as that is kept.
        """
        known, entries = home.household, home.entries
        firsts = {
            device.id: quarter_hour_start(first_ms)
            for device in devices
            if (known is None or device.id not in known.first_ms)
            and (first_ms := await self.closing.first_ms(device)) is not None
        }
        if known is not None:
            begin_ms = min(firsts.values(), default=NEVER_MS)
            late_ms = min(begin_ms, late_of(entries))
            if late_ms >= known.through_ms:
                return known, firsts
            before = gone_back(known, entries, late_ms)
            if begin_ms >= (known if before is None else before).through_ms:
                return before or known, firsts
        earliest = min([*firsts.values(), *(known.first_ms.values() if known else ())], default=None)
        return None if earliest is None else begun_anew(earliest, known), firsts

    async def _judge(
        self,
        judging: Judging,
        user: DirectoryUser,
        devices: Sequence[DirectoryDevice],
        quarters: Mapping[int, Mapping[int, QuarterHour]],
        *,
        to_ms: int,
    ) -> None:
        watched = {device.id for device in devices}
        kept = {key: state for key, state in judging.household.devices.items() if key in watched}
        judging.household = msgspec.structs.replace(judging.household, devices=kept)
        rules = rules_of_home(user, devices, judging.home.entries)
        for start_ms in range(judging.household.through_ms, to_ms, MS_PER_QUARTER_HOUR):
            judging.judge(quarters.get(start_ms, {}), rules, now_ms=self.clock.now_ms())
            await asyncio.sleep(0)

    def watched(self, user_id: int) -> list[DirectoryDevice]:
        """Return the devices of a home that are in use and take energy."""
        return [
            device
            for device in self.directory.devices_of(user_id)
            if device.user_id == user_id and device.retired_at_ms is None and device.direction == "import"
        ]


def rules_of_home(user: DirectoryUser, devices: Collection[DirectoryDevice], entries: Mapping[int, bytes]) -> HomeRules:
    """Return how a home is judged, by what the registry says, what it wants, and how cold it was there."""
    settings = settings_of(entries)
    counted = [device for device in devices if device.parent_id is None]
    return HomeRules(
        zone=zone_of(user.time_zone),
        counted={device.id for device in counted},
        muted=settings.muted,
        silence_is_ruled={device.id for device in devices if device.silent_after_ms is not None},
        notices_a_month=settings.notices_a_month,
        mains=counted[0].id if len(counted) == 1 and _measures_a_home(counted[0], devices) else HOME,
        tempered={device.id for device in devices if device.type in _TEMPERING},
        outdoor=outdoor_of(entries),
    )


def _measures_a_home(device: DirectoryDevice, devices: Collection[DirectoryDevice]) -> bool:
    """Tell whether a device is a meter rather than a plug: it has others behind it, or sends energy and has no type."""
    is_meter = device.type == "MISC" and device.kind != "power"
    return is_meter or any(other.parent_id == device.id for other in devices)
