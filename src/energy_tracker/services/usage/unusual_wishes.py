"""What people ask and say about unusual use: what there was, that it is normal, and how they want to be told."""

from dataclasses import dataclass
from typing import Final

import msgspec

from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.contracts.unusual import Chart, UnusualAnswer, UnusualUse, WatchAnswer
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import to_iso
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import FieldError, InvalidRequest, Problem, TemporarilyUnavailable
from energy_tracker.services.usage.history import episodes_of
from energy_tracker.services.usage.model.calendar import zone_of
from energy_tracker.services.usage.model.detection.findings import Comparison, Finding, Measure
from energy_tracker.services.usage.model.detection.household import HOME, Household, with_normal
from energy_tracker.services.usage.model.detection.normal import teach_normal
from energy_tracker.services.usage.model.detection.records import (
    SETTINGS,
    WatchSettings,
    entries_of,
    household_of,
    settings_entry,
    settings_of,
)
from energy_tracker.services.usage.model.episodes import Episode
from energy_tracker.services.usage.neighbours import LookedAfterElsewhere
from energy_tracker.services.usage.news import tell
from energy_tracker.services.usage.ports import Recorded
from energy_tracker.services.usage.queries import UserNotFound
from energy_tracker.services.usage.unusual import UnusualWatch
from energy_tracker.services.usage.unusual_words import DURATIONS, POWERS, describe

_MW_PER_W: Final = 1_000


class EpisodeNotFound(Problem):
    """The home has no such episode of unusual use."""

    status = 404
    title = "There is no such episode"


@dataclass(frozen=True, slots=True)
class WatchWishes:
    """The use cases. What they change, `watched` takes into account from the next quarter-hour on."""

    watched: UnusualWatch
    clock: Clock

    async def unusual_use(self, *, principal: Principal, user_id: int) -> UnusualAnswer:
        """Return all that was unusual in a home, newest first. Raises `UserNotFound` and `TemporarilyUnavailable`."""
        user = home_of(self.watched, principal, user_id)
        household = household_of(await self.watched.store.detectors(user_id))
        episodes = await episodes_of(self.watched.store, user_id)
        return UnusualAnswer(
            user_id=user_id,
            judged_until=None if household is None else to_iso(household.through_ms),
            items=tuple(self._answer(user, each, each.finding) for each in reversed(episodes) if each.finding),
        )

    async def call_normal(self, *, principal: Principal, user_id: int, episode_id: str) -> UnusualUse:
        """Let an episode end, and its like not be told again: of this device, this kind, and about as much.

        Raises `UserNotFound`, `EpisodeNotFound` and `TemporarilyUnavailable`.
        """
        user = home_of(self.watched, principal, user_id)
        async with self.watched.one_at_a_time:
            episodes = await episodes_of(self.watched.store, user_id)
            episode = next((each for each in episodes if each.id == episode_id and each.finding), None)
            if episode is None or episode.finding is None:
                raise EpisodeNotFound("The home has no such episode of unusual use.")
            household = household_of(await self.watched.store.detectors(user_id))
            if household is None:
                raise TemporarilyUnavailable("The home is being looked at anew; try again in a while.")
            now_ms = self.clock.now_ms()
            after = msgspec.structs.replace(episode, is_normal=True, notify=False)
            if episode.ended_ms is None:
                after = after.ended(max(now_ms, episode.opened_ms), now_ms=now_ms)
            turn = Recorded(episodes=[after], outgoing=tell(after, self.watched.directory))
            taught = _taught(household, episode.device_id or HOME, episode.finding)
            turn.detectors = {(user_id, device_id): entry for device_id, entry in entries_of(taught).items()}
            async with self.watched.recorder.alone():
                home_of(self.watched, principal, user_id)
                await self.watched.recorder.commit(turn)
        return self._answer(user, after, episode.finding)

    async def watch(self, *, principal: Principal, user_id: int) -> WatchAnswer:
        """Return how a home is watched. Raises `UserNotFound` and `TemporarilyUnavailable`."""
        home_of(self.watched, principal, user_id)
        return _watch_answer(user_id, settings_of(await self.watched.store.detectors(user_id)))

    async def change_watch(
        self,
        *,
        principal: Principal,
        user_id: int,
        notices_a_month: int,
        muted_device_ids: frozenset[int],
        month_limit_kwh: float | msgspec.UnsetType | None = msgspec.UNSET,
    ) -> WatchAnswer:
        """Change how a home is watched; a limit that is unset stays, None takes it away.

        Raises `UserNotFound`, `InvalidRequest` and `TemporarilyUnavailable`.
        """
        home_of(self.watched, principal, user_id)
        owned = {device.id for device in self.watched.directory.devices_of(user_id)}
        if not muted_device_ids <= owned:
            errors = [FieldError("/mutedDeviceIds", "must be the ids of devices of the user")]
            raise InvalidRequest("Not acceptable: /mutedDeviceIds.", errors=errors)
        async with self.watched.one_at_a_time, self.watched.recorder.alone():
            if isinstance(month_limit_kwh, msgspec.UnsetType):
                month_limit_kwh = settings_of(await self.watched.store.detectors(user_id)).month_limit_kwh
            settings = WatchSettings(notices_a_month, tuple(sorted(muted_device_ids)), month_limit_kwh)
            home_of(self.watched, principal, user_id)
            await self.watched.recorder.commit(Recorded(detectors={(user_id, SETTINGS): settings_entry(settings)}))
            self.watched.wishes_changed.add(user_id)
        return _watch_answer(user_id, settings)

    def _answer(self, user: DirectoryUser, episode: Episode, finding: Finding) -> UnusualUse:
        device = None if episode.device_id is None else self.watched.directory.device(episode.device_id)
        name = None if episode.device_id is None else device.name if device else f"Device {episode.device_id}"
        return UnusualUse(
            id=episode.id,
            kind=finding.kind,
            device_id=episode.device_id,
            device_name=name,
            message=describe(finding, name, ended_ms=None, zone=zone_of(user.time_zone)),
            since=to_iso(finding.since_ms),
            decided_at=to_iso(finding.decided_ms),
            until=None if episode.ended_ms is None else to_iso(episode.ended_ms),
            score=finding.score,
            extra_power_w=finding.extra_mw / _MW_PER_W,
            extra_kwh_a_month=round(finding.extra_kwh_a_month, 3),
            held=episode.held,
            normal=episode.is_normal,
            chart=_chart(finding.comparison),
        )


