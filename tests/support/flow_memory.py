"""Kafka as a flow sees it, in memory: partitioned topics, a group whose members are given partitions, transactions."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from energy_tracker.contracts.topics import ENERGY_USAGE, ENERGY_USAGE_BY_OWNER
from energy_tracker.eventlog.kafka_client import partition_of
from energy_tracker.eventlog.kafka_flow import Assignment, FlowCommit, PartitionsMoved
from energy_tracker.eventlog.kafka_state import PartitionState
from energy_tracker.eventlog.kafka_transactions import Appended
from energy_tracker.eventlog.port import LogUnavailable, Record
from energy_tracker.services.usage.adapters.flow_notes import Note, Tally, read_note
from energy_tracker.services.usage.adapters.kafka_ledger import KafkaHoldings
from energy_tracker.services.usage.model.readings import Place

TOPICS = (ENERGY_USAGE, ENERGY_USAGE_BY_OWNER)


@dataclass
class FlowBroker:
    """What outlives processes; `partitions` of each topic and of the state.

    A ledger `in_balance` is so at any moment: it is not while a move brings readings that nobody has consumed.
    """

    partitions: int = 1
    now_ms: Callable[[], int] = lambda: 0
    states: dict[int, PartitionState] = field(default_factory=dict)
    logs: dict[Place, list[Record]] = field(default_factory=lambda: defaultdict(list))
    owners: dict[int, "FlowMember"] = field(default_factory=dict)
    generation: int = 0
    in_balance: bool = True
    known: Mapping[int, Note] | None = None

    def __post_init__(self) -> None:
        for number in range(self.partitions):
            self.states[number] = PartitionState(positions=dict.fromkeys(TOPICS, -1))

    def append(self, topic: str, key: str | None, value: bytes, headers: Mapping[str, str] | None = None) -> Record:
        """Append a record to the partition of its key."""
        return self.append_to(topic, partition_of((key or "").encode(), self.partitions), key, value, headers)

    def append_to(
        self, topic: str, partition: int, key: str | None, value: bytes, headers: Mapping[str, str] | None = None
    ) -> Record:
        """Append a record to a partition."""
        log = self.logs[Place(topic, partition)]
        log.append(Record(topic, partition, len(log), key, value, dict(headers or {}), self.now_ms()))
        return log[-1]

    def assign(self, shares: Mapping["FlowMember", Sequence[int]]) -> None:
        """Give all partitions anew; who had some and is not named any more is not told (it was declared dead)."""
        self.generation += 1
        self.owners = {number: member for member, numbers in shares.items() for number in numbers}
        for member in shares:
            member.reload()

    def share(self, member: "FlowMember") -> list[int]:
        """Return the partitions of a member."""
        return [number for number, owner in self.owners.items() if owner is member]

    def ends(self, number: int) -> dict[str, int]:
        """Return where each topic ends."""
        return {topic: len(self.logs[Place(topic, number)]) for topic in TOPICS}

    def apply(self, commit: FlowCommit) -> None:
        """Do all of a transaction."""
        for number, key, value in commit.entries:
            if value is None:
                self.states[number].entries.pop(key, None)
            else:
                self.states[number].entries[key] = value
        for message in commit.messages:
            self._append(message)
        for (topic, number), offset in commit.positions.items():
            assert offset >= self.states[number].positions[topic], "a position goes back"
            self.states[number].positions[topic] = offset
        for number, note in commit.notes.items():
            assert len(note) <= 4_096, "Kafka takes no longer note"
            self.states[number].note = note
        if self.in_balance:
            self._check_ledger()

    def _check_ledger(self) -> None:
        """Check that what was taken is somewhere, at every moment, and that what is on the way waits in its topic."""
        tallies = [read_note(state.note).tally for state in self.states.values()]
        total = {name: sum(getattr(tally, name) for tally in tallies) for name in Tally.__struct_fields__}
        consumed = total.pop("consumed")
        assert consumed == sum(total.values()), total
        waiting = [
            len(msgspec.json.decode(record.value))
            for number, state in self.states.items()
            for record in self.logs[Place(ENERGY_USAGE_BY_OWNER, number)]
            if record.offset > state.positions[ENERGY_USAGE_BY_OWNER]
        ]
        assert total["on_the_way"] == sum(waiting)

    def _append(self, message: Appended) -> None:
        assert message.value is not None
        self.append(message.topic, message.key, message.value, message.headers)

    async def holdings(self) -> KafkaHoldings:
        """Answer as `KafkaLedger` does."""
        notes = {number: read_note(state.note) for number, state in self.states.items()}
        tallies = [note.tally for note in notes.values()]
        return KafkaHoldings(
            {
                Place(topic, number): offset
                for number, state in self.states.items()
                for topic, offset in state.positions.items()
            },
            stored=sum(tally.stored for tally in tallies),
            dead_lettered=sum(tally.dead for tally in tallies),
            repeated=sum(tally.repeated for tally in tallies),
            parked=sum(tally.parked for tally in tallies),
            consumed=sum(tally.consumed for tally in tallies),
            on_the_way=sum(tally.on_the_way for tally in tallies),
            epochs={number: note.epoch for number, note in notes.items()},
        )

    async def notes(self, *, within_s: float = 0.0) -> Mapping[int, Note]:
        """Answer as `KafkaLedger` does at the worst: with what was known once, where that will do."""
        if not within_s or self.known is None:
            self.known = {number: read_note(state.note) for number, state in self.states.items()}
        return self.known

    def lag(self) -> int:
        """Return how many records wait in all partitions."""
        return sum(
            len(log) - 1 - self.states[place.partition].positions[place.topic]
            for place, log in self.logs.items()
            if place.topic in TOPICS
        )


@dataclass(eq=False)
class FlowMember:
    """Stands for `KafkaFlow`: one member of the group. `size` says how many records a batch has, of so many."""

    broker: FlowBroker
    size: Callable[[int], int] = lambda waiting: waiting
    number: int = 0
    generation: int = 0
    assignment: Assignment | None = None
    _ahead: dict[tuple[str, int], int] = field(default_factory=dict)

    def reload(self) -> None:
        """Read the state of the partitions of this member; what was given before holds no longer."""
        self.number += 1
        self.generation = self.broker.generation
        states = {number: self._read(number) for number in self.broker.share(self)}
        self.assignment = Assignment(self.number, states)
        self._go_back()

    def _read(self, number: int) -> PartitionState:
        stored = self.broker.states[number]
        return PartitionState(
            dict(stored.entries), dict(stored.positions), stored.note, {}, dict(self.broker.ends(number))
        )

    def _go_back(self) -> None:
        self._ahead = {
            (topic, number): offset
            for number in self.broker.share(self)
            for topic, offset in self.broker.states[number].positions.items()
        }

    @property
    def is_dead(self) -> bool:
        """Whether the group goes on without this member, which does not know."""
        return self.generation != self.broker.generation

    async def assigned(self) -> Assignment:
        """Return what this member has; one that was declared dead joins the group again, with nothing."""
        if self.is_dead or self.assignment is None:
            self.reload()
        assert self.assignment is not None
        return self.assignment

    async def next_batch(self, number: int) -> Sequence[Record] | None:
        """Return records that follow, fewer than there are; none where nothing waits (a real flow waits)."""
        if number != self.number or self.assignment is None:
            return None
        waiting = [
            record
            for (topic, partition), offset in self._ahead.items()
            for record in self.broker.logs[Place(topic, partition)][offset + 1 :]
        ]
        batch = waiting[: self.size(len(waiting))]
        for record in batch:
            self._ahead[record.topic, record.partition] = record.offset
        return batch

    async def rewind(self, number: int) -> bool:
        """Go back behind what is committed."""
        if number != self.number:
            return False
        if not self.is_dead:
            self._go_back()
        return True

    async def commit(self, number: int, commit: FlowCommit) -> None:
        """Do a step, if the partitions are still this member's."""
        if number != self.number or self.is_dead:
            self._void()
            raise PartitionsMoved("The partitions were given anew meanwhile.")
        for partition in {*(entry[0] for entry in commit.entries), *commit.notes}:
            assert partition in self.broker.share(self), "a state is changed by somebody else"
        self.broker.apply(commit)
        assert self.assignment is not None
        for partition, note in commit.notes.items():
            self.assignment.partitions[partition].note = note
        for (topic, partition), offset in commit.positions.items():
            self.assignment.partitions[partition].positions[topic] = offset

    def fail(self) -> LogUnavailable:
        """Return the error of a transaction that nobody knows the outcome of; what is committed is read anew."""
        self._void()
        return LogUnavailable("The transaction failed by chance.")

    def _void(self) -> None:
        self.number += 1
        self.assignment = None

    def lag(self) -> int:
        """Return how many records wait for this member."""
        return sum(len(self.broker.logs[Place(*place)]) - 1 - offset for place, offset in self._ahead.items())
