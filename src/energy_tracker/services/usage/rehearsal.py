"""Rehearsing rules: when one would have told something over a home's stored past, and in how many mails.

Nothing is stored and nothing is told. The same folds judge that judge when readings come.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.contracts.readings import Rule
from energy_tracker.contracts.unusual import RehearsalAnswer, RehearsedEpisode
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, MS_PER_QUARTER_HOUR, quarter_hour_start, to_iso
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import FieldError, InvalidRequest
from energy_tracker.kit.quantities import kwh_to_millijoules
from energy_tracker.services.usage.history import device_pages
from energy_tracker.services.usage.model.calendar import quarter_hour_end, zone_of
from energy_tracker.services.usage.model.detection.household import HOME, Found, begun_anew, judge_quarter
from energy_tracker.services.usage.model.detection.records import household_of, settings_of
from energy_tracker.services.usage.model.episodes import Episode, open_episode, open_unusual, unusual_id
from energy_tracker.services.usage.month_limit_past import months_past_limit
from energy_tracker.services.usage.news import sentence_about
from energy_tracker.services.usage.past import crossings_between
from energy_tracker.services.usage.queries import RangeNotAcceptable, check_range
from energy_tracker.services.usage.thresholds import threshold_mj
from energy_tracker.services.usage.unusual import UnusualWatch, rules_of_home
from energy_tracker.services.usage.unusual_wishes import home_of

LONGEST_MS: Final = 93 * MS_PER_DAY
_WARM_UP_MS: Final = 42 * MS_PER_DAY
"""The detector's memory: what lies further back changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What is tried: a rule over `[from_ms, to_ms)`; what is not given is as it is set now."""

    rule: Rule
    from_ms: int
    to_ms: int
    threshold_kwh: float | None = None
    silent_after_ms: int | None = None
    notices_a_month: int | None = None