def home_of(watched: UnusualWatch, principal: Principal, user_id: int) -> DirectoryUser:
    """Return the user whose home is asked about.

    Raises `UserNotFound`, `TemporarilyUnavailable` and `LookedAfterElsewhere`, which is one.
    """
    del principal  # until accounts exist, everyone may ask
    user = watched.directory.user(user_id)
    if user is None:
        if watched.directory.stale and not watched.directory.user_is_deleted(user_id):
            raise TemporarilyUnavailable("Which users there are is not known now: user-service does not answer.")
        raise UserNotFound("There is no such user.")
    if not watched.is_here(user_id):
        raise LookedAfterElsewhere(user_id)
    return user


def _taught(household: Household, device_id: int, finding: Finding) -> Household:
    """Return a household that keeps still about a finding: of a device, and of the home as far as the device is why."""
    if device_id == HOME:
        return msgspec.structs.replace(household, home=teach_normal(household.home, finding))
    devices = dict(household.devices)
    if device_id in devices:
        devices[device_id] = teach_normal(devices[device_id], finding)
    return with_normal(msgspec.structs.replace(household, devices=devices), finding)


def _watch_answer(user_id: int, settings: WatchSettings) -> WatchAnswer:
    return WatchAnswer(
        user_id=user_id,
        notices_a_month=settings.notices_a_month,
        muted_device_ids=tuple(settings.muted),
        month_limit_kwh=settings.month_limit_kwh,
    )


def _chart(comparison: Comparison) -> Chart:
    unit, divisor = _unit_of(comparison.measure)
    of_days = _MW_PER_W if comparison.measure is Measure.SHAPE else divisor
    return Chart(
        measure=comparison.measure,
        unit=unit,
        from_=to_iso(comparison.from_ms),
        to=to_iso(comparison.to_ms),
        seen=comparison.seen / divisor,
        expected=comparison.expected / divisor,
        usual_low=comparison.usual_low / divisor,
        usual_high=comparison.usual_high / divisor,
        past=tuple(value / of_days for value in comparison.past),
        recent=tuple(value / of_days for value in comparison.recent),
    )


def _unit_of(measure: Measure) -> tuple[str, int]:
    if measure in POWERS:
        return "W", _MW_PER_W
    if measure in DURATIONS:
        return "min", 1
    return _OTHER_UNITS.get(measure, ("", 1))


_OTHER_UNITS: Final = {
    Measure.FALL: ("kWh", 3_600_000_000),
    Measure.STARTS: ("1/day", 1),
    Measure.DUTY: ("h/day", 4),
    Measure.LIFT: ("spreads", 100),
    Measure.SHAPE: ("bit", 10),
}
