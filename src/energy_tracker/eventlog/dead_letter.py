"""Records that a consumer could not use: kept with the reason, their original bytes and their position."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from energy_tracker.contracts.topics import dead_letter_topic
from energy_tracker.eventlog.port import BEFORE_ALL, EventLog, Message, Record
from energy_tracker.kit.problems import InvalidRequest, Problem

_REASON = "dead-letter-reason"
_TOPIC = "dead-letter-topic"
_PARTITION = "dead-letter-partition"
_OFFSET = "dead-letter-offset"
_TIME = "dead-letter-time-ms"
_REPLAYED = "dead-letter-replayed"
_OWN = frozenset({_REASON, _TOPIC, _PARTITION, _OFFSET, _TIME, _REPLAYED})
_REASON_LIMIT = 500
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: where it lies (`offset`), where its record lay (`origin_offset`), why and since when (ms)."""

    offset: int
    reason: str
    origin_topic: str
    origin_partition: int
    origin_offset: int
    dead_since_ms: int
    key: str | None
    value: bytes
    readings: int


class DeadLetterNotFound(Problem):
    """There is no dead letter at this offset (any more)."""

    status = 404
    title = "There is no such dead letter"


def dead_letter(record: Record, *, reason: str, now_ms: int, value: bytes | None = None, readings: int = 1) -> Message:
    """Return the message that keeps a record, or the part `value` of it, for a person to look at.

    `readings` is how many readings it holds, for the ledger; a record that cannot be read counts as one.
    """
    headers = {name: text for name, text in record.headers.items() if name not in _OWN}
    headers |= {
        _REASON: reason[:_REASON_LIMIT],
        _TOPIC: record.topic,
        _PARTITION: str(record.partition),
        _OFFSET: str(record.offset),
        _TIME: str(now_ms),
    }
    return Message(record.key, record.value if value is None else value, headers, readings)


def read_dead_letter(record: Record) -> DeadLetter:
    """Read a record of a dead letter topic; headers that a foreign writer left out are taken from the record itself."""
    headers = record.headers
    return DeadLetter(
        offset=record.offset,
        reason=headers.get(_REASON, "not said"),
        origin_topic=headers.get(_TOPIC, record.topic),
        origin_partition=_integer(headers.get(_PARTITION), 0),
        origin_offset=_integer(headers.get(_OFFSET), 0),
        dead_since_ms=_integer(headers.get(_TIME), record.appended_ms),
        key=record.key,
        value=record.value,
        readings=record.readings,
    )


async def list_dead_letters(
    log: EventLog, topic: str, *, after: int = BEFORE_ALL, limit: int = 100
) -> Sequence[DeadLetter]:
    """Return the dead letters of a topic (`energy-usage`, not its dead letter topic), oldest first, above an offset."""
    return [read_dead_letter(record) for record in await log.read(dead_letter_topic(topic), after=after, limit=limit)]


async def replay_dead_letters(log: EventLog, topic: str, *, offsets: Collection[int]) -> int:
    """Append the original bytes of these dead letters to their topic again; return how many.

    The dead letters stay listed until they expire: replaying twice is harmless, since readings have an identity.
    What is replayed is marked (`is_replayed`) and holds 0 readings for the ledger: they stay dead letters until their
    consumer has taken them.
    Raises `DeadLetterNotFound` (nothing is replayed then) and what `EventLog.append` raises.
    """
    if not offsets:
        raise InvalidRequest("Name at least one dead letter.")
    wanted = set(offsets)
    found: dict[int, Message] = {}
    after = min(wanted) - 1
    while wanted - found.keys():
        records = await log.read(dead_letter_topic(topic), after=after, limit=_PAGE)
        if not records or records[0].offset > max(wanted):
            missing = ", ".join(str(offset) for offset in sorted(wanted - found.keys())[:10])
            message = f"No dead letter of {topic} has the offset {missing}."
            raise DeadLetterNotFound(message)
        for record in records:
            if record.offset in wanted:
                kept = {name: text for name, text in record.headers.items() if name not in _OWN}
                found[record.offset] = Message(record.key, record.value, kept | {_REPLAYED: str(record.offset)}, 0)
        after = records[-1].offset
    await log.append(topic, [found[offset] for offset in sorted(found)])
    return len(found)


def is_replayed(record: Record) -> bool:
    """Tell whether a record was a dead letter: its readings are counted already."""
    return _REPLAYED in record.headers


def _integer(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else otherwise
