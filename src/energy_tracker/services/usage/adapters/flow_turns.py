"""The transaction of one turn: what changes in the compacted topic, what is told, and the positions."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from heapq import nlargest

import msgspec

from energy_tracker.eventlog.kafka_flow import FlowCommit
from energy_tracker.eventlog.kafka_producer import READINGS_HEADER
from energy_tracker.eventlog.kafka_transactions import Appended
from energy_tracker.services.usage.adapters.flow_notes import Tally, opening_tally
from energy_tracker.services.usage.adapters.flow_state import (
    KEPT_QUARTERS,
    DeviceEntry,
    HomesState,
    StreamEntry,
    encode_entry,
    encode_parked,
)
from energy_tracker.services.usage.adapters.influx_turns import Quarters
from energy_tracker.services.usage.model.derivation import Change
from energy_tracker.services.usage.model.detection.keeping import device_of
from energy_tracker.services.usage.model.readings import DeviceRules, Stream
from energy_tracker.services.usage.ports import Recorded, Span


class FlowTurn:
    """Made with the state as it is committed and the quarter-hours as they will be.

    Commit what `lay_out` returns, and call `follow` only then.
    """

    def __init__(
        self,
        state: HomesState,
        recorded: Recorded,
        sums: dict[Stream, Quarters],
        partition_of_home: Callable[[int], int],
    ) -> None:
        self._state = state
        self._recorded = recorded
        self._sums = sums
        self._partition_of_home = partition_of_home
        self._entries: list[tuple[int, str, bytes | None]] = []
        self._devices: dict[int, tuple[int, DeviceEntry]] = {}
        self._notes = {
            partition: msgspec.structs.replace(note, write=note.write + 1) for partition, note in state.notes.items()
        }

    def lay_out(self) -> FlowCommit:
        """Return the transaction that makes the turn count."""
        self._enter_devices()
        self._enter_episodes()
        self._enter_detectors()
        self._enter_spans()
        self._enter_parked()
        self._count()
        return FlowCommit(
            entries=self._entries,
            messages=list(self._messages()),
            positions={(place.topic, place.partition): offset for place, offset in self._recorded.positions.items()},
            notes={partition: note.text() for partition, note in self._notes.items()},
        )

    def follow(self) -> None:
        """Take the turn over into the state: it is committed."""
        state, recorded = self._state, self._recorded
        state.notes = self._notes
        state.positions.update({(*place,): offset for place, offset in recorded.positions.items()})
        for partition, key, value in self._entries:
            if value is None or not key.startswith("device:"):
                state.put(partition, key, value)
        for device_id in recorded.derived_anew:
            state.forget_device(device_id)
        for device_id, (partition, entry) in self._devices.items():
            state.keep_device(partition, device_id, entry)
        for stream, sums in self._sums.items():
            state.keep_quarters(stream, sums)

    def _enter_devices(self) -> None:
        recorded = self._recorded
        changes: defaultdict[int, list[tuple[Stream, Change]]] = defaultdict(list)
        for stream, change in recorded.changes:
            changes[stream.device_id].append((stream, change))
        for device_id in {*changes, *recorded.rules, *recorded.derived_anew} - recorded.erased:
            partition = self._state.partition_of(device_id, recorded)
            since_epoch = self._notes[partition].epoch if device_id in recorded.derived_anew else None
            entry = self._entry_of(device_id, changes[device_id], since_epoch)
            self._devices[device_id] = (partition, entry)
            others = self._state.partitions_with(device_id) - {partition}
            self._entries += [(other, f"device:{device_id}", None) for other in sorted(others)]
            self._entries.append((partition, f"device:{device_id}", encode_entry(entry)))
        for device_id in recorded.erased | recorded.handed_over:
            for partition in sorted(self._state.partitions_with(device_id)):
                self._entries.append((partition, f"device:{device_id}", None))

    def _entry_of(self, device_id: int, changes: list[tuple[Stream, Change]], since_epoch: int | None) -> DeviceEntry:
        known, is_anew = self._state.device(device_id), since_epoch is not None
        elsewhere = self._state.seen_elsewhere(device_id)
        streams: dict[Stream, StreamEntry] = {}
        if known is not None and not is_anew:
            since_epoch, elsewhere = known.since_epoch, known.elsewhere
            streams = {Stream(device_id, each.direction, each.channel): each for each in known.streams}
        for stream, change in changes:
            sums = self._sums.get(stream, {})
            before = {} if is_anew else self._state.quarters(stream)
            newest = nlargest(KEPT_QUARTERS, {*nlargest(KEPT_QUARTERS, before), *nlargest(KEPT_QUARTERS, sums)})
            kept = [(start, *(sums.get(start) or before[start])) for start in newest]
            streams[stream] = StreamEntry(stream.direction, stream.channel, change.head, kept)
        rules = self._recorded.rules.get(device_id) or (known.rules if known else DeviceRules())
        return DeviceEntry(rules, list(streams.values()), since_epoch or 0, elsewhere)

    def _enter_episodes(self) -> None:
        recorded = self._recorded
        for episode in recorded.episodes:
            partition = self._partition_of_home(episode.user_id)
            self._entries.append((partition, f"episode:{episode.id}", encode_entry(episode)))
        if recorded.erased or recorded.forgotten_users:
            self._entries += [
                (partition, f"episode:{episode.id}", None)
                for partition, episode in self._state.episodes.values()
                if episode.device_id in recorded.erased or episode.user_id in recorded.forgotten_users
            ]

    def _enter_detectors(self) -> None:
        recorded = self._recorded
        for (user_id, device_id), state in recorded.detectors.items():
            self._entries.append((self._partition_of_home(user_id), f"detector:{user_id}:{device_id}", state))
        gone = recorded.forgotten_users or recorded.erased
        for user_id, of_home in self._state.detectors.items() if gone else ():
            self._entries += [
                (partition, f"detector:{user_id}:{device_id}", None)
                for device_id, (partition, _) in of_home.items()
                if user_id in recorded.forgotten_users or device_of(device_id) in recorded.erased
            ]

    def _enter_spans(self) -> None:
        recorded = self._recorded
        spans = {user_id: span for user_id, (_, span) in self._state.to_judge.items()}
        for judged in recorded.judged:
            if spans.get(judged.user_id) == judged:
                del spans[judged.user_id]
        for span in recorded.to_judge:
            known = spans.get(span.user_id, span)
            spans[span.user_id] = Span(span.user_id, min(span.from_ms, known.from_ms), max(span.to_ms, known.to_ms))
        for user_id in recorded.forgotten_users:
            spans.pop(user_id, None)
        touched = {span.user_id for span in (*recorded.judged, *recorded.to_judge)} | recorded.forgotten_users
        for user_id in touched:
            span_now = spans.get(user_id)
            if span_now is not None or user_id in self._state.to_judge:
                value = None if span_now is None else encode_entry(span_now)
                self._entries.append((self._partition_of_home(user_id), f"judge:{user_id}", value))

    def _enter_parked(self) -> None:
        for entry in self._recorded.parked:
            partition = entry.reading.source.partition if entry.reading.source else self._counting
            note = self._notes[partition]
            note.parked_number += 1
            self._entries.append((partition, f"parked:{note.parked_number}", encode_parked(entry)))
        for number in self._recorded.released:
            partition, place = self._state.place_of_parked(number)
            self._entries.append((partition, f"parked:{place}", None))

    def _count(self) -> None:
        recorded, note = self._recorded, self._notes[self._counting]
        tally = note.tally
        dead = sum(letter.readings for letter in recorded.dead_letters) - recorded.revived
        note.tally = msgspec.structs.replace(
            tally,
            consumed=tally.consumed + recorded.consumed,
            stored=tally.stored + len(recorded.readings),
            dead=tally.dead + dead,
            repeated=tally.repeated + recorded.repeated,
            on_the_way=tally.on_the_way + recorded.forwarded - recorded.arrived,
            parked=tally.parked + len(recorded.parked) - len(recorded.released),
        )
        if recorded.opening is not None:
            for each in self._notes.values():
                each.tally = Tally()
            note.tally = opening_tally(recorded.opening)

    @property
    def _counting(self) -> int:
        """The partition whose note counts this turn: sums over all partitions are what matters."""
        taken = [place.partition for place in self._recorded.positions]
        return taken[0] if taken else min(self._notes)

    def _messages(self) -> Iterator[Appended]:
        for news in self._recorded.outgoing:
            headers = dict(news.headers)
            if news.readings:
                headers[READINGS_HEADER] = str(news.readings)
            yield Appended(news.topic, news.key, news.value, headers)
