"""The fold: causal, restorable, bounded, the same with and without empty quarter-hours, and taught for good."""

from datetime import UTC
from random import Random
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.detection import FIRST_DAY, days_of, fold, kettle, opened, quarter_hours, refrigerator, television

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_QUARTER_HOUR
from energy_tracker.services.usage.model.detection.budget import fit_limit
from energy_tracker.services.usage.model.detection.detector import QuarterHourOutOfOrder, observe
from energy_tracker.services.usage.model.detection.findings import Comparison, Finding, Kind, Measure
from energy_tracker.services.usage.model.detection.homes import explained_by, is_away
from energy_tracker.services.usage.model.detection.normal import teach_normal
from energy_tracker.services.usage.model.detection.quarter_hours import QuarterHour
from energy_tracker.services.usage.model.detection.state import State, decode, encode

START_MS = FIRST_DAY * MS_PER_DAY
MOST_BYTES = 16 * 1_024


def wild(seed: int, days: int) -> list[QuarterHour]:
    """Return quarter-hours of anything: gaps, flat and negative readings, spikes, other levels from day to day."""
    random = Random(seed)
    quarters, level = [], 50_000
    for index in range(days * 96):
        if index % 96 == 0:
            level = random.choice((0, 3_000, 50_000, 50_000, 2_000_000))
        if random.random() < 0.03:
            continue
        mean = random.choice((0, level, level, random.randint(0, 2 * level + 1)))
        flat = random.random() < 0.3
        quarters.append(
            QuarterHour(
                start_ms=START_MS + index * MS_PER_QUARTER_HOUR,
                energy_mj=mean * 900,
                covered_ms=random.choice((900_000, 900_000, 400_000, 100_000)),
                highest_mw=mean if flat else random.choice((None, 3 * mean)),
                lowest_mw=mean if flat else random.choice((None, mean // 3)),
                fell_mj=random.choice((0,) * 50 + (90_000_000,)),
            )
        )
    return quarters


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 1_800))
def test_findings_of_a_prefix_are_a_prefix_and_a_restored_state_goes_on_the_same(seed: int, cut: int) -> None:
    quarters = wild(seed, 20)
    whole_state, whole = fold(quarters)
    state, before = fold(quarters[:cut])
    assert whole[: len(before)] == before
    restored = decode(encode(state))
    assert restored == state
    after_state, after = fold(quarters[cut:], restored)
    assert before + after == whole
    assert encode(after_state) == encode(whole_state)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_quarter_hours_without_readings_may_be_left_out(seed: int) -> None:
    quarters = wild(seed, 20)
    given_ms = {quarter.start_ms: quarter for quarter in quarters}
    first, last = quarters[0].start_ms, quarters[-1].start_ms
    dense = [
        given_ms.get(start, QuarterHour(start, 0, 0, readings=0))
        for start in range(first, last + 1, MS_PER_QUARTER_HOUR)
    ]
    assert fold(dense) == fold(quarters)


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_numbers_count_and_each_finding_opens_once_and_ends_once(seed: int) -> None:
    _, findings = fold(wild(seed, 30))
    known: dict[int, str] = {}
    for finding in findings:
        assert (known.get(finding.number), finding.transition) not in {("ended", "opened"), ("ended", "updated")}
        assert (finding.number in known) == (finding.transition != "opened")
        known[finding.number] = finding.transition
    assert sorted(known) == list(range(1, len(known) + 1))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_state_stays_within_sixteen_kib_through_a_year(seed: int) -> None:
    state, largest = State(), 0
    for index, quarter in enumerate(wild(seed, 365)):
        state, _ = observe(state, quarter, zone=UTC)
        if index % 96 == 0:
            largest = max(largest, len(encode(state)))
    assert largest <= MOST_BYTES


def test_a_quarter_hour_comes_once_and_in_order() -> None:
    quarters = wild(1, 1)
    state, _ = fold(quarters)
    with pytest.raises(QuarterHourOutOfOrder):
        observe(state, quarters[-1], zone=UTC)


def test_hours_are_those_of_the_zone() -> None:
    """A clock change moves the evening by an hour of UTC, and nobody hears of it."""
    zone = ZoneInfo("Europe/Berlin")
    history = days_of(television, 40)
    quarters = []
    for quarter in quarter_hours(history):
        moved = -3_600_000 if quarter.start_ms < START_MS + 30 * MS_PER_DAY else -7_200_000
        shifted = quarter.start_ms + moved + 60 * MS_PER_DAY
        if not quarters or shifted > quarters[-1].start_ms:
            quarters.append(msgspec.structs.replace(quarter, start_ms=shifted))
    _, findings = fold(quarters, zone=zone)
    assert findings == []


