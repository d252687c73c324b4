"""The note that is committed with the positions of a partition: its epochs, its writes, and its part of the ledger."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from energy_tracker.services.usage.model.ledger import Holdings

_MOST_ENDED: Final = 100
"""So many ended epochs are known apart; a note has to fit into the 4 kB that Kafka keeps with an offset."""


_NONE: Final = -1
_ALL: Final = 2**62


class Ranges(msgspec.Struct, array_like=True):
    """Epochs that ended: those from `first` to `last` have committed up to the write `final`.

    What they wrote beyond that counts only in what was written after them.
    """

    first: int
    last: int
    final: int


class Tally(msgspec.Struct):
    """Numbers of readings, for the ledger, as far as this partition has counted them."""

    consumed: int = 0
    stored: int = 0
    dead: int = 0
    repeated: int = 0
    on_the_way: int = 0
    parked: int = 0


def opening_tally(opening: Holdings) -> Tally:
    """Return the tally that goes on from totals of another store."""
    return Tally(
        consumed=opening.consumed,
        stored=opening.stored,
        dead=opening.dead_lettered,
        repeated=opening.repeated,
        parked=opening.parked,
    )


class Note(msgspec.Struct):
    """What goes with the positions of a partition.

    `by` is the address of the process that took it over last, where its neighbours reach it; empty: it does not say.
    """

    epoch: int = 0
    write: int = 0
    parked_number: int = 0
    tally: Tally = msgspec.field(default_factory=Tally)
    ended: list[Ranges] = []
    by: str = ""

    def has_committed(self, epoch: int, write: int) -> bool:
        """Whether a write of an epoch is one of those that are committed."""
        return write <= self.last_committed(epoch)

    def last_committed(self, epoch: int) -> int:
        """Return the last write of an epoch that is committed."""
        if epoch >= self.epoch:
            return self.write if epoch == self.epoch else _NONE
        return min((ended.final for ended in self.ended if ended.first <= epoch <= ended.last), default=_ALL)

    def is_after(self, other: "Note") -> bool:
        """Whether this note was committed after another one of the same partition."""
        return (self.epoch, self.write) > (other.epoch, other.write)

    def text(self) -> str:
        """Return the note as it is kept."""
        return msgspec.json.encode(self).decode()


_note = msgspec.json.Decoder(Note)


def read_note(text: str) -> Note:
    """Return the note of a partition; an empty one where it has none yet."""
    return _note.decode(text) if text else Note()


def next_epoch(note: Note, *, above: int = 0, by: str | None = None) -> Note:
    """Return the note of whoever takes a partition over: a new epoch, and what is known of those before.

    The epoch is above another one, too, where that is told.
    """
    ended = list(note.ended)
    epoch = max(note.epoch, above) + 1
    if ended and ended[-1].final == note.write:
        ended[-1] = Ranges(ended[-1].first, epoch - 1, note.write)
    else:
        ended.append(Ranges(note.epoch, epoch - 1, note.write))
    by = note.by if by is None else by
    return msgspec.structs.replace(note, epoch=epoch, ended=ended[-_MOST_ENDED:], by=by)


def newest(notes: Mapping[int, Note], others: Mapping[int, Note]) -> dict[int, Note]:
    """Return the notes of all partitions that one or the other knows: of two, the one that was committed later."""
    later = {number: note for number, note in others.items() if number not in notes or note.is_after(notes[number])}
    return {**notes, **later}


def judge(notes: Mapping[int, Note]) -> Callable[[int, int], int]:
    """Return what tells the last write that is committed, by partition and epoch."""

    def last_committed(partition: int, epoch: int) -> int:
        note = notes.get(partition)
        return _ALL if note is None else note.last_committed(epoch)

    return last_committed
