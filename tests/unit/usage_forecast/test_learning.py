"""How past forecasts are scored and learned from."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.services.usage.model.forecast.accuracy import Accuracy, accuracy_of, pinball_loss
from energy_tracker.services.usage.model.forecast.learning import NOTHING_LEARNED, QUANTILES, Outcome, learn

BAND = (1.0, 2.0, 3.0, 4.0, 5.0)


def day_of(actual_kwh, views=(3.0, 3.0, 3.0)):
    return [Outcome(BAND, views, actual_kwh)] * 24


def test_the_pinball_loss_is_that_of_the_books():
    assert pinball_loss(BAND, 3.0) == pytest.approx(0.9 * 0 + 0.1 * 2 + 0.25 * 1 + 0 + 0.25 * 1 + 0.1 * 2)
    assert pinball_loss(BAND, 7.0) == pytest.approx(0.1 * 6 + 0.25 * 5 + 0.5 * 4 + 0.75 * 3 + 0.9 * 2)


def test_accuracies_add_up():
    inside, outside = accuracy_of(day_of(3.0)), accuracy_of(day_of(6.0))
    both = inside + outside
    assert both.pinball_kwh == pytest.approx(accuracy_of([*day_of(3.0), *day_of(6.0)]).pinball_kwh)
    assert (both.band_coverage, both.mean_absolute_error_kwh) == (0.5, 1.5)
    assert (Accuracy().band_coverage, Accuracy().mean_pinball_kwh, Accuracy().mean_absolute_error_kwh) == (None,) * 3


def test_hits_above_the_band_widen_it_upward():
    learned = learn(NOTHING_LEARNED, day_of(6.0))
    assert learned.levels[-1] > QUANTILES[-1]
    assert learned.levels[0] > QUANTILES[0]
    assert learned.levels[2] == QUANTILES[2]


def test_what_lies_on_a_quantile_says_nothing():
    zero = [Outcome((0.0,) * 5, (0.0,) * 3, 0.0)] * 24
    assert learn(NOTHING_LEARNED, zero).levels == pytest.approx(QUANTILES)


def test_nothing_teaches_nothing():
    assert learn(NOTHING_LEARNED, []) is NOTHING_LEARNED


def test_the_view_that_is_nearer_counts_more_and_all_count_the_same_before():
    assert NOTHING_LEARNED.view_weights(3) == [1 / 3] * 3
    learned = learn(NOTHING_LEARNED, day_of(3.0, views=(3.5, 3.4, 9.0)))
    weights = learned.view_weights(3)
    assert weights[1] > weights[0] > weights[2]
    assert sum(weights) == pytest.approx(1)


@given(st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=25), max_size=60))
def test_levels_stay_in_order_and_within(days):
    learned = NOTHING_LEARNED
    for day in days:
        learned = learn(learned, [Outcome(BAND, (1.0, 2.0, 3.0), actual) for actual in day])
    assert all(before <= after for before, after in pairwise(learned.levels))
    assert learned.levels[0] > 0
    assert learned.levels[-1] < 1
    assert sum(learned.view_weights(3)) == pytest.approx(1)
