"""What people and other services ask of usage-service; nothing here changes anything."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.contracts.usage import (
    LedgerAnswer,
    ReadingsAnswer,
    Resolution,
    SeriesAnswer,
    UsageAnswer,
)
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import quarter_hour_start, to_iso
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import FieldError, InvalidRequest, Problem, TemporarilyUnavailable
from energy_tracker.services.usage.answers import cursor_behind, place_of, series_answer, stored_reading, usage_device
from energy_tracker.services.usage.intake import IntakeLedger
from energy_tracker.services.usage.measuring import measure
from energy_tracker.services.usage.model.calendar import (
    EARLIEST_MS,
    LATEST_MS,
    SHORTEST_MS,
    bucket_start,
    cut,
    quarter_hour_end,
    same_time_days_before,
)
from energy_tracker.services.usage.model.homes import Home
from energy_tracker.services.usage.model.ledger import balance
from energy_tracker.services.usage.model.readings import Reading
from energy_tracker.services.usage.ports import Directory, ReadingQueries

LONGEST_WINDOW_DAYS: Final = 3660
"""Ten years."""

DEFAULT_SERIES_DAYS: Final[dict[Resolution, int]] = {"hour": 7, "day": 7, "week": 56, "month": 365}
MOST_BUCKETS: Final = 10_000
"""A year of hours, with room."""

MOST_BUCKETS_OF_ALL_DEVICES: Final = 200_000
LARGEST_PAGE: Final = 10_000


class UserNotFound(Problem):
    """Nobody by this id lives here, or no longer."""

    status = 404
    title = "There is no such user"


class DeviceNotFound(Problem):
    """The user has no device by this id, and never had."""

    status = 404
    title = "The user has no such device"


class RangeNotAcceptable(InvalidRequest):
    """The range of time is empty, outside of what can be stored, or cut into too many pieces."""

    title = "The range of time is not acceptable"


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a long answer: at most `limit` items (1 to 10 000) behind the `next` of the page before."""

    limit: int = 1_000
    cursor: str | None = None


_FIRST_PAGE: Final = Page()