def test_what_is_normal_is_not_told_again_and_more_of_it_is() -> None:
    history = days_of(television, 120)
    for day in (*range(30, 33), *range(90, 93)):
        history[day] = [None if power is None else power + 5 for power in history[day]]
    quarters = list(quarter_hours(history))
    state, findings = fold(quarters[: 34 * 96])
    (told,) = [finding for finding in findings if finding.transition == "opened"]
    assert told.kind is Kind.STANDBY_UP
    _, again = fold(quarters[34 * 96 :], state)
    assert opened(again) == [Kind.STANDBY_UP]
    _, taught = fold(quarters[34 * 96 :], teach_normal(state, told))
    assert opened(taught) == []
    for day in range(90, 93):
        history[day] = [None if power is None else power + 15 for power in history[day]]
    _, more = fold(list(quarter_hours(history))[34 * 96 :], teach_normal(state, told))
    assert opened(more) == [Kind.STANDBY_UP]


def test_a_higher_limit_keeps_still() -> None:
    history = days_of(television, 36)
    history[30:33] = [[None if power is None else power + 5 for power in day] for day in history[30:33]]
    _, findings = fold(quarter_hours(history))
    _, fewer = fold(quarter_hours(history), limit=10 * findings[0].score)
    assert opened(findings) == [Kind.STANDBY_UP]
    assert fewer == []


def finding(kind: Kind, *, since_ms: int = START_MS, extra_mw: int = 0) -> Finding:
    compared = Comparison(Measure.ENERGY, since_ms, since_ms + 1, 0, 0, 0, 0)
    return Finding("opened", 1, kind, since_ms, since_ms + 1, 200, extra_mw, compared)


def test_a_device_explains_its_home() -> None:
    of_home = finding(Kind.DRAWS_MORE, extra_mw=50_000)
    cause = finding(Kind.STUCK_ON, extra_mw=40_000, since_ms=START_MS - MS_PER_DAY)
    small, old = finding(Kind.STANDBY_UP, extra_mw=4_000), finding(Kind.STUCK_ON, since_ms=0, extra_mw=50_000)
    assert explained_by(of_home, {7: [cause], 8: [small]}) == (7, 8)
    assert explained_by(of_home, {8: [small], 9: [old]}) == ()
    assert explained_by(of_home, {7: [finding(Kind.SPIKE, extra_mw=50_000)]}) == ()
    assert explained_by(finding(Kind.SILENT), {7: [finding(Kind.SILENT)]}) == (7,)


def test_a_home_in_which_nothing_is_switched_on_is_empty() -> None:
    before = [days_of(device, 30, seed) for device, seed in ((television, 1), (kettle, 1), (kettle, 2))]
    states = [fold(quarter_hours(days))[0] for days in before]
    cold, _ = fold(quarter_hours(days_of(refrigerator, 30)))
    assert not is_away([*states, cold])
    resting = [fold(quarter_hours([[0.0] * 1_440] * 2, 30), state)[0] for state in states]
    assert is_away([*resting, cold])


def test_a_budget_raises_the_limit_no_further_than_it_must() -> None:
    scores = [100, 150, 150, 300, 900, 1_000]
    assert fit_limit(scores, days=30, notices_a_month=10) == 100
    assert fit_limit(scores, days=30, notices_a_month=2) == 301
    assert fit_limit(scores, days=60, notices_a_month=2) == 151
    assert fit_limit(scores, days=3, notices_a_month=0) == 1_001
    for notices in range(7):
        limit = fit_limit(scores, days=30, notices_a_month=notices)
        assert sum(score >= limit for score in scores) <= notices


def test_a_home_without_single_powers_is_judged_by_its_means() -> None:
    days = days_of(television, 40)
    energy_only = [
        msgspec.structs.replace(quarter, highest_mw=None, lowest_mw=None) for quarter in quarter_hours(days[:35])
    ]
    _, findings = fold(energy_only, State(is_home=True))
    assert findings == []
    sudden = QuarterHour(START_MS + 35 * MS_PER_DAY, energy_mj=900_000 * 2_000, covered_ms=900_000)
    _, findings = fold([*energy_only, sudden], State(is_home=True))
    assert opened(findings) == [Kind.SPIKE]


def test_a_return_after_a_year_is_taken_up_at_once() -> None:
    state, _ = fold(quarter_hours(days_of(television, 20)))
    back = list(quarter_hours(days_of(television, 10, seed=2), first_day=400))
    state, findings = fold(back, state)
    assert [(one.kind, one.transition) for one in findings if one.transition != "updated"] == [
        (Kind.SILENT, "opened"),
        (Kind.SILENT, "ended"),
    ]
    assert len(encode(state)) <= MOST_BYTES
