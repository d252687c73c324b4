"""Episodes, outbox and mailbox in memory: for tests, and for trying things out. They end with their process."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from energy_tracker.services.alert.model.episodes import STATES, Episode, State
from energy_tracker.services.alert.model.mails import (
    MAIL_STATES,
    Delivered,
    Mail,
    MailState,
    Outcome,
    Settlement,
    message_id,
)
from energy_tracker.services.alert.model.rules import Change, KnownEpisode
from energy_tracker.services.alert.ports import EpisodeKey, EpisodeQuery, Tally


class MemoryAlertStore:
    """An `AlertRepository` and a `MailOutbox` of dictionaries."""

    def __init__(self) -> None:
        self._episodes: dict[str, Episode] = {}
        self._mails: dict[int, Mail] = {}
        self._numbers: dict[str, int] = {}
        self._positions: dict[int, int] = {}
        self._next_number = 1

    async def known_episodes(self, episode_ids: Collection[str]) -> Mapping[str, KnownEpisode]:
        """Return those of the episodes that are stored, by id."""
        return {
            episode_id: KnownEpisode(
                self._episodes[episode_id],
                frozenset(mail.kind for mail in self._mails.values() if mail.episode_id == episode_id),
            )
            for episode_id in episode_ids
            if episode_id in self._episodes
        }

    async def store(self, changes: Sequence[Change], positions: Mapping[int, int]) -> None:
        """Store changes in order, and with them the consumer's offset in each partition."""
        for change in changes:
            self._store_change(change)
        self._positions.update(positions)

    def _store_change(self, change: Change) -> None:
        episode, before = change.episode, self._episodes.get(change.episode.id)
        if before is not None and before.version >= episode.version:
            return
        acknowledged_at_ms, sent = (before.acknowledged_at_ms, before.sent) if before else (None, False)
        self._episodes[episode.id] = replace(episode, acknowledged_at_ms=acknowledged_at_ms, sent=sent)
        for mail in change.mails:
            if mail.message_id not in self._numbers:
                self._numbers[mail.message_id] = self._next_number
                self._mails[self._next_number] = replace(mail, id=self._next_number)
                self._next_number += 1
        for withdrawal in change.withdrawals:
            self._suppress(withdrawal.message_id, withdrawal.reason, only_untried=withdrawal.only_untried)

    def _suppress(self, message_id: str, reason: str, *, only_untried: bool = False) -> None:
        mail = self._mails.get(self._numbers.get(message_id, 0))
        if mail is not None and mail.state in {"queued", "held"} and not (only_untried and mail.attempts):
            self._mails[mail.id] = replace(mail, state="suppressed", last_error=reason)

    async def positions(self) -> Mapping[int, int]:
        """Return the offset of the last record that is stored, by partition."""
        return dict(self._positions)

    async def episodes(self, query: EpisodeQuery) -> Sequence[Episode]:
        """Return the episodes asked for, newest first."""
        found = sorted(self._matching(query.user_id, query.states), key=_key, reverse=True)
        return [episode for episode in found if query.after is None or _key(episode) < query.after][: query.limit]

    async def count_episodes(self, *, user_id: int | None, states: frozenset[State]) -> int:
        """Return how many episodes there are of a user (or of all) in these states (none given: in any)."""
        return sum(1 for _ in self._matching(user_id, states))

    def _matching(self, user_id: int | None, states: frozenset[State]) -> Iterator[Episode]:
        for episode in self._episodes.values():
            if user_id in {None, episode.user_id} and (not states or episode.state in states):
                yield episode

    async def acknowledge(self, episode_id: str, *, at_ms: int, reminder: str) -> Episode | None:
        """Note the first acknowledgement, suppress a waiting reminder for the reason given, and return the episode."""
        episode = self._episodes.get(episode_id)
        if episode is None:
            return None
        if episode.acknowledged_at_ms is None:
            episode = self._episodes[episode_id] = replace(episode, acknowledged_at_ms=at_ms)
        self._suppress(message_id(episode_id, "reminder"), reminder)
        return episode

    async def episode(self, episode_id: str) -> Episode | None:
        """Return an episode, or None."""
        return self._episodes.get(episode_id)

    async def user_ids(self, *, after: int, limit: int) -> Sequence[int]:
        """Return the users that have episodes, in order of id, those above `after`."""
        return sorted({episode.user_id for episode in self._episodes.values() if episode.user_id > after})[:limit]

    async def erase_user(self, user_id: int) -> int:
        """Erase a user's episodes and mails, and return how many episodes there were."""
        before = len(self._episodes)
        self._mails = {number: mail for number, mail in self._mails.items() if mail.user_id != user_id}
        self._numbers = {mail.message_id: number for number, mail in self._mails.items()}
        self._episodes = {name: episode for name, episode in self._episodes.items() if episode.user_id != user_id}
        return before - len(self._episodes)

    async def tally(self) -> Tally:
        """Count mails and episodes by state."""
        mails = [mail.state for mail in self._mails.values()]
        episodes = [episode.state for episode in self._episodes.values()]
        return Tally(
            mails={state: mails.count(state) for state in MAIL_STATES},
            episodes={state: episodes.count(state) for state in STATES},
        )

    async def mails(self, *, states: frozenset[MailState], before: int | None, limit: int) -> Sequence[Mail]:
        """Return mails, newest first, in these states (none given: all), those with an id below `before`."""
        found = [mail for mail in self._mails.values() if not states or mail.state in states]
        found.sort(key=lambda mail: mail.id, reverse=True)
        return [mail for mail in found if before is None or mail.id < before][:limit]

    async def claim(self, *, now_ms: int, lease_ms: int) -> Mail | None:
        """Begin an attempt: return the mail that is due longest, with the attempt counted, or None."""
        due = [mail for mail in self._first_in_line() if mail.next_attempt_at_ms <= now_ms]
        if not due:
            return None
        mail = min(due, key=lambda mail: (mail.next_attempt_at_ms, mail.id))
        claimed = replace(mail, attempts=mail.attempts + 1, next_attempt_at_ms=now_ms + lease_ms)
        self._mails[mail.id] = claimed
        return claimed

    def _first_in_line(self) -> list[Mail]:
        first: dict[str, Mail] = {}
        for number in sorted(self._mails):
            mail = self._mails[number]
            if mail.state == "queued":
                first.setdefault(mail.episode_id, mail)
        return list(first.values())

    async def settle(self, mail: Mail, settlement: Settlement) -> bool:
        """End an attempt. False: it did not go out, and the mail is gone, was withdrawn, or is being tried anew."""
        stored = self._mails.get(mail.id)
        if stored is None:
            return False
        if settlement.state != "sent" and (stored.state, stored.attempts) != ("queued", mail.attempts):
            return False
        changed = replace(stored, state=settlement.state, last_error=settlement.error)
        if settlement.state == "sent":
            changed = replace(changed, sent_at_ms=settlement.at_ms)
            self._episodes[mail.episode_id] = replace(self._episodes[mail.episode_id], sent=True)
        if settlement.state == "queued":
            changed = replace(changed, next_attempt_at_ms=settlement.next_attempt_at_ms)
        self._mails[mail.id] = changed
        return True

    async def next_attempt_at_ms(self) -> int | None:
        """Return when the next mail that waits for no other is due; None: none waits."""
        return min((mail.next_attempt_at_ms for mail in self._first_in_line()), default=None)

    async def release_held(self, *, now_ms: int, oldest_ms: int, reason: str) -> int:
        """Queue held mails written at `oldest_ms` or later, suppress the older ones; return how many were queued."""
        held = [mail for mail in self._mails.values() if mail.state == "held"]
        young = [mail for mail in held if mail.created_at_ms >= oldest_ms]
        for mail in held:
            self._mails[mail.id] = replace(mail, state="suppressed", last_error=reason)
        for mail in young:
            self._mails[mail.id] = replace(mail, state="queued", next_attempt_at_ms=now_ms)
        return len(young)


def _key(episode: Episode) -> EpisodeKey:
    return EpisodeKey(episode.opened_at_ms, episode.id)


class MemoryNotifier:
    """A `Notifier` that takes every mail into a list."""

    delivers = True

    def __init__(self) -> None:
        self.taken: list[Mail] = []

    async def send(self, mail: Mail) -> Outcome:
        """Put the mail into the list."""
        self.taken.append(mail)
        return Delivered()
