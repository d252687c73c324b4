"""High usage: the sum of the hour against a brute-force one, at every minute, however the steps come."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.energy import DAY, HOUR, KWH, MINUTE, QUARTER, T0_MS

from energy_tracker.services.usage.model.high_usage import Crossing, HomeHour
from energy_tracker.services.usage.model.readings import Stream
from energy_tracker.services.usage.model.steps import Mark, Step

A, B = Stream(1, "import", ""), Stream(2, "import", "")
Named = tuple[Stream, Step]


def step(start: int, end: int, energy_mj: int, mark: Mark = Mark.PLAIN) -> Step:
    return Step(T0_MS + start, T0_MS + end, energy_mj, T0_MS + start, mark)


def pass_over(hour: HomeHour, news: list[Named], threshold_mj: int, head: int | None = None) -> list[Crossing]:
    head_ms = max(one.end_ms for _, one in news) if head is None else T0_MS + head
    return hour.pass_over(news, tails=(), head_ms=head_ms, threshold_mj=threshold_mj)


def brute_force(steps: list[Step], ends: list[int], threshold_mj: int) -> list[Crossing]:
    """Judge every full minute, and the end of every batch, by all that there was to know when it was passed."""
    crossings: list[Crossing] = []
    above, first = False, steps[0].start_ms
    minutes = range(first - first % MINUTE + (MINUTE if first % MINUTE else 0), ends[-1], MINUTE)
    for at_ms in sorted({*(minute for minute in minutes if minute >= first), *ends}):
        energy_mj = sum(one.energy_within(at_ms - HOUR, at_ms) for one in steps)
        last = [one for one in steps if one.end_ms <= at_ms]
        running = any(one.start_ms < at_ms < one.end_ms for one in steps)
        due = 0
        if last and not running:
            length, since = last[-1].end_ms - last[-1].start_ms, at_ms - last[-1].end_ms
            if 0 < since <= 2 * length and last[-1].end_ms > at_ms - HOUR:
                due = last[-1].energy_mj * min(since, HOUR) // length
        if not above and energy_mj > threshold_mj:
            above = True
            crossings.append(Crossing(at_ms, above=True, energy_mj=energy_mj))
        elif above and energy_mj < 0.95 * threshold_mj and energy_mj + due < 0.95 * threshold_mj:
            above = False
            crossings.append(Crossing(at_ms, above=False, energy_mj=energy_mj))
    return [
        told_at_its_batch(crossing, crossings[number + 1 :], steps, ends) for number, crossing in enumerate(crossings)
    ]


def told_at_its_batch(crossing: Crossing, later: list[Crossing], steps: list[Step], ends: list[int]) -> Crossing:
    """Let an opening tell the sum at the end of the batch that it was found in, if the episode lasted until then."""
    found_ms = min(end for end in ends if end >= crossing.at_ms)
    if not crossing.above or found_ms - crossing.at_ms > HOUR or (later and later[0].at_ms <= found_ms):
        return crossing
    energy_mj = sum(one.energy_within(found_ms - HOUR, found_ms) for one in steps)
    return Crossing(crossing.at_ms, above=True, energy_mj=max(energy_mj, crossing.energy_mj))


@st.composite
def steps_in_order(draw: st.DrawFn) -> list[Step]:
    steps, at = [], draw(st.integers(0, 10 * MINUTE))
    for _ in range(draw(st.integers(1, 12))):
        length = draw(st.sampled_from([1, 7_001, MINUTE, 10 * MINUTE, 59 * MINUTE, 2 * HOUR]))
        steps.append(step(at, at + length, length * draw(st.integers(0, 3 * KWH // length))))  # cut without rounding
        at += length + draw(st.sampled_from([0, 0, 0, 30_000, 25 * MINUTE, 3 * HOUR]))
    return steps


@settings(max_examples=200, deadline=None)
@given(steps_in_order(), st.integers(1, 4 * KWH), st.data())
def test_the_hour_is_judged_as_by_brute_force(steps: list[Step], threshold_mj: int, data: st.DataObject) -> None:
    hour = HomeHour()
    crossings: list[Crossing] = []
    ends, rest = [], steps
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        part, rest = rest[:size], rest[size:]
        crossings += pass_over(hour, [(A, one) for one in part], threshold_mj)
        ends.append(part[-1].end_ms)
    assert crossings == brute_force(steps, ends, threshold_mj)


@settings(max_examples=100, deadline=None)
@given(st.lists(steps_in_order(), min_size=2, max_size=2), st.data())
def test_late_steps_leave_the_sum_of_the_hour_right(both: list[list[Step]], data: st.DataObject) -> None:
    everything = [(stream, one) for stream, steps in zip((A, B), both, strict=True) for one in steps]
    head_ms = max(one.end_ms for _, one in everything)
    hour = HomeHour(head_ms=head_ms)
    wrong = data.draw(st.lists(st.sampled_from(everything), max_size=4))
    for stream, one in data.draw(st.permutations(everything)):
        hour.replace(stream, settled=[one], taken_back=())
    for stream, one in wrong:
        hour.replace(stream, settled=[one], taken_back=())
        hour.replace(stream, settled=(), taken_back=[one])
    assert hour.energy_mj(head_ms) == sum(one.energy_within(head_ms - HOUR, head_ms) for _, one in everything)


def test_a_steady_use_of_quarter_hours_is_one_episode() -> None:
    hour = HomeHour()
    crossings = []
    for number in range(40):
        crossings += pass_over(hour, [(A, step(number * QUARTER, (number + 1) * QUARTER, KWH))], 3 * KWH + 1)
    assert [crossing.above for crossing in crossings] == [True]
    assert crossings[0].at_ms == T0_MS + 46 * MINUTE


def test_a_device_that_is_due_does_not_end_an_episode_by_another_that_reports_often() -> None:
    hour = HomeHour()
    crossings = []
    for minute in range(1, 300):
        news = [(B, step((minute - 1) * MINUTE, minute * MINUTE, KWH // 1_000))]
        if minute % 15 == 0:
            news.append((A, step((minute - 15) * MINUTE, minute * MINUTE, KWH)))
        crossings += pass_over(hour, news, 4 * KWH)
    assert [crossing.above for crossing in crossings] == [True]


def test_a_device_that_stays_away_ends_it_all_the_same() -> None:
    hour = HomeHour()
    pass_over(hour, [(A, step(0, HOUR, 4 * KWH))], 3 * KWH)
    crossings = []
    for minute in range(61, 200):
        crossings += pass_over(hour, [(B, step((minute - 1) * MINUTE, minute * MINUTE, 0))], 3 * KWH)
    assert [crossing.above for crossing in crossings] == [False]
    assert T0_MS + HOUR < crossings[0].at_ms <= T0_MS + 2 * HOUR


def test_exactly_the_threshold_is_not_above_it() -> None:
    assert pass_over(HomeHour(), [(A, step(0, HOUR, 2 * KWH))], 2 * KWH) == []
    opened = pass_over(HomeHour(), [(A, step(0, HOUR, 2 * KWH + 1))], 2 * KWH)
    assert opened == [Crossing(T0_MS + HOUR, above=True, energy_mj=2 * KWH + 1)]


def test_exactly_95_percent_does_not_end_it() -> None:
    hour = HomeHour()
    assert len(pass_over(hour, [(A, step(0, HOUR, 2 * KWH))], KWH)) == 1
    assert pass_over(hour, [(A, step(HOUR, 2 * HOUR, 95 * KWH // 100))], KWH) == []
    ended = pass_over(hour, [(A, step(2 * HOUR, 2 * HOUR + MINUTE, 0))], KWH)
    assert [crossing.above for crossing in ended] == [False]


def test_energy_that_lies_ahead_of_the_hour_is_not_in_it() -> None:
    """An interval that ends long after the newest time that is believed counts with its part."""
    hour = HomeHour()
    assert pass_over(hour, [(A, step(0, 1_000 * HOUR, 1_000 * KWH))], 2 * KWH, head=HOUR) == []
    assert hour.energy_mj(T0_MS + HOUR) == KWH


def test_a_first_interval_counts_in_one_piece_at_its_quarter_hour() -> None:
    hour = HomeHour()
    opened = pass_over(hour, [(A, step(0, QUARTER, 2 * KWH, Mark.FIRST))], KWH)
    assert [(crossing.above, crossing.energy_mj) for crossing in opened] == [(True, 2 * KWH)]
    assert hour.energy_mj(T0_MS + HOUR - 1) == 2 * KWH
    assert hour.energy_mj(T0_MS + HOUR) == 0


def test_a_held_power_counts_as_time_passes() -> None:
    hour = HomeHour()
    tail = (step(0, HOUR, 6 * KWH, Mark.HOLD),)
    hour.pass_over([], tails=[(A, tail)], head_ms=T0_MS, threshold_mj=2 * KWH)
    crossings = hour.pass_over(
        [(B, step(29 * MINUTE, 30 * MINUTE, 0))], tails=(), head_ms=T0_MS + 30 * MINUTE, threshold_mj=2 * KWH
    )
    assert crossings == [Crossing(T0_MS + 21 * MINUTE, above=True, energy_mj=3 * KWH)]


def test_readings_that_grow_old_end_an_episode() -> None:
    hour = HomeHour()
    pass_over(hour, [(A, step(0, HOUR, 4 * KWH))], 3 * KWH)
    assert hour.grow_older(T0_MS + 2 * HOUR, 3 * KWH) == []
    ended = hour.grow_older(T0_MS + 2 * HOUR + 1, 3 * KWH)
    assert [(crossing.at_ms, crossing.above) for crossing in ended] == [(T0_MS + 2 * HOUR, False)]
    assert hour.grow_older(T0_MS + DAY, 3 * KWH) == []


def test_without_a_threshold_nothing_opens_and_what_is_open_ends() -> None:
    hour = HomeHour(above=True)
    ended = hour.pass_over([(A, step(0, HOUR, KWH))], tails=(), head_ms=T0_MS + HOUR, threshold_mj=None)
    assert [crossing.above for crossing in ended] == [False]
