"""The rule `month-limit`: a home's month will pass its limit. One episode a month; it ends with it, or by the limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import Final

from msgspec.structs import replace

from energy_tracker.kit.instants import from_ms
from energy_tracker.kit.quantities import kwh_to_millijoules
from energy_tracker.services.usage.model.calendar import start_of_date
from energy_tracker.services.usage.model.episodes import Episode, episode_id
from energy_tracker.services.usage.model.forecast.month import MonthEnd

RULE: Final = "month-limit"
LIKELY: Final = 0.8
"""From this chance on to pass the limit it is told."""


@dataclass(frozen=True, slots=True)
class MonthSoFar:
    """A limit, what the month has used, and how it will end; None where there is too little history to say."""

    limit_kwh: float
    used_kwh: float
    end: MonthEnd | None

    @property
    def limit_mj(self) -> int:
        """The limit in mJ."""
        return kwh_to_millijoules(self.limit_kwh)

    @property
    def will_pass(self) -> bool:
        """Whether the month has passed the limit, or is likely to."""
        if self.used_kwh > self.limit_kwh:
            return True
        return self.end is not None and self.end.chance_to_pass(self.limit_kwh) >= LIKELY


def month_of(zone: tzinfo, instant_ms: int) -> tuple[int, int]:
    """Return the start and the end of the local month that holds an instant."""
    first = from_ms(instant_ms).astimezone(zone).date().replace(day=1)
    return start_of_date(zone, first), start_of_date(zone, (first + timedelta(days=31)).replace(day=1))


def judge_month(
    known: Sequence[Episode], month: MonthSoFar | None, *, user_id: int, zone: tzinfo, now_ms: int
) -> list[Episode]:
    """Return the episodes that change: those of months that are over end, the one of this month opens, changes or ends.

    `known` are the home's episodes of this rule; `month` is None where the home has no limit. Judging again changes
    nothing. Only the first opening in a month is a mail.
    """
    this_id = episode_id(RULE, user_id, None, month_of(zone, now_ms)[0])
    changed = [
        _ended(each, month_of(zone, each.opened_ms)[1], now_ms)
        for each in known
        if each.ended_ms is None and each.id != this_id
    ]
    episode = next((each for each in known if each.id == this_id), None)
    if episode is None or episode.ended_ms is not None:
        if month is not None and month.will_pass:
            opened = Episode(this_id, RULE, user_id, None, now_ms, notify=episode is None)
            changed.append(_told(opened.following(known), month))
    elif month is None or (month.limit_mj > (episode.threshold_mj or 0) and not month.will_pass):
        changed.append(_ended(episode, now_ms, now_ms))
    elif month.limit_mj != episode.threshold_mj:
        changed.append(_told(replace(episode, version=episode.version + 1, notify=False), month))
    return changed


def _told(episode: Episode, month: MonthSoFar) -> Episode:
    end = month.end
    range_mj = None if end is None else (kwh_to_millijoules(end.low_kwh), kwh_to_millijoules(end.high_kwh))
    energy_mj = kwh_to_millijoules(month.used_kwh)
    return replace(episode, threshold_mj=month.limit_mj, energy_mj=energy_mj, range_mj=range_mj)


def _ended(episode: Episode, ended_ms: int, now_ms: int) -> Episode:
    ended = episode.ended(max(ended_ms, episode.opened_ms), now_ms=now_ms)
    return replace(ended, notify=False)


def describe_month_limit(episode: Episode, zone: tzinfo) -> str:
    """Return what is told of an episode of this rule."""
    limit = _energy(episode.threshold_mj or 0)
    if episode.ended_ms is not None:
        over = episode.ended_ms >= month_of(zone, episode.opened_ms)[1]
        return f"The month that was to pass the limit of {limit} kWh {'is over' if over else 'has another limit now'}."
    used_mj, (low_mj, high_mj) = episode.energy_mj or 0, episode.range_mj or (0, 0)
    ends = _energy(low_mj) if _energy(low_mj) == _energy(high_mj) else f"{_energy(low_mj)} to {_energy(high_mj)}"
    if used_mj > (episode.threshold_mj or 0):
        then = f"; it will end at {ends} kWh" if high_mj else ""
        return f"This month has used {_energy(used_mj)} kWh, more than your limit of {limit} kWh{then}."
    likely = "" if low_mj > (episode.threshold_mj or 0) else "probably "
    return f"This month will end at {ends} kWh, {likely}more than your limit of {limit} kWh."


def _energy(energy_mj: int) -> str:
    """Write kWh with as many figures as a projection can carry."""
    energy_kwh = energy_mj / kwh_to_millijoules(1)
    return f"{energy_kwh:.0f}" if energy_kwh >= 10 else f"{energy_kwh:.1f}"  # noqa: PLR2004 - two significant figures
