"""The detector of any series: causal, deterministic, bounded, and strange is what has not been seen before."""

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energy_tracker.services.usage.model.series_detection.detector import NAMED_FROM, TOLD, PointScore, SeriesDetector
from energy_tracker.services.usage.model.series_detection.rarity import CAP, MEMORY, STRETCH, Rarity
from energy_tracker.services.usage.model.series_detection.signals import FAMILIES, KINDS, Signals

STEP_S = 300
ALARM = 0.65


def scores_of(values: Sequence[float], step_s: float = STEP_S) -> list[PointScore]:
    detector = SeriesDetector()
    return [detector.score(step_s * at, value) for at, value in enumerate(values)]


def alarms_of(values: Sequence[float]) -> dict[int, str]:
    return {at: each.kind for at, each in enumerate(scores_of(values)) if each.score >= ALARM}


def noise(size: int, seed: int = 1, spread: float = 1.0) -> list[float]:
    rng = random.Random(seed)
    return [50 + rng.gauss(0, spread) for _ in range(size)]


def days(count: int, seed: int = 2) -> list[float]:
    rng = random.Random(seed)
    return [(80.0 if 108 <= at % 288 < 216 else 20.0) + rng.uniform(0, 8) for at in range(288 * count)]


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=400),
    cut=st.integers(min_value=0, max_value=400),
)
def test_the_scores_of_a_prefix_are_a_prefix_of_the_scores(values: list[float], cut: int) -> None:
    assert scores_of(values)[:cut] == scores_of(values[:cut])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    instants=st.lists(st.floats(-1e11, 1e11), min_size=200, max_size=400),
    wild=st.sampled_from([1.0, 1e-300, 1e300]),
)
def test_whatever_comes_a_score_is_0_to_1_and_a_kind_is_known(seed: int, instants: list[float], wild: float) -> None:
    rng, detector = random.Random(seed), SeriesDetector()
    for instant in instants:
        scored = detector.score(instant, rng.choice([0.0, 1.0, rng.gauss(0, 1), rng.paretovariate(0.3) * wild]))
        assert 0.0 <= scored.score <= 1.0
        assert scored.kind in {"", *KINDS}
        assert (scored.kind != "") == (scored.score >= NAMED_FROM)


def test_a_series_that_does_not_change_is_never_strange() -> None:
    assert {each.score for each in scores_of([45.0] * 4000)} == {0.0}


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e9])
def test_the_unit_does_not_matter(unit: float) -> None:
    values = [*noise(1500), 75.0, *noise(200, seed=4)]
    plain, scaled = scores_of(values), scores_of([unit * value for value in values])
    assert max(abs(one.score - other.score) for one, other in zip(plain, scaled, strict=True)) < 1e-3


def test_noise_alone_alarms_seldom() -> None:
    assert sum(len(alarms_of(noise(4000, seed))) for seed in range(3)) <= 24  # of 12 000 points


def test_a_spike_is_found_at_once_and_scored_once() -> None:
    values = [*noise(2000), 90.0, 91.0, 90.0, *noise(60, seed=4)]
    scored = scores_of(values)
    assert scored[2000].score >= ALARM
    assert scored[2000].kind in {"spike", "above range", "level up"}
    assert all(each.score <= TOLD for each in scored[2001:2060])


def test_a_new_level_is_found_and_told_seldom() -> None:
    values = [*noise(2000), *(value + 30 for value in noise(600, seed=4))]
    found = [at for at in alarms_of(values) if at >= 2000]
    assert found[0] == 2000
    assert len(found) <= 4


def test_a_day_without_its_hump_is_found_though_each_value_is_usual() -> None:
    values = days(14)
    for at in range(288 * 10 + 108, 288 * 10 + 216):
        values[at] = 24.0
    found = alarms_of(values)
    assert [at for at in found if 288 * 10 + 108 <= at < 288 * 10 + 130]
    assert len([at for at in found if 288 * 4 <= at < 288 * 10]) <= 1


def test_what_often_happens_is_not_strange() -> None:
    values = noise(4000)
    for at in range(50, 4000, 100):
        values[at] += 40
    assert len([at for at in alarms_of(values) if at > 1000]) <= 3


def test_a_value_that_stays_is_called_frozen() -> None:
    values = [*noise(3000), *([50.25] * 300)]
    assert "frozen" in {each.kind for each in scores_of(values)[3000:]}


def test_rarity_counts_stretches_and_goes_on_beyond_them() -> None:
    rng, rarity = random.Random(5), Rarity()
    for _ in range(STRETCH * 300):
        rarity.rate(1 + rng.random())
    assert rarity.rate(1.5) == 0.0
    assert 1.0 < rarity.rate(2.2) < rarity.rate(3.0) < rarity.rate(1e300) == CAP


def test_a_heavy_tail_needs_more_to_be_surprised() -> None:
    rng, light, heavy = random.Random(6), Rarity(), Rarity()
    for _ in range(STRETCH * 300):
        light.rate(abs(rng.gauss(0, 1)))
        heavy.rate(rng.paretovariate(1.2))
    strongest = max(heavy._ordered)
    assert light.rate(2 * max(light._ordered)) > heavy.rate(2 * strongest)


def test_the_state_stays_bounded() -> None:
    rng, rarity = random.Random(7), Rarity()
    for _ in range(STRETCH * (MEMORY + 50)):
        rarity.rate(rng.random())
    assert len(rarity._ordered) == len(rarity._recent) == MEMORY
    assert rarity._ordered == sorted(rarity._recent)


def test_every_kind_has_a_family_and_a_strength() -> None:
    strengths = Signals().strengths(0.0, 1.0)
    assert len(KINDS) == len(FAMILIES) == len(strengths)
    assert all(strength >= 0 and math.isfinite(strength) for strength in strengths)
