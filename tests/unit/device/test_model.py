from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.kit.problems import InvalidRequest
from energy_tracker.services.device.model import (
    Assignment,
    Device,
    DeviceDetails,
    DeviceDraft,
    after_owner_deleted,
    check_parent,
    merged_details,
    with_details,
    without_parent,
)

DRAFT = DeviceDraft(name="Plug", type="TV", location="", user_id=1)
CURRENT = DeviceDetails(
    name="Old",
    type="MISC",
    location="Attic",
    user_id=1,
    kind="power",
    direction="export",
    max_hold_ms=60_000,
    rated_power_w=2000.0,
    parent_id=7,
    silent_after_ms=3_600_000,
)


def device(device_id: int = 1, *, user_id: int = 1, parent_id: int | None = None) -> Device:
    details = DeviceDetails(name="Plug", type="TV", location="Hall", user_id=user_id, parent_id=parent_id)
    return Device(
        id=device_id,
        version=1,
        details=details,
        assignments=(Assignment(None, user_id, parent_id),),
        created_at_ms=0,
    )


def pointers(draft: DeviceDraft) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        merged_details(draft, None)
    return [error.pointer for error in caught.value.errors]


def test_what_a_new_device_leaves_out_takes_its_default() -> None:
    assert merged_details(DRAFT, None) == DeviceDetails(name="Plug", type="TV", location="", user_id=1)
    assert merged_details(DRAFT, None).max_hold_ms == 5 * 60_000


def test_what_a_replacement_leaves_out_stays_and_null_clears() -> None:
    assert merged_details(DRAFT, CURRENT) == replace(CURRENT, name="Plug", type="TV", location="")
    cleared = merged_details(replace(DRAFT, rated_power_w=None, parent_id=None, silent_after=None), CURRENT)
    assert cleared == replace(
        CURRENT, name="Plug", type="TV", location="", rated_power_w=None, parent_id=None, silent_after_ms=None
    )


def test_a_device_that_goes_to_another_user_leaves_its_parent_behind_unless_it_gets_one() -> None:
    assert merged_details(replace(DRAFT, user_id=2), CURRENT).parent_id is None
    assert merged_details(replace(DRAFT, user_id=2, parent_id=9), CURRENT).parent_id == 9


@pytest.mark.parametrize("text", ["PT0S", "P2D", "PT24H0.001S", "5 min", "", "-PT5M", "P1M", "PT0.0001S", "P999999W"])
def test_a_longest_hold_is_more_than_nothing_and_at_most_a_day(text: str) -> None:
    assert pointers(replace(DRAFT, max_hold=text)) == ["/maxHold"]


@pytest.mark.parametrize(("text", "ms"), [("PT0.001S", 1), ("P1D", 86_400_000), ("PT1M", 60_000)])
def test_a_longest_hold_that_is_right(text: str, ms: int) -> None:
    assert merged_details(replace(DRAFT, max_hold=text), None).max_hold_ms == ms


@pytest.mark.parametrize("text", ["PT59S", "P367D", "soon"])
def test_a_silence_is_at_least_a_minute(text: str) -> None:
    assert pointers(replace(DRAFT, silent_after=text)) == ["/silentAfter"]


def test_every_field_that_is_wrong_is_named() -> None:
    assert pointers(replace(DRAFT, name=" ", max_hold="x", silent_after="y")) == ["/name", "/maxHold", "/silentAfter"]


def test_a_parent_is_another_device_of_the_user_that_is_not_below() -> None:
    chain = [device(1), device(2, parent_id=1), device(3, parent_id=2)]
    check_parent(chain[2].details, None, chain)
    check_parent(replace(chain[0].details, parent_id=None), 1, chain)
    for device_id, parent_id, sentence in ((1, 1, "itself"), (1, 3, "below"), (1, 4, "same user"), (2, 3, "below")):
        with pytest.raises(InvalidRequest) as caught:
            check_parent(replace(chain[0].details, parent_id=parent_id), device_id, chain)
        assert sentence in caught.value.errors[0].detail


def test_another_owner_or_parent_holds_from_now_on() -> None:
    moved = with_details(device(), replace(device().details, user_id=2), 100)
    assert moved.assignments == (Assignment(None, 1, None), Assignment(100, 2, None))
    renamed = with_details(moved, replace(moved.details, name="New", kind="register"), 200)
    assert renamed.assignments == moved.assignments
    below = with_details(renamed, replace(renamed.details, parent_id=9), 300)
    assert without_parent(below, 400).assignments[-2:] == (Assignment(300, 2, 9), Assignment(400, 2, None))


def test_a_second_change_at_the_same_instant_or_on_a_clock_that_went_back_takes_the_place_of_the_first() -> None:
    moved = with_details(device(), replace(device().details, user_id=2), 100)
    for now_ms in (100, 50):
        again = with_details(moved, replace(moved.details, user_id=3), now_ms)
        assert again.assignments == (Assignment(None, 1, None), Assignment(100, 3, None))


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 3), st.sampled_from([None, 8, 9]))))
def test_assignments_are_always_in_order_and_end_with_what_is_known(changes: list[tuple[int, int, int | None]]) -> None:
    current = device()
    for now_ms, user_id, parent_id in changes:
        current = with_details(current, replace(current.details, user_id=user_id, parent_id=parent_id), now_ms)
        last = current.assignments[-1]
        assert (last.user_id, last.parent_id) == (user_id, parent_id)
        starts = [assignment.from_ms for assignment in current.assignments]
        assert starts[0] is None
        assert all(start is not None for start in starts[1:])
        assert starts[1:] == sorted(set(starts[1:]))  # type: ignore[type-var]


def test_a_device_goes_with_its_owner_but_not_the_past_of_somebody_else() -> None:
    alone = after_owner_deleted(device(), 100)
    assert (alone.erased, alone.retired_at_ms, alone.details.name, alone.details.location) == (True, 100, "", "")
    shared = after_owner_deleted(with_details(device(), replace(device().details, user_id=2), 50), 100)
    assert (shared.erased, shared.retired_at_ms, shared.details.name) == (False, 100, "")
    assert after_owner_deleted(replace(device(), retired_at_ms=3), 100).retired_at_ms == 3
