"""Warning when a month will pass a home's limit: judged once a day for each home that has one.

What follows is stored before it is told, in one transaction; judging again after a restart changes nothing.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import date, tzinfo
from typing import Final

from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.kit.instants import MS_PER_MINUTE, from_ms
from energy_tracker.services.usage.history import episodes_of
from energy_tracker.services.usage.hour_history import History, history_of
from energy_tracker.services.usage.model.calendar import zone_of
from energy_tracker.services.usage.model.detection.records import settings_of
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.model.forecast.hours import TooLittleHistory
from energy_tracker.services.usage.model.forecast.month import MONTH_HISTORY_DAYS
from energy_tracker.services.usage.model.homes import Home
from energy_tracker.services.usage.model.month_limit import RULE, MonthSoFar, judge_month, month_of
from energy_tracker.services.usage.news import tell
from energy_tracker.services.usage.ports import Recorded
from energy_tracker.services.usage.unusual import UnusualWatch

LOOK_AGAIN_MS: Final = 5 * MS_PER_MINUTE
"""So often it is looked whether the day, or a limit that was changed in another process, is another one."""


@dataclass
class MonthLimitWatch:
    """Judges the homes that `watched` looks after; what it remembers only spares it from judging twice a day."""

    watched: UnusualWatch
    _look_at_ms: dict[int, int] = field(default_factory=dict)
    _judged: dict[int, tuple[date, float | None]] = field(default_factory=dict)

    async def look(self) -> None:
        """Judge the homes whose day or limit is another one than when they were judged."""
        now_ms = self.watched.clock.now_ms()
        for user in list(self.watched.directory.users()):
            is_due = user.id in self.watched.wishes_changed or self._look_at_ms.get(user.id, 0) <= now_ms
            if is_due and self.watched.is_here(user.id):
                self.watched.wishes_changed.discard(user.id)
                await self._look_at(user, now_ms)
                self._look_at_ms[user.id] = now_ms + LOOK_AGAIN_MS
                await asyncio.sleep(0)

    async def _look_at(self, user: DirectoryUser, now_ms: int) -> None:
        zone = zone_of(user.time_zone)
        limit_kwh = settings_of(await self.watched.store.detectors(user.id)).month_limit_kwh
        judged = (from_ms(now_ms).astimezone(zone).date(), limit_kwh)
        if self._judged.get(user.id) == judged:
            return
        month = None if limit_kwh is None else await self._month_so_far(user, limit_kwh, zone, now_ms)
        async with self.watched.one_at_a_time:
            known = await self._known(user.id, month_of(zone, now_ms)[0])
            changed = judge_month(known, month, user_id=user.id, zone=zone, now_ms=now_ms)
            if changed and not await self._store(user.id, changed):
                return
        self._judged[user.id] = judged

    async def _month_so_far(self, user: DirectoryUser, limit_kwh: float, zone: tzinfo, now_ms: int) -> MonthSoFar:
        home = home_of_all(self.watched, user)
        history = await history_of(self.watched.store, home, zone=zone, now_ms=now_ms, days=MONTH_HISTORY_DAYS)
        return month_so_far(history, limit_kwh)

    async def _known(self, user_id: int, from_ms: int) -> list[Episode]:
        """Return the episodes that are open or of this month."""
        episodes = await episodes_of(self.watched.store, user_id, from_ms=from_ms)
        return [each for each in episodes if each.rule == RULE]

    async def _store(self, user_id: int, changed: list[Episode]) -> bool:
        """Store and tell what changes; return False where the home is not this process's any more, or gone."""
        turn = Recorded(episodes=changed)
        turn.outgoing = [news for each in changed for news in tell(each, self.watched.directory)]
        async with self.watched.recorder.alone():
            return await self.watched.commit_here(user_id, turn)


def home_of_all(watched: UnusualWatch, user: DirectoryUser) -> Home:
    """Return a home with all its devices."""
    devices = watched.directory.devices_of(user.id)
    return Home(user.id, devices, frozenset(device.id for device in devices))


def month_so_far(history: History, limit_kwh: float) -> MonthSoFar:
    """Return how a month stands against a limit, from the hours that were over."""
    used_kwh = history.used_kwh(history.month_ms[0]) or 0.0
    try:
        return MonthSoFar(limit_kwh, used_kwh, history.month_end())
    except TooLittleHistory:
        return MonthSoFar(limit_kwh, used_kwh, None)
