"""The two use cases: where the energy of a home goes, and what its people could do."""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from energy_tracker.contracts.directory import DirectoryUser
from energy_tracker.contracts.forecast import MonthForecast
from energy_tracker.kit.clock import Clock
from energy_tracker.kit.instants import MS_PER_HOUR, to_ms
from energy_tracker.kit.principal import Principal
from energy_tracker.kit.problems import Problem, TemporarilyUnavailable
from energy_tracker.services.insight.model.advice import OF_OVERVIEW, OF_SAVING_TIPS, Purpose, Tip, shown_name
from energy_tracker.services.insight.model.appliances import kind_of
from energy_tracker.services.insight.model.facts import Fact, FactTable, Finding, FindingKind, Subject
from energy_tracker.services.insight.model.findings import FINDERS, ranked, without_idle_sizes
from energy_tracker.services.insight.model.hours import HomeTable, build_home_table
from energy_tracker.services.insight.ports import Directory, Question, Usage
from energy_tracker.services.insight.service.counsel import AdviceDesk

log = logging.getLogger(__name__)

DEFAULT_DAYS = 35
"""Five weeks: this week and four of the same weekdays before."""

MAX_DAYS = 92
"""A quarter of hours is what an answer can be computed from while somebody waits."""


class UserNotFound(Problem):
    """There is no such user."""

    status = 404
    title = "There is no such user"


class DirectoryUnavailable(TemporarilyUnavailable):
    """Users and devices are not known yet."""

    title = "Users and devices are not known yet"


@dataclass(frozen=True, slots=True)
class Insight:
    """An answer: checked tips, the facts they can cite, and kWh until now (None where nothing was measured)."""

    user_id: int
    tips: tuple[Tip, ...]
    facts: tuple[Fact, ...]
    energy_kwh: float | None
    adviser: str


class InsightService:
    """Computes facts from usage-service's hours and has them put into words."""

    def __init__(self, *, usage: Usage, directory: Directory, desk: AdviceDesk, clock: Clock) -> None:
        self._usage = usage
        self._directory = directory
        self._desk = desk
        self._clock = clock

    async def describe_home(self, *, principal: Principal, user_id: int, days: int = DEFAULT_DAYS) -> Insight:
        """Tell where the energy goes. Raises `UserNotFound` and `TemporarilyUnavailable`."""
        return await self._answer(principal, user_id, days, Purpose.OVERVIEW)

    async def suggest_savings(self, *, principal: Principal, user_id: int, days: int = DEFAULT_DAYS) -> Insight:
        """Tell what could be done. Raises `UserNotFound` and `TemporarilyUnavailable`."""
        return await self._answer(principal, user_id, days, Purpose.SAVING_TIPS)

    async def _answer(self, principal: Principal, user_id: int, days: int, purpose: Purpose) -> Insight:
        log.debug("%s asks for the %s of home %d", principal.name, purpose, user_id)
        user = await self._find_user(user_id)
        zone = _zone(user.time_zone)
        start, end = window(self._clock.now(), days, zone)
        until_ms = to_ms(end) + MS_PER_HOUR
        series = await self._usage.series(user_id, start_ms=to_ms(start), end_ms=until_ms, resolution="hour")
        home = build_home_table(series, self._directory.devices_of(user_id), zone, end=end)
        home = replace(home, month=await self._month(user_id))
        found: list[Finding] = []
        for finder in FINDERS:
            await asyncio.sleep(0)  # a large home takes a while: others have their turn in between
            found.extend(finder(home))
        table = fact_table(home, found, purpose)
        counsel = await self._desk.advise(Question(purpose, table))
        return Insight(user_id, counsel.tips, table.facts, home.total.energy_kwh, counsel.adviser)

    async def _month(self, user_id: int) -> MonthForecast | None:
        """Return how the month will end; None where that is not known: the rest of the advice does not depend on it."""
        try:
            forecast = await self._usage.forecast(user_id)
        except Problem as problem:
            log.warning("home %d gets advice without a forecast: %s", user_id, problem.detail)
            return None
        return None if forecast.little_history else forecast.month

    async def _find_user(self, user_id: int) -> DirectoryUser:
        user = self._directory.user(user_id)
        if user is None:
            # The copy may be a moment behind a user who was just made.
            await self._directory.refresh()
            user = self._directory.user(user_id)
        if user is not None:
            return user
        if self._directory.stale:
            raise DirectoryUnavailable("The users and devices cannot be looked up now.")
        message = f"There is no user {user_id}."
        raise UserNotFound(message)


def window(now: datetime, days: int, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return `[start, end)`: from the local midnight `days` days ago to the last full local hour."""
    local = now.astimezone(zone)
    end = local.replace(minute=0, second=0, microsecond=0)
    start = datetime.combine(local.date() - timedelta(days=days), datetime.min.time(), tzinfo=zone)
    return start, end


def fact_table(home: HomeTable, findings: Iterable[Finding], purpose: Purpose) -> FactTable:
    """Take what matters for a purpose of the findings about a home, rank it and number its facts."""
    kinds = OF_OVERVIEW if purpose is Purpose.OVERVIEW else OF_SAVING_TIPS
    found = [finding for finding in ranked(findings) if finding.kind in kinds]
    if purpose is Purpose.SAVING_TIPS:
        found = without_idle_sizes(found, home)
    used = [finding for finding in found if _is_about_the_window(finding)]
    rest = [finding for finding in found if not _is_about_the_window(finding)]
    if used and used[0].kind is FindingKind.NOT_MEASURED:
        used, rest = used[:1], []  # where nothing at all was measured, that is all there is to say
    about = list(dict.fromkeys(finding.device_id for finding in rest if finding.device_id is not None))
    devices = {device.id: device for device in home.devices}
    subjects = [
        Subject(f"D{number}", device.id, shown_name(device), kind_of(device.type, device.name))
        for number, device in enumerate((devices[device_id] for device_id in about), start=1)
    ]
    return FactTable.of([*used, *rest], subjects)


def _is_about_the_window(finding: Finding) -> bool:
    return finding.kind in {FindingKind.ENERGY_USED, FindingKind.MONTH_END} or (
        finding.kind is FindingKind.NOT_MEASURED and finding.device_id is None
    )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        log.warning("the zone %r is not known here; hours are cut in UTC", name[:80])
        return ZoneInfo("UTC")
