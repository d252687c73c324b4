"""What is a transition, and what is not."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.alert import START_MS, wire_transition

from energy_tracker.services.alert.model.transitions import NotATransition, read_transition


def members(**changes: object) -> bytes:
    document = msgspec.json.decode(msgspec.json.encode(wire_transition())) | changes
    return msgspec.json.encode({name: member for name, member in document.items() if member is not ...})


def test_a_transition_is_read_and_unknown_members_are_ignored():
    found = read_transition(members(openedAt="2026-03-01T13:00:00+01:00", somethingNewer=[1]))
    assert found.opened_at_ms == START_MS
    assert found.ended_at_ms is None


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"", "truncated"),
        (b"null", "object"),
        (b"[]", "object"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 100_000, "transition"),
        (members(id=...), "id"),
        (members(id=""), "id"),
        (members(id="a b"), "id"),
        (members(id="x" * 129), "id"),
        (members(id="\u00e9"), "id"),
        (members(version=2**40), "version"),
        (members(version=-1), "version"),
        (members(version="1"), "version"),
        (members(userId=-1), "userId"),
        (members(userId=2**63), "userId"),
        (members(userId=None), "userId"),
        (members(deviceId=2**63), "deviceId"),
        (members(rule="High Usage\r\n"), "rule"),
        (members(state="closed"), "state"),
        (members(state="ended"), "endedAt"),
        (members(openedAt="2026-03-01T13:00:00"), "openedAt"),
        (members(openedAt="yesterday"), "openedAt"),
        (members(message="x" * 4001), "longer"),
        (members(schemaVersion=2), "schemaVersion"),
        (members(thresholdKwh="1"), "thresholdKwh"),
        (members().replace(b"2.25", b"NaN"), "transition"),
        (members().replace(b"2.25", b"1e999"), "transition"),
    ],
)
def test_what_is_no_transition_says_why(value: bytes, named: str):
    with pytest.raises(NotATransition, match=named):
        read_transition(value)


@given(st.binary())
def test_no_bytes_do_anything_else(value: bytes):
    with pytest.raises(NotATransition):
        read_transition(value)
