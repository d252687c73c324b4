"""Bodies are read as RFC 8259 and I-JSON have them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.kit import strict_json
from energy_tracker.kit.problems import InvalidRequest, MalformedRequest

FINITE = st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | FINITE | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(DOCUMENTS)
def test_reads_what_json_writes(document: object) -> None:
    assert strict_json.loads(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":1',
        b'{"a":1}}',
        b"{'a':1}",
        b"[1,]",
        b'\xff{"a":1}',
        b'\xef\xbb\xbf{"a":1}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5_000,
        b'{"a":1,"a":1}',
        b'{"x":{"a":1,"b":2,"a":3}}',
    ],
    ids=lambda body: repr(body[:12]),
)
def test_refuses_what_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        strict_json.loads(body)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_refuses_numbers_that_are_none(text: str) -> None:
    with pytest.raises(InvalidRequest):
        strict_json.loads(f'{{"value":{text}}}'.encode())


def test_names_the_repeated_key() -> None:
    with pytest.raises(MalformedRequest, match="'deviceId' occurs twice"):
        strict_json.loads(b'{"deviceId":1,"deviceId":2}')
