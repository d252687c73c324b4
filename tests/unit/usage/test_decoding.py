"""What is on the log as readings: instants, ids and amounts at their edges."""

import msgspec
import pytest

from energy_tracker.eventlog.port import Record
from energy_tracker.kit.ids import event_id_text
from energy_tracker.services.usage.decoding import decode_record, to_message
from energy_tracker.services.usage.model.readings import LogPosition, Reading
from energy_tracker.services.usage.ports import DeadLetter

T_MS = 1_780_272_000_000


def decoded(**fields: object) -> tuple[list[Reading], list[DeadLetter]]:
    message = {"deviceId": 1, "timestamp": T_MS, "energyConsumed": 1.0} | fields
    return decode_record(Record("energy-usage", 0, 7, None, msgspec.json.encode(message), {}, 99))


@pytest.mark.parametrize(
    "timestamp", [T_MS, T_MS / 1000, "2026-06-01T00:00:00Z", "2026-06-01T02:00:00+02:00", 1_780_272_000.0]
)
def test_instants_of_old_and_new_producers_are_the_same(timestamp: object) -> None:
    (reading,), dead = decoded(timestamp=timestamp)
    assert (reading.time_ms, reading.key, dead) == (T_MS, decoded()[0][0].key, [])


def test_an_id_that_follows_is_the_same_whether_it_is_said_or_not() -> None:
    (plain,), _ = decoded()
    event_id = event_id_text(plain.key)
    for said in ({"eventId": event_id}, {"eventId": event_id, "eventIdFollows": True}, {"eventIdFollows": True}):
        (reading,), dead = decoded(**said)
        assert (reading, reading.chosen_key, dead) == (plain, None, [])
    (chosen,), _ = decoded(eventId="mine")
    assert chosen.key == chosen.chosen_key == b"mine"


def test_an_id_that_is_said_to_follow_and_does_not_is_not_taken() -> None:
    (reading,), _ = decoded(eventId="mine", eventIdFollows=True)
    assert reading == decoded()[0][0]


def test_an_id_of_microseconds_stays_with_its_reading() -> None:
    """What is stored has milliseconds only, from which the id would not follow."""
    exact = "2026-06-01T00:00:00.000001Z"
    (reading,), _ = decoded(timestamp=exact)
    assert reading.chosen_key == reading.key != decoded()[0][0].key
    assert decoded(timestamp=exact, eventId=event_id_text(reading.key), eventIdFollows=True)[0] == [reading]


def test_from_1e11_on_a_number_is_milliseconds() -> None:
    _, (as_ms,) = decoded(timestamp=100_000_000_000)
    _, (as_seconds,) = decoded(timestamp=99_999_999_999)
    assert "2000 and 2100" in as_ms.reason
    assert "2000 and 2100" in as_seconds.reason
    assert decoded(timestamp=4_102_444_799)[0][0].time_ms == 4_102_444_799_000


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"since": T_MS}, "lies before timestamp"),
        ({"energyConsumed": -0.001}, "not between 0"),
        ({"energyConsumed": 1.1e6}, "not between 0"),
        ({"energyConsumed": None}, "none of"),
        ({"powerW": 1}, "more than one"),
        ({"deviceId": 0}, "positive"),
        ({"eventId": "x" * 65}, "64 printable"),
        ({"timestamp": "2026-06-01T00:00:00"}, "no offset"),
    ],
)
def test_what_cannot_be_used_says_why(fields: dict[str, object], reason: str) -> None:
    readings, (dead,) = decoded(**fields)
    assert (readings, dead.offset, dead.readings) == ([], 7, 1)
    assert reason in dead.reason


def test_since_a_millisecond_before_is_a_span() -> None:
    assert decoded(since=T_MS - 1)[0][0].since_ms == T_MS - 1


def test_when_it_was_received() -> None:
    assert decoded(receivedAt=55)[0][0].received_ms == 55
    assert decoded()[0][0].received_ms == 99


def test_channels_and_microseconds_make_different_readings() -> None:
    keys = [
        decoded(**fields)[0][0].key for fields in ({}, {"channel": "a"}, {"timestamp": "2026-06-01T00:00:00.000001Z"})
    ]
    assert len(set(keys)) == 3


def test_a_reading_goes_there_and_back() -> None:
    (reading,), _ = decoded(since=T_MS - 5, direction="export", eventId="a b", channel="2", receivedAt=3)
    record = Record("energy-usage", 0, 1, None, msgspec.json.encode(to_message(reading)), {}, 0)
    there = msgspec.structs.replace(reading, source=LogPosition("energy-usage", 0, 1))
    assert decode_record(record) == ([there], [])
