"""Event ids: one key for one id, and content that decides where the sender gave none."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.kit.ids import derived_event_key, event_id_text, event_key

SENDER_IDS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)
CONTENTS = st.tuples(
    st.integers(1, 2**63 - 1),
    st.integers(0, 4 * 10**15),
    st.sampled_from(["interval", "register", "power"]),
    st.sampled_from(["import", "export"]),
    st.floats(0, 1e9),
    st.none() | st.integers(0, 4 * 10**15),
)


@given(SENDER_IDS | st.uuids().map(str))
def test_an_id_reads_back_as_sent(event_id: str) -> None:
    assert event_id_text(event_key(event_id)) == event_id


@given(CONTENTS)
def test_a_derived_id_is_a_version_8_uuid_and_reads_back(content: tuple[int, int, str, str, float, int | None]) -> None:
    key = derived_event_key(*content)
    text = event_id_text(key)
    assert uuid.UUID(text).version == 8
    assert event_key(text) == key == derived_event_key(*content)


@given(CONTENTS, CONTENTS)
def test_other_content_gets_another_id(
    one: tuple[int, int, str, str, float, int | None], other: tuple[int, int, str, str, float, int | None]
) -> None:
    assert (derived_event_key(*one) == derived_event_key(*other)) == (one == other)


def test_microseconds_count_and_numbers_equal_in_value_are_the_same() -> None:
    assert derived_event_key(1, 1_000, "power", "import", 5, None) == derived_event_key(
        1, 1_000, "power", "import", 5.0, None
    )
    assert derived_event_key(1, 1_000, "power", "import", 5, None) != derived_event_key(
        1, 1_001, "power", "import", 5, None
    )
