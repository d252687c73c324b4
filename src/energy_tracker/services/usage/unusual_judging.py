"""A piece of a home while it is judged: which episodes open, change and end by what is found."""

from collections.abc import Mapping

import msgspec

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.usage.model.detection.causes import same_cause
from energy_tracker.services.usage.model.detection.findings import Finding
from energy_tracker.services.usage.model.detection.household import (
    HOME,
    Found,
    HomeRules,
    Household,
    is_open,
    judge_quarter,
)
from energy_tracker.services.usage.model.detection.keeping import copy_of, without_copies
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.detection.records import LATE, entries_of
from energy_tracker.services.usage.model.episodes import Episode, open_unusual, unusual_id
from energy_tracker.services.usage.news import tell
from energy_tracker.services.usage.ports import Directory, Recorded
from energy_tracker.services.usage.remembered import RememberedHome


class Judging:
    """Goes on from a household, of which `home` is what the store has."""

    def __init__(self, user_id: int, household: Household, home: RememberedHome, directory: Directory) -> None:
        self.user_id = user_id
        self.household = household
        self.home = home
        self._known = dict(home.episodes)
        self._directory = directory
        self._turn = Recorded()
        self._copies: dict[int, bytes | None] = {}
        self._begins_at_ms: int | None = None

    def forget_copies(self) -> None:
        """Forget what the home was like: it begins anew, and so is kept as it is now."""
        self._copies |= without_copies(self.home.entries)
        self._begins_at_ms = self.household.through_ms

    def judge(self, quarters: Mapping[int, QuarterHour], rules: HomeRules, *, now_ms: int) -> None:
        """Take the next quarter-hour."""
        if self.household.through_ms % MS_PER_DAY == 0 or self.household.through_ms == self._begins_at_ms:
            self._copies |= copy_of(self.household, self.home.entries)
        self.household, found = judge_quarter(self.household, quarters, rules)
        for one in found:
            self._take(one, now_ms=now_ms)

    def finish(self, *, now_ms: int) -> Recorded:
        """Return the turn that stores what follows from all that was judged."""
        self._follow_what_goes_on(now_ms=now_ms)
        late: dict[int, bytes | None] = {LATE: None} if LATE in self.home.entries else {}
        entries: dict[int, bytes | None] = {**self._copies, **late, **entries_of(self.household, self.home.encoder)}
        self._turn.detectors = {(self.user_id, key): entry for key, entry in entries.items()}
        return self._turn

    def _take(self, found: Found, *, now_ms: int) -> None:
        """Add to the turn what a finding changes: an episode that opens, is known better, or ends."""
        finding = found.finding
        device_id = None if found.device_id == HOME else found.device_id
        known = self._episode_of(device_id, finding)
        if finding.transition == "opened":
            if known is not None:
                if known.finding is not None and not _are_alike(known.finding, finding):
                    self._change(msgspec.structs.replace(known, finding=finding))
                return
            self._change(
                open_unusual(finding, user_id=self.user_id, device_id=device_id, now_ms=now_ms, held=not found.told),
                told=True,
            )
        elif known is None or known.ended_ms is not None:
            return
        elif finding.transition == "updated":
            self._change(msgspec.structs.replace(known, finding=finding))
        else:
            self._change(known.ended(max(finding.decided_ms, known.opened_ms), now_ms=now_ms), told=True)

    def _episode_of(self, device_id: int | None, finding: Finding) -> Episode | None:
        """Return the episode of a finding; where a home is judged again, also the one that had its cause before."""
        of_device = [each for each in self._known.values() if each.finding and each.device_id == device_id]
        for each in of_device:
            if each.finding and _are_alike(each.finding, finding):
                return each
        known = self._known.get(unusual_id(finding, user_id=self.user_id, device_id=device_id))
        if known is not None or finding.transition != "opened" or not self.household.again_until_ms:
            return known
        return next((each for each in of_device if _overlap(each, finding)), None)

    def _follow_what_goes_on(self, *, now_ms: int) -> None:
        """End the episodes that nothing goes on of, and take back the end of those that go on after all.

        The former are those of devices that have gone, or that a home which was begun anew, or judged again with what
        came late, is without; the latter are no news.
        """
        through_ms = self.household.through_ms
        for known in list(self._known.values()):
            finding = known.finding
            if finding is None or finding.decided_ms >= through_ms:
                continue
            goes_on = is_open(self.household, known.device_id or HOME, finding)
            if known.ended_ms is None and not goes_on:
                self._change(known.ended(max(through_ms, known.opened_ms), now_ms=now_ms), told=True)
            elif known.ended_ms is not None and goes_on and not known.is_normal and known.ended_ms < through_ms:
                after = msgspec.structs.replace(known, ended_ms=None, notify=False, version=known.version + 1)
                self._change(after, told=True)

    def _change(self, episode: Episode, *, told: bool = False) -> None:
        self._known[episode.id] = episode
        self._turn.episodes.append(episode)
        if told:
            self._turn.outgoing += tell(episode, self._directory)


def _are_alike(finding: Finding, other: Finding) -> bool:
    return (finding.kind, finding.since_ms) == (other.kind, other.since_ms)


def _overlap(known: Episode, finding: Finding) -> bool:
    """Tell whether an episode and a finding that opens are about one time and one cause."""
    if known.finding is None or not same_cause(known.finding.kind, finding.kind):
        return False
    ends_ms = known.ended_ms
    return known.opened_ms < finding.decided_ms and (ends_ms is None or finding.since_ms < ends_ms)
