"""Energy in whole millijoules: nothing is lost or invented by splitting and summing."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.kit.quantities import (
    MILLIJOULES_PER_KILOWATT_HOUR,
    energy_before,
    held_power_millijoules,
    kwh_to_millijoules,
    millijoules_to_kwh,
)


@given(
    energy_mj=st.integers(-(10**15), 10**15),
    duration_ms=st.integers(1, 10**10),
    shares=st.lists(st.floats(0, 1), max_size=20),
)
def test_parts_add_up_to_the_whole_wherever_it_is_cut(energy_mj: int, duration_ms: int, shares: list[float]) -> None:
    cuts = sorted({0, duration_ms, *(int(share * duration_ms) for share in shares)})
    parts = [energy_before(energy_mj, end, duration_ms) - energy_before(energy_mj, start, duration_ms)
             for start, end in pairwise(cuts)]  # fmt: skip
    assert sum(parts) == energy_mj
    assert all(part >= 0 for part in parts) or energy_mj < 0


@given(st.integers(-(10**15), 10**15))
def test_millijoules_survive_the_way_to_the_wire(energy_mj: int) -> None:
    assert kwh_to_millijoules(millijoules_to_kwh(energy_mj)) == energy_mj


def test_units_have_their_size() -> None:
    assert kwh_to_millijoules(1.0) == MILLIJOULES_PER_KILOWATT_HOUR == 3_600_000_000
    assert held_power_millijoules(1_000.0, 3_600_000) == kwh_to_millijoules(1.0)
