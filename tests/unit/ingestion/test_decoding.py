"""The fast way and the precise way to read a body agree."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.contracts.ingestion import ReadingBody
from energy_tracker.kit import strict_json
from energy_tracker.kit.problems import Problem
from energy_tracker.services.ingestion.model.decoding import check_fields, decode_batch, decode_lines, decode_one

FIELDS = {
    "deviceId": st.one_of(st.integers(-1, 5), st.integers(), st.just("1"), st.booleans(), st.floats()),
    "timestamp": st.one_of(
        st.datetimes().map(lambda at: at.isoformat() + "Z"),
        st.sampled_from(["2026-05-01T10:00:00Z", "2026-05-01T10:00:00.5+02:00", "2026-05-01", "", 5, None]),
    ),
    "energyConsumed": st.one_of(st.none(), st.floats(), st.integers(), st.just("1"), st.booleans()),
    "registerKwh": st.one_of(st.none(), st.floats(0, 10)),
    "powerW": st.one_of(st.none(), st.floats(0, 10)),
    "since": st.one_of(st.none(), st.just("2026-05-01T09:00:00Z"), st.text(max_size=5)),
    "direction": st.one_of(st.none(), st.sampled_from(["import", "export", "both"])),
    "eventId": st.one_of(st.none(), st.text(max_size=5), st.sampled_from(["deviceId", "a" * 64])),
    "channel": st.one_of(st.none(), st.text(max_size=5)),
    "extra": st.just(1),
}


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """JSON objects that are nearly right, some with a key that occurs twice."""
    likely = ["deviceId", "timestamp", "energyConsumed"]
    names = draw(st.lists(st.sampled_from([*likely, *FIELDS]), max_size=6))
    if draw(st.booleans()):
        names = list(dict.fromkeys([*likely, *names]))
    members = []
    for name in names:
        key = json.dumps(name)
        if draw(st.integers(0, 9)) == 0:
            key = f'"\\u{ord(name[0]):04x}{name[1:]}"'
        members.append(f"{key}:{json.dumps(draw(FIELDS[name]))}")
    return f"{{{','.join(members)}}}".encode()


def precisely(body: bytes) -> ReadingBody | int:
    try:
        return check_fields(strict_json.loads(body))
    except Problem as problem:
        return problem.status


def fast(body: bytes) -> ReadingBody | int:
    try:
        return decode_one(body)
    except Problem as problem:
        return problem.status


@given(texts())
def test_both_ways_agree(body: bytes) -> None:
    assert fast(body) == precisely(body)


@given(st.lists(texts(), max_size=4))
def test_a_batch_is_its_items(items: list[bytes]) -> None:
    alone = [fast(item) for item in items]
    lines = [
        item if isinstance(item, ReadingBody) else item.status for item in decode_lines(b"\n".join([*items, b"{}"]))
    ]
    assert lines == [*alone, 422]
    for body in (b"[%s]" % b",".join(items), b' {"readings": [%s]}' % b",".join(items)):
        try:
            batch: Any = [item if isinstance(item, ReadingBody) else item.status for item in decode_batch(body)]
        except Problem as problem:
            batch = problem.status
        if 400 in alone or batch == 400:
            # an item with a NaN and a repeated key is 422 alone, where the NaN is read first
            assert batch == 400
            assert 400 in alone or b"NaN" in body or b"Infinity" in body or b"1e400" in body
        else:
            assert batch == alone


@given(st.binary(max_size=40))
def test_anything_else_is_a_problem(body: bytes) -> None:
    for decode in (decode_one, decode_batch, decode_lines):
        try:
            decode(body)
        except Problem as problem:
            assert problem.status in (400, 413, 422)  # noqa: PT017 - most bytes are a problem, a few are not


def test_every_field_of_the_body_is_checked_by_itself() -> None:
    wrong = {name: object() for name in msgspec.json.schema(ReadingBody)["$defs"]["ReadingBody"]["properties"]}
    with pytest.raises(Problem) as refused:
        check_fields(wrong)
    assert {error.pointer for error in refused.value.errors} == {f"/{name}" for name in wrong}