class QueryService:
    """The questions. A directory that is stale still answers: energy does not depend on it being fresh."""

    def __init__(self, *, store: ReadingQueries, directory: Directory, intake: IntakeLedger, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._intake = intake
        self._clock = clock

    async def usage(self, *, principal: Principal, user_id: int, days: int) -> UsageAnswer:
        """Return what each device used in the last `days` days (1 to 3660), up to the end of this quarter-hour.

        The window begins where the home's clock showed the same time `days` dates ago, in the quarter-hour of that
        instant. Raises `UserNotFound`, `RangeNotAcceptable` and `TemporarilyUnavailable`.
        """
        user = await self.user(principal, user_id)
        if not 1 <= days <= LONGEST_WINDOW_DAYS:
            raise _not_acceptable("days", f"must be from 1 to {LONGEST_WINDOW_DAYS}")
        now_ms = self._clock.now_ms()
        start_ms = quarter_hour_start(same_time_days_before(zone_of_user(user), now_ms, days))
        home = await self._home(user_id, ())
        measured = await measure(self._store, home, [start_ms, quarter_hour_end(now_ms)])
        return UsageAnswer(
            user_id=user_id,
            devices=tuple(
                usage_device(user_id, device, measured.of_device(device.id))
                for device in home.chosen
                if measured.shows(device.id)
            ),
        )

    async def series(
        self,
        *,
        principal: Principal,
        user_id: int,
        resolution: Resolution = "hour",
        from_ms: int | None = None,
        to_ms: int | None = None,
        device_ids: Collection[int] = (),
    ) -> SeriesAnswer:
        """Return the energy of `[from_ms, to_ms)`, rounded outward to quarter-hours and cut in the home's zone.

        Without an end it is that of this quarter-hour; without a beginning, 7 days (8 weeks, a year) before the end,
        from the start of that day, week or month.
        `device_ids` picks devices; the total is that of the devices in the answer. Raises `UserNotFound`,
        `DeviceNotFound`, `RangeNotAcceptable` and `TemporarilyUnavailable`.
        """
        user = await self.user(principal, user_id)
        zone = zone_of_user(user)
        home = await self._home(user_id, device_ids)
        if to_ms is None:
            to_ms = quarter_hour_end(self._clock.now_ms())
        if from_ms is None:
            within = max(EARLIEST_MS, min(to_ms, LATEST_MS))
            some_days_before = same_time_days_before(zone, within, DEFAULT_SERIES_DAYS[resolution])
            from_ms = bucket_start(zone, resolution, some_days_before)
        check_range(from_ms, to_ms)
        start_ms, end_ms = quarter_hour_start(from_ms), quarter_hour_end(to_ms)
        _check_size(resolution, end_ms - start_ms, len(home.chosen_ids))
        measured = await measure(self._store, home, cut(zone, resolution, start_ms, end_ms))
        shown = [device for device in home.chosen if device_ids or measured.shows(device.id)]
        return series_answer(user, resolution, shown, measured)

    async def readings(
        self,
        *,
        principal: Principal,
        user_id: int,
        from_ms: int | None = None,
        to_ms: int | None = None,
        device_ids: Collection[int] = (),
        page: Page = _FIRST_PAGE,
    ) -> ReadingsAnswer:
        """Return a page of the raw readings of `[from_ms, to_ms)`, in order of event time.

        A reading of a device that changed hands belongs to whose it was at its time. Raises `UserNotFound`,
        `DeviceNotFound`, `RangeNotAcceptable`, `CursorNotUnderstood` and `TemporarilyUnavailable`.
        """
        await self.user(principal, user_id)
        home = await self._home(user_id, device_ids)
        if not 1 <= page.limit <= LARGEST_PAGE:
            raise _not_acceptable("limit", f"must be from 1 to {LARGEST_PAGE}")
        start_ms, end_ms = EARLIEST_MS if from_ms is None else from_ms, LATEST_MS if to_ms is None else to_ms
        check_range(start_ms, end_ms)
        after = None if page.cursor is None else place_of(page.cursor)
        found: list[Reading] = []
        for period in home.periods(start_ms=start_ms, end_ms=end_ms):
            if not period.owned or (after is not None and period.end_ms <= after.time_ms):
                continue
            found += await self._store.readings(
                device_ids=sorted(period.owned),
                from_ms=period.start_ms,
                to_ms=period.end_ms,
                after=after,
                limit=page.limit + 1 - len(found),
            )
            if len(found) > page.limit:
                break
        items = found[: page.limit]
        directions = {device.id: device.direction for device in home.devices}
        return ReadingsAnswer(
            items=tuple(stored_reading(reading, directions[reading.device_id]) for reading in items),
            next=cursor_behind(items[-1]) if len(found) > page.limit else None,
        )

    async def ledger(self) -> LedgerAnswer:
        """Return where every reading that was ever received is. Raises `TemporarilyUnavailable`.

        The holdings are read first and the log is then asked for what lies beyond their positions: a reading that
        moves meanwhile is counted once.
        """
        holdings = await self._store.holdings()
        ledger = balance(await self._intake.intake(beyond=holdings), holdings)
        return LedgerAnswer(
            received=ledger.received,
            accepted=ledger.accepted,
            duplicate=ledger.duplicate,
            rejected=ledger.rejected,
            stored=ledger.stored,
            queued=ledger.queued,
            dead_lettered=ledger.dead_lettered,
            balanced=ledger.balanced,
        )

    async def home(self, *, principal: Principal, user_id: int, device_ids: Collection[int] = ()) -> Home:
        """Return a user's home with all its devices or the chosen ones in view.

        Raises `UserNotFound`, `DeviceNotFound`, `TemporarilyUnavailable`.
        """
        await self.user(principal, user_id)
        return await self._home(user_id, device_ids)

    async def user(self, principal: Principal, user_id: int) -> DirectoryUser:
        """Return who is asked about. Raises `UserNotFound` and `TemporarilyUnavailable`."""
        del principal  # the one there is may see every home; grants will be asked here
        user = self._directory.user(user_id)
        if user is None:
            await self._directory.refresh()  # who was registered a moment ago is known
            user = self._directory.user(user_id)
        if user is None and self._directory.stale:
            raise _not_known_now()
        if user is None or user.deleted:
            message = f"There is no user {user_id}."
            raise UserNotFound(message)
        return user

    async def _home(self, user_id: int, device_ids: Collection[int]) -> Home:
        """Return the user's home, with all its devices or with the chosen ones in view."""
        devices = self._directory.devices_of(user_id)
        unknown = set(device_ids) - {device.id for device in devices}
        if unknown:
            await self._directory.refresh()
            devices = self._directory.devices_of(user_id)
            unknown -= {device.id for device in devices}
        if unknown and self._directory.stale:
            raise _not_known_now()
        if unknown:
            message = f"User {user_id} has no device {min(unknown)}."
            raise DeviceNotFound(message)
        return Home(user_id, devices, frozenset(device_ids or (device.id for device in devices)))


def zone_of_user(user: DirectoryUser) -> tzinfo:
    """Return the zone of a home. Raises `TemporarilyUnavailable` where this machine does not know it."""
    try:
        return ZoneInfo(user.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"The time zone {user.time_zone[:80]!r} of user {user.id} is not known here."
        raise TemporarilyUnavailable(message) from None


def check_range(start_ms: int, end_ms: int) -> None:
    """Refuse a range that is empty or outside of what can be stored. Raises `RangeNotAcceptable`."""
    if start_ms < EARLIEST_MS or end_ms > LATEST_MS:
        name = "from" if start_ms < EARLIEST_MS else "to"
        raise _not_acceptable(name, f"must lie between {to_iso(EARLIEST_MS)} and {to_iso(LATEST_MS)}")
    if start_ms >= end_ms:
        raise _not_acceptable("to", "must be after `from`")


def _check_size(resolution: Resolution, length_ms: int, devices: int) -> None:
    buckets = length_ms // SHORTEST_MS[resolution]
    if buckets > MOST_BUCKETS or buckets * devices > MOST_BUCKETS_OF_ALL_DEVICES:
        detail = (
            f"is too fine: about {buckets} buckets for each of {devices} devices, where {MOST_BUCKETS} for each and "
            f"{MOST_BUCKETS_OF_ALL_DEVICES} for all are answered at once; ask for a shorter range, a coarser "
            "resolution, or fewer devices"
        )
        raise _not_acceptable("resolution", detail)


def _not_known_now() -> TemporarilyUnavailable:
    """Return the answer about whom a stale directory does not know: not that they do not exist."""
    return TemporarilyUnavailable("The users and devices cannot be asked about now; those known so far are answered.")


def _not_acceptable(parameter: str, detail: str) -> RangeNotAcceptable:
    return RangeNotAcceptable(f"The parameter `{parameter}` {detail}.", errors=[FieldError(f"?{parameter}", detail)])