@dataclass(frozen=True, slots=True)
class RehearsalService:
    """The use case, over the homes that `watched` looks after."""

    watched: UnusualWatch

    async def rehearse(self, *, principal: Principal, user_id: int, rehearsal: Rehearsal) -> RehearsalAnswer:
        """Return what would have been told, and how.

        Raises `UserNotFound`, `RangeNotAcceptable` (also beyond 93 days), `InvalidRequest` where there is nothing to
        try, and `TemporarilyUnavailable`.
        """
        user = home_of(self.watched, principal, user_id)
        check_range(rehearsal.from_ms, rehearsal.to_ms)
        if rehearsal.to_ms - rehearsal.from_ms > LONGEST_MS:
            detail = f"must be at most {LONGEST_MS // MS_PER_DAY} days after `from`"
            raise RangeNotAcceptable(f"The parameter `to` {detail}.", errors=[FieldError("?to", detail)])
        found = [each async for each in self._episodes(user, rehearsal)]
        return RehearsalAnswer(
            user_id=user_id,
            rule=rehearsal.rule,
            from_=to_iso(rehearsal.from_ms),
            to=to_iso(rehearsal.to_ms),
            episodes=tuple(self._answer(user, each) for each in found),
            mails=sum(_mails(each) for each in found),
        )

    async def _episodes(self, user: DirectoryUser, rehearsal: Rehearsal) -> AsyncIterator[Episode]:
        match rehearsal.rule:
            case "high-usage":
                async for episode in self._high_usage(user, rehearsal):
                    yield episode
            case "silent-device":
                async for episode in self._silent_devices(user, rehearsal):
                    yield episode
            case "unusual-use":
                for episode in await self._unusual_use(user, rehearsal):
                    yield episode
            case "month-limit":
                for episode in await self._month_limit(user, rehearsal):
                    yield episode
            case _ as never:
                assert_never(never)

    async def _high_usage(self, user: DirectoryUser, rehearsal: Rehearsal) -> AsyncIterator[Episode]:
        given = rehearsal.threshold_kwh
        limit_mj = threshold_mj(user) if given is None else kwh_to_millijoules(given)
        if not limit_mj:
            raise _nothing_to_try("thresholdKwh", "is needed: the home has no threshold of its own")
        watched = self.watched
        opened: Episode | None = None
        between = crossings_between(
            watched.store,
            watched.directory,
            user.id,
            from_ms=rehearsal.from_ms,
            to_ms=rehearsal.to_ms,
            threshold_mj=limit_mj,
        )
        async with aclosing(between):  # type: ignore[type-var]  # it is an async generator
            async for crossing in between:
                if crossing.above:
                    opened = open_episode(
                        "high-usage",
                        user_id=user.id,
                        opened_ms=crossing.at_ms,
                        now_ms=crossing.at_ms,
                        threshold_mj=limit_mj,
                        energy_mj=crossing.energy_mj,
                    )
                elif opened is not None:
                    yield opened.ended(crossing.at_ms, now_ms=crossing.at_ms)
                    opened = None
        if opened is not None:
            yield opened

    async def _silent_devices(self, user: DirectoryUser, rehearsal: Rehearsal) -> AsyncIterator[Episode]:
        limits = {
            device: rehearsal.silent_after_ms or device.silent_after_ms for device in self.watched.watched(user.id)
        }
        if rehearsal.silent_after_ms is not None and rehearsal.silent_after_ms < MS_PER_MINUTE:
            raise _nothing_to_try("silentAfter", "must be at least PT1M")
        if not any(limits.values()):
            raise _nothing_to_try("silentAfter", "is needed: no device of the home has one of its own")
        for device, limit_ms in limits.items():
            if limit_ms:
                async for episode in self._silences(user, device, limit_ms, rehearsal):
                    yield episode

    async def _silences(
        self, user: DirectoryUser, device: DirectoryDevice, limit_ms: int, rehearsal: Rehearsal
    ) -> AsyncIterator[Episode]:
        last_ms: int | None = None
        to_ms = min(rehearsal.to_ms, self.watched.clock.now_ms())
        async for time_ms in self._times(device, from_ms=rehearsal.from_ms - limit_ms, to_ms=to_ms):
            if last_ms is not None and time_ms - last_ms > limit_ms and last_ms + limit_ms >= rehearsal.from_ms:
                opened_ms = last_ms + limit_ms
                episode = open_episode(
                    "silent-device", user_id=user.id, device_id=device.id, opened_ms=opened_ms, now_ms=opened_ms
                )
                yield episode if time_ms == to_ms else episode.ended(time_ms, now_ms=time_ms)
            last_ms = time_ms

    async def _times(self, device: DirectoryDevice, *, from_ms: int, to_ms: int) -> AsyncIterator[int]:
        """Yield when readings of a device came, and the end of the range."""
        async for page in device_pages(self.watched.store, device.id, from_ms=from_ms):
            for reading in page:
                if reading.time_ms >= to_ms:
                    yield to_ms
                    return
                yield reading.time_ms
        yield to_ms

    async def _month_limit(self, user: DirectoryUser, rehearsal: Rehearsal) -> list[Episode]:
        limit_kwh = rehearsal.threshold_kwh
        if limit_kwh is None:
            limit_kwh = settings_of(await self.watched.store.detectors(user.id)).month_limit_kwh
        if limit_kwh is None:
            raise _nothing_to_try("thresholdKwh", "is needed: the home's months have no limit of their own")
        to_ms = min(rehearsal.to_ms, self.watched.clock.now_ms())
        return await months_past_limit(self.watched, user, from_ms=rehearsal.from_ms, to_ms=to_ms, limit_kwh=limit_kwh)

    async def _unusual_use(self, user: DirectoryUser, rehearsal: Rehearsal) -> list[Episode]:
        watched = self.watched
        devices = watched.watched(user.id)
        firsts = [first for each in devices if (first := await watched.closing.first_ms(each)) is not None]
        if not firsts:
            return []
        entries = await watched.store.detectors(user.id)
        rules = rules_of_home(user, devices, entries)
        if rehearsal.notices_a_month is not None:
            rules = rules._replace(notices_a_month=rehearsal.notices_a_month)
        begin_ms = quarter_hour_start(max(min(firsts), rehearsal.from_ms - _WARM_UP_MS))
        household = begun_anew(begin_ms, household_of(entries))
        now_ms = watched.clock.now_ms()
        to_ms = await watched.closing.closed_until(devices, from_ms=begin_ms, now_ms=now_ms)
        to_ms = min(quarter_hour_end(rehearsal.to_ms), to_ms)
        episodes: dict[str, Episode] = {}
        while household.through_ms < to_ms:
            until_ms = min(to_ms, household.through_ms + MS_PER_DAY)
            quarters = await watched.closing.quarter_hours(devices, from_ms=household.through_ms, to_ms=until_ms)
            for start_ms in range(household.through_ms, until_ms, MS_PER_QUARTER_HOUR):
                household, found = judge_quarter(household, quarters.get(start_ms, {}), rules)
                for one in found:
                    _note(one, episodes, user_id=user.id, from_ms=rehearsal.from_ms)
                await asyncio.sleep(0)
        return list(episodes.values())

    def _answer(self, user: DirectoryUser, episode: Episode) -> RehearsedEpisode:
        device = None if episode.device_id is None else self.watched.directory.device(episode.device_id)
        as_opened = msgspec.structs.replace(episode, ended_ms=None)
        finding = episode.finding
        return RehearsedEpisode(
            device_id=episode.device_id,
            device_name=device.name if device else None,
            kind=finding.kind if finding else None,
            opened_at=to_iso(finding.decided_ms if finding else episode.opened_ms),
            ended_at=None if episode.ended_ms is None else to_iso(episode.ended_ms),
            message=sentence_about(as_opened, device.name if device else "", zone_of(user.time_zone)),
            held=episode.held,
        )


def _mails(episode: Episode) -> int:
    if episode.held:
        return 0
    return 1 if episode.rule == "month-limit" else 1 + (episode.ended_ms is not None)


def _nothing_to_try(parameter: str, detail: str) -> InvalidRequest:
    return InvalidRequest(f"The parameter `{parameter}` {detail}.", errors=[FieldError(f"?{parameter}", detail)])


def _note(found: Found, episodes: dict[str, Episode], *, user_id: int, from_ms: int) -> None:
    """Add what a finding changes to the episodes that would have been."""
    finding, device_id = found.finding, None if found.device_id == HOME else found.device_id
    key = unusual_id(finding, user_id=user_id, device_id=device_id)
    if finding.transition == "opened" and finding.decided_ms >= from_ms:
        episodes[key] = open_unusual(
            finding, user_id=user_id, device_id=device_id, now_ms=finding.decided_ms, held=not found.told
        )
    elif finding.transition == "ended" and key in episodes:
        ended_ms = max(finding.decided_ms, episodes[key].opened_ms)
        episodes[key] = msgspec.structs.replace(episodes[key], ended_ms=ended_ms)
