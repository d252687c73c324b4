"""Episodes: a rule's state about a subject, from the moment it was broken until it is kept again (promise 5)."""

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from energy_tracker.contracts.readings import Rule
from energy_tracker.services.usage.model.detection.findings import Finding

ENDS_BELOW = 0.95
"""High usage ends below this share of its threshold, so that a use at the threshold does not flutter."""

LATE_MS = 3_600_000
"""What is older than this when it becomes known is no news: it makes an episode, but no mail."""

LATE_FINDING_MS = 8 * 3_600_000
"""What is unusual is known hours later where a device reports seldom: it is waited for (`closing.LONGEST_WAIT_MS`)."""


class Episode(msgspec.Struct, frozen=True):
    """One episode; `version` counts its transitions. Energies in mJ, instants in ms since 1970."""

    id: str
    rule: Rule
    user_id: int
    device_id: int | None
    opened_ms: int
    notify: bool
    threshold_mj: int | None = None
    energy_mj: int | None = None
    ended_ms: int | None = None
    version: int = 1
    finding: Finding | None = None
    """What is unusual, where that is the rule."""
    held: bool = False
    """It is listed and not told: the home's notices of the month were for what is more important."""
    range_mj: tuple[int, int] | None = None
    """Between which energies the month will end, where a limit of it is the rule."""
    is_normal: bool = False
    """Somebody has said so: it is not told again."""

    def ended(self, ended_ms: int, *, now_ms: int) -> "Episode":
        """Return the episode with its end; an end that is known late is no news either."""
        late_ms = LATE_MS if self.finding is None else LATE_FINDING_MS
        notify = self.notify and now_ms - ended_ms <= late_ms
        return msgspec.structs.replace(self, ended_ms=ended_ms, version=self.version + 1, notify=notify)

    def following(self, known: Iterable["Episode"]) -> "Episode":
        """Return the episode as the next version of itself where it is known: its end was taken back."""
        before = next((episode for episode in known if episode.id == self.id), None)
        return self if before is None else msgspec.structs.replace(self, version=before.version + 1)


def episode_id(rule: Rule, user_id: int, device_id: int | None, opened_ms: int) -> str:
    """Return the id that an episode always has, whoever finds it."""
    content = f"{rule}|{user_id}|{device_id}|{opened_ms}"
    return blake2b(content.encode(), digest_size=12).hexdigest()


def open_episode(  # noqa: PLR0913 - what an episode consists of
    rule: Rule,
    *,
    user_id: int,
    opened_ms: int,
    now_ms: int,
    device_id: int | None = None,
    threshold_mj: int | None = None,
    energy_mj: int | None = None,
) -> Episode:
    """Open an episode; the id follows from rule, subject and start."""
    return Episode(
        id=episode_id(rule, user_id, device_id, opened_ms),
        rule=rule,
        user_id=user_id,
        device_id=device_id,
        opened_ms=opened_ms,
        notify=now_ms - opened_ms <= LATE_MS,
        threshold_mj=threshold_mj,
        energy_mj=energy_mj,
    )


def open_unusual(finding: Finding, *, user_id: int, device_id: int | None, now_ms: int, held: bool) -> Episode:
    """Open the episode of a finding of a device, or of the home itself; the id follows from subject, kind and start."""
    return Episode(
        id=unusual_id(finding, user_id=user_id, device_id=device_id),
        rule="unusual-use",
        user_id=user_id,
        device_id=device_id,
        opened_ms=finding.since_ms,
        notify=not held and now_ms - finding.decided_ms <= LATE_FINDING_MS,
        finding=finding,
        held=held,
    )


def unusual_id(finding: Finding, *, user_id: int, device_id: int | None) -> str:
    """Return the id of a finding's episode."""
    content = f"unusual-use/{finding.kind}|{user_id}|{device_id}|{finding.since_ms}"
    return blake2b(content.encode(), digest_size=12).hexdigest()
