"""Watching homes: which episodes open and end. usage-service owns episodes; they are stored before they are told."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from energy_tracker.contracts.directory import DirectoryDevice, DirectoryUser
from energy_tracker.kit.instants import MS_PER_HOUR
from energy_tracker.services.usage.history import counted_heads, counted_states, settled_steps, steps_of_home
from energy_tracker.services.usage.model.derivation import Change
from energy_tracker.services.usage.model.episodes import Episode, open_episode
from energy_tracker.services.usage.model.fold import tail
from energy_tracker.services.usage.model.high_usage import Crossing, HomeHour
from energy_tracker.services.usage.model.readings import DeviceRules, Stream
from energy_tracker.services.usage.model.steps import Step
from energy_tracker.services.usage.news import tell
from energy_tracker.services.usage.ports import Directory, EveryHome, Homes, ReadingStore, Recorded, Span
from energy_tracker.services.usage.settled import Settled, at_once
from energy_tracker.services.usage.thresholds import judge_later, threshold_mj

log = logging.getLogger(__name__)

_OWN_RULES = frozenset({"high-usage", "silent-device"})
"""Episodes of the other rules are ended by who opens them."""

EpisodeSubject = tuple[str, int, int | None]


@dataclass(slots=True)
class HomeWatch:
    """Keeps the last hour of every home that wants to be warned, and the episodes that are open."""

    store: ReadingStore
    directory: Directory
    homes: Homes = field(default_factory=EveryHome)
    settled: Settled = at_once
    _hours: dict[int, HomeHour] = field(default_factory=dict)
    _open: dict[EpisodeSubject, Episode] | None = None
    _ended: dict[EpisodeSubject, dict[str, Episode]] = field(default_factory=dict)
    """Episodes that ended lately, by id: late readings may take back the end of one."""

    def reset(self) -> None:
        """Forget everything; it is read from the store again when it is needed."""
        self._hours.clear()
        self._ended.clear()
        self._open = None

    def forget(self, user_ids: Collection[int]) -> None:
        """Forget the last hour of some homes."""
        for user_id in user_ids:
            self._hours.pop(user_id, None)
        self._open = None

    def forget_device(self, device_id: int) -> None:
        """Forget the last hour of homes that a device has a part in."""
        streams = {
            user_id for user_id, hour in self._hours.items() for stream in hour.streams if stream[0] == device_id
        }
        self.forget(streams)

    async def load(self, devices: Iterable[DirectoryDevice]) -> None:
        """Make the last hour of the devices' homes ready, as far as those want to be warned."""
        await self._load_open()
        for user_id in {device.user_id for device in devices}:
            if user_id not in self._hours and threshold_mj(self.directory.user(user_id)) is not None:
                await self.settled()
                self._hours[user_id] = await self._read_hour(user_id)

    def observe(self, turn: Recorded, *, now_ms: int) -> None:
        """Judge the homes whose readings a turn changes; add to the turn the episodes that open and end."""
        homes: defaultdict[int, list[tuple[Stream, Change]]] = defaultdict(list)
        for stream, change in turn.changes:
            device = self.directory.device(stream.device_id)
            if device is not None and device.parent_id is None and stream.direction == "import":
                homes[device.user_id].append((stream, change))
        for user_id, changes in homes.items():
            hour = self._hours.get(user_id)
            if hour is not None:
                self._observe_home(user_id, hour, changes, turn, now_ms=now_ms)
        for device_id in {reading.device_id for reading in turn.readings}:
            self._end_silence(device_id, turn, now_ms=now_ms)

    async def pass_time(self, turn: Recorded, *, now_ms: int, caught_up: bool) -> None:
        """Add what only time brings: readings older than the hour, devices fallen silent, rules that apply no more."""
        await self._load_open()
        for episode in list(self._episodes().values()):
            if episode.rule == "high-usage":
                await self.load(self.directory.devices_of(episode.user_id))
                hour = self._hours.get(episode.user_id)
                threshold = threshold_mj(self.directory.user(episode.user_id))
                if hour is None or threshold is None:
                    self._end(episode, now_ms, turn, now_ms=now_ms)
                else:
                    self._cross(episode.user_id, hour.grow_older(now_ms, threshold), turn, now_ms=now_ms)
            elif not self._may_be_silent(self.directory.device(episode.device_id or 0)):
                self._end(episode, now_ms, turn, now_ms=now_ms)
        if caught_up and not self.directory.stale:
            await self._find_silent(turn, now_ms=now_ms)

    async def judge_now(self, user_ids: Collection[int], turn: Recorded, *, now_ms: int) -> None:
        """Judge homes whose threshold, or wish to be warned, may have changed, by what is known of their last hour."""
        self.forget(user_ids)
        await self._load_open()
        for user_id in user_ids:
            threshold = threshold_mj(self.directory.user(user_id))
            if threshold is None or self.homes.partition_of(user_id) not in self.homes.partitions:
                continue
            await self.load(self.directory.devices_of(user_id))
            hour = self._hours.get(user_id)
            if hour is not None and now_ms - hour.head_ms <= MS_PER_HOUR:
                crossings = hour.pass_over((), tails=(), head_ms=hour.head_ms, threshold_mj=threshold)
                self._cross(user_id, crossings, turn, now_ms=now_ms)

    async def judge_again(self, span: Span, turn: Recorded, *, now_ms: int) -> int:
        """Judge a stretch of a home's past; add episodes that were missed, without mails, to those known.

        Returns the instant up to which that is settled: the end, or where an episode begins that the end cuts.
        """
        user = self.directory.user(span.user_id)
        threshold = threshold_mj(user)
        if user is None or threshold is None:
            return span.to_ms
        from_ms = span.from_ms - MS_PER_HOUR
        hour = HomeHour(head_ms=from_ms)
        news = await steps_of_home(self.store, self.directory, span.user_id, from_ms=from_ms, to_ms=span.to_ms)
        crossings = hour.pass_over(news, tails=(), head_ms=span.to_ms, threshold_mj=threshold)
        known = await self.store.episodes(user_id=span.user_id, from_ms=from_ms, to_ms=span.to_ms)
        begun: Crossing | None = None
        for crossing in crossings:
            if crossing.above:
                begun = crossing
            elif begun is not None:
                self._add_past(user, threshold, (begun, crossing), known, turn, now_ms=now_ms)
                begun = None
        return span.to_ms if begun is None else begun.at_ms

    def _add_past(
        self,
        user: DirectoryUser,
        threshold_mj: int,
        between: tuple[Crossing, Crossing],
        known: Collection[Episode],
        turn: Recorded,
        *,
        now_ms: int,
    ) -> None:
        begin, end = between
        overlaps = any(
            episode.rule == "high-usage"
            and episode.opened_ms < end.at_ms
            and (episode.ended_ms is None or episode.ended_ms > begin.at_ms)
            for episode in known
        )
        if overlaps:
            return
        opened = open_episode(
            "high-usage",
            user_id=user.id,
            opened_ms=begin.at_ms,
            now_ms=begin.at_ms + 2 * MS_PER_HOUR,
            threshold_mj=threshold_mj,
            energy_mj=begin.energy_mj,
        ).following(known)
        for episode in (opened, opened.ended(end.at_ms, now_ms=now_ms)):
            turn.episodes.append(episode)
            turn.outgoing += tell(episode, self.directory)

    def _observe_home(
        self, user_id: int, hour: HomeHour, changes: list[tuple[Stream, Change]], turn: Recorded, *, now_ms: int
    ) -> None:
        threshold = threshold_mj(self.directory.user(user_id))
        horizon_ms = hour.head_ms - MS_PER_HOUR
        news: list[tuple[Stream, Step]] = []
        tails: list[tuple[Stream, tuple[Step, ...]]] = []
        head_ms = hour.head_ms
        for stream, change in changes:
            rules = turn.rules[stream.device_id]
            if change.taken_back:
                hour.replace(stream, settled=change.steps, taken_back=change.taken_back)
            else:
                news += [(stream, step) for step in change.steps if step.end_ms > horizon_ms]
            tails.append((stream, tail(change.head.state, rules)))
            head_ms = max(head_ms, min(change.head.last_ms, now_ms + MS_PER_HOUR))
            past = [step for step in (*change.taken_back, *change.steps) if step.end_ms <= horizon_ms]
            if past or stream.device_id in turn.derived_anew:
                judge_later(turn, user_id, past, until_ms=horizon_ms)
        if turn.derived_anew:
            self._hours.pop(user_id, None)
        crossings = hour.pass_over(news, tails=tails, head_ms=head_ms, threshold_mj=threshold)
        self._cross(user_id, crossings, turn, now_ms=now_ms)

    def _cross(self, user_id: int, crossings: Iterable[Crossing], turn: Recorded, *, now_ms: int) -> None:
        subject: EpisodeSubject = ("high-usage", user_id, None)
        for crossing in crossings:
            episode = self._episodes().get(subject)
            if crossing.above and episode is None:
                opened = open_episode(
                    "high-usage",
                    user_id=user_id,
                    opened_ms=crossing.at_ms,
                    now_ms=now_ms,
                    threshold_mj=threshold_mj(self.directory.user(user_id)),
                    energy_mj=crossing.energy_mj,
                )
                self._begin(opened.following(self._ended.get(subject, {}).values()), turn)
            elif not crossing.above and episode is not None:
                self._end(episode, crossing.at_ms, turn, now_ms=now_ms)

    async def _find_silent(self, turn: Recorded, *, now_ms: int) -> None:
        for device in self.directory.devices():
            if self.homes.partition_of(device.user_id) not in self.homes.partitions:
                continue
            subject: EpisodeSubject = ("silent-device", device.user_id, device.id)
            if device.silent_after_ms is None or not self._may_be_silent(device) or subject in self._episodes():
                continue
            last_ms = max(await self.store.last_reading_ms(device.id) or 0, device.created_at_ms)
            if now_ms - last_ms > device.silent_after_ms:
                opened_ms = last_ms + device.silent_after_ms
                episode = open_episode(
                    "silent-device", user_id=device.user_id, device_id=device.id, opened_ms=opened_ms, now_ms=now_ms
                )
                known = await self.store.episodes(user_id=device.user_id, from_ms=opened_ms - 1, to_ms=opened_ms + 1)
                self._begin(episode.following(known), turn)

    def _end_silence(self, device_id: int, turn: Recorded, *, now_ms: int) -> None:
        device = self.directory.device(device_id)
        if device is None:
            return
        episode = self._episodes().get(("silent-device", device.user_id, device_id))
        if episode is None:
            return
        newest = max(reading.time_ms for reading in turn.readings if reading.device_id == device_id)
        if newest >= episode.opened_ms:
            self._end(episode, min(newest, now_ms), turn, now_ms=now_ms)

    def _may_be_silent(self, device: DirectoryDevice | None) -> bool:
        if device is None or device.retired_at_ms is not None or device.silent_after_ms is None:
            return False
        return self.directory.user(device.user_id) is not None

    def _begin(self, episode: Episode, turn: Recorded) -> None:
        self._episodes()[(episode.rule, episode.user_id, episode.device_id)] = episode
        turn.episodes.append(episode)
        turn.outgoing += tell(episode, self.directory)

    def _end(self, episode: Episode, ended_ms: int, turn: Recorded, *, now_ms: int) -> None:
        ended = episode.ended(max(ended_ms, episode.opened_ms), now_ms=now_ms)
        subject = (episode.rule, episode.user_id, episode.device_id)
        self._episodes().pop(subject, None)
        self._remember_end(subject, ended)
        turn.episodes.append(ended)
        turn.outgoing += tell(ended, self.directory)

    def _remember_end(self, subject: EpisodeSubject, *ended: Episode) -> None:
        episodes = {**self._ended.get(subject, {}), **{episode.id: episode for episode in ended}}
        horizon_ms = max((episode.ended_ms or 0 for episode in episodes.values()), default=0) - 2 * MS_PER_HOUR
        self._ended[subject] = {key: each for key, each in episodes.items() if (each.ended_ms or 0) >= horizon_ms}

    def _episodes(self) -> dict[EpisodeSubject, Episode]:
        if self._open is None:
            message = "the open episodes were not loaded"
            raise RuntimeError(message)
        return self._open

    async def _load_open(self) -> None:
        if self._open is None:
            await self.settled()
            stored = [episode for episode in await self.store.open_episodes() if episode.rule in _OWN_RULES]
            self._open = {(episode.rule, episode.user_id, episode.device_id): episode for episode in stored}

    async def _read_hour(self, user_id: int) -> HomeHour:
        """Return the last hour of a home as the store has it."""
        hour = HomeHour(above=("high-usage", user_id, None) in self._episodes())
        states = await counted_states(self.store, self.directory, user_id)
        heads = counted_heads(states)
        hour.head_ms = max((head.last_ms for head in heads.values()), default=0)
        lately = await self.store.episodes(
            user_id=user_id, from_ms=hour.head_ms - 2 * MS_PER_HOUR, to_ms=hour.head_ms + 2 * MS_PER_HOUR
        )
        over = [episode for episode in lately if episode.rule == "high-usage" and episode.ended_ms is not None]
        self._remember_end(("high-usage", user_id, None), *over)
        for stream, head in heads.items():
            rules = states[stream.device_id].rules or DeviceRules()
            from_ms, to_ms = hour.head_ms - MS_PER_HOUR, hour.head_ms + 1
            settled = await settled_steps(self.store, stream, head, rules, from_ms=from_ms, to_ms=to_ms)
            hour.replace(stream, settled=settled, taken_back=())
            hour.streams[stream].tail = tail(head.state, rules)
        hour.head_ms = max([hour.head_ms, *(episode.ended_ms or 0 for episode in over)])  # so far it was judged
        return hour
