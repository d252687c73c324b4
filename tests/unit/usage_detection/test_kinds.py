"""Each kind is found and named on a plain device, and a device that behaves is left alone."""

from collections.abc import Callable
from random import Random

import pytest
from tests.support.detection import (
    FIRST_DAY,
    Device,
    Minutes,
    days_of,
    fold,
    kettle,
    opened,
    quarter_hours,
    refrigerator,
    router,
    television,
)

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR
from energy_tracker.services.usage.model.detection.findings import Kind
from energy_tracker.services.usage.model.detection.state import State

EVENT_DAY = 30
EVENT_MS = (FIRST_DAY + EVENT_DAY) * MS_PER_DAY
Change = Callable[[list[Minutes]], None]


def everywhere(of: Callable[[float], float | None], *, from_minute: int = 0, to_minute: int = 1_440) -> Change:
    def change(days: list[Minutes]) -> None:
        for day in days:
            for minute in range(from_minute, to_minute):
                power = day[minute]
                day[minute] = None if power is None else of(power)

    return change


def moved(days: list[Minutes]) -> None:
    for index, day in enumerate(days):
        days[index] = day[-480:] + day[:-480]


def never_off(days: list[Minutes]) -> None:
    for index, day in enumerate(days):
        days[index] = [
            None if power is None else max(power, (90.0 if minute // 45 % 2 else 40.0) + minute % 7)
            for minute, power in enumerate(day)
        ]


CASES = [
    (television, Kind.STUCK_ON, 2, everywhere(lambda _: 100.0)),
    (refrigerator, Kind.STUCK_ON, 1, everywhere(lambda power: max(power, 80.0 + power / 100))),
    (television, Kind.NEVER_OFF, 3, never_off),
    (television, Kind.STANDBY_UP, 3, everywhere(lambda power: power + 5)),
    (refrigerator, Kind.STANDBY_UP, 3, everywhere(lambda power: power + 6)),
    (television, Kind.DRAWS_MORE, 5, everywhere(lambda power: power * 1.3)),
    (kettle, Kind.DRAWS_MORE, 5, everywhere(lambda power: power * 1.3)),
    (router, Kind.DRAWS_MORE, 5, everywhere(lambda power: power * 1.3)),
    (television, Kind.SILENT, 1, everywhere(lambda _: None, from_minute=600)),
    (router, Kind.FROZEN, 1, everywhere(lambda _: 9.0)),
    (kettle, Kind.SPIKE, 1, everywhere(lambda _: 6_000.0, from_minute=700, to_minute=701)),
    (television, Kind.REGISTER_BACK, 1, everywhere(lambda _: -90_000.0, from_minute=700, to_minute=701)),
    (television, Kind.NIGHT_UP, 5, everywhere(lambda power: power + 8, to_minute=300)),
    (refrigerator, Kind.NIGHT_UP, 5, everywhere(lambda power: power + 8, to_minute=300)),
    (television, Kind.SCHEDULE_SHIFTED, 5, moved),
    (kettle, Kind.SCHEDULE_SHIFTED, 5, moved),
    (refrigerator, Kind.DEAD, 3, everywhere(lambda _: 0.0)),
    (router, Kind.DEAD, 3, everywhere(lambda _: 0.0)),
    (router, Kind.UNUSUAL_DAY, 5, everywhere(lambda power: power * 0.6)),
    (kettle, Kind.UNUSUAL_DAY, 5, everywhere(lambda power: power * 0.6)),
    (kettle, Kind.DEAD, 4, everywhere(lambda _: 0.0)),
]


@pytest.mark.parametrize(
    ("device", "kind", "days", "change"), CASES, ids=[f"{case[0].__name__} {case[1]}" for case in CASES]
)
def test_a_kind_is_found_and_named(device: Device, kind: Kind, days: int, change: Change) -> None:
    history = days_of(device, EVENT_DAY + days + 1)
    event = history[EVENT_DAY : EVENT_DAY + days]
    change(event)
    history[EVENT_DAY : EVENT_DAY + days] = event
    _, findings = fold(quarter_hours(history))
    assert opened(findings)[:1] == [kind], [(one.transition, one.kind, one.decided_ms - EVENT_MS) for one in findings]
    first = findings[0]
    assert first.decided_ms > EVENT_MS
    assert first.since_ms >= EVENT_MS - 6 * MS_PER_HOUR
    assert first.comparison.from_ms <= first.comparison.to_ms <= first.decided_ms


def test_cycling_too_often_is_found() -> None:
    def short_cycles(_day: int, random: Random) -> Minutes:
        power_w: Minutes = []
        while len(power_w) < 1_440:
            power_w += [random.uniform(76, 84) for _ in range(38)]
            power_w += [random.uniform(0.4, 0.6) for _ in range(22)]
        return power_w[:1_440]

    _, findings = fold(quarter_hours(days_of(refrigerator, 30) + days_of(short_cycles, 5)))
    assert opened(findings) == [Kind.CYCLING]


@pytest.mark.parametrize("device", [television, refrigerator, router, kettle])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_device_that_behaves_is_left_alone(device: Device, seed: int) -> None:
    _, findings = fold(quarter_hours(days_of(device, 60, seed)))
    assert findings == []


@pytest.mark.parametrize("device", [television, kettle])
def test_a_holiday_is_no_defect(device: Device) -> None:
    def at_rest(_day: int, random: Random) -> Minutes:
        return [random.uniform(1.9, 2.1) if device is television else 0.0 for _ in range(1_440)]

    before, away, after = days_of(device, 35), days_of(at_rest, 10), days_of(device, 15, seed=2)
    state, findings = fold(quarter_hours(before))
    state, found = fold(quarter_hours(away, 35), state, away=True)
    findings += found
    _, found = fold(quarter_hours(after, 45), state)
    assert findings + found == []


def test_a_holiday_of_a_home_is_no_defect() -> None:
    before, after = days_of(refrigerator, 35), days_of(refrigerator, 15, seed=2)
    for part in (before, after):
        for index, (one, other) in enumerate(zip(days_of(television, len(part)), part, strict=True)):
            part[index] = [a + b for a, b in zip(one, other, strict=True)]
    away = days_of(refrigerator, 10, seed=3)
    quarters = list(quarter_hours(before + away + after))
    _, findings = fold(quarters, State(is_home=True))
    assert findings == []


def test_guests_for_an_evening_are_no_alarm() -> None:
    history = days_of(television, 45)
    history[38][840:1_435] = [100.0 + minute % 7 for minute in range(595)]
    _, findings = fold(quarter_hours(history))
    assert set(opened(findings)) <= {Kind.STUCK_ON}


def test_a_new_device_settles_in() -> None:
    history = days_of(television, 40)
    history[:4] = [[0.0] * 1_440] * 4
    history[4:8] = [[None if power is None else power * 0.8 for power in day] for day in history[4:8]]
    _, findings = fold(quarter_hours(history))
    assert findings == []


def test_nothing_but_a_register_is_told_in_the_first_three_days() -> None:
    history = days_of(television, 3)
    history[2] = [400.0] * 1_440
    history[2][700] = -90_000.0
    _, findings = fold(quarter_hours(history))
    assert opened(findings) == [Kind.REGISTER_BACK]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (everywhere(lambda _: None, from_minute=600, to_minute=1_000), Kind.SILENT),
        (everywhere(lambda _: 6_000.0, from_minute=700, to_minute=701), Kind.SPIKE),
        (everywhere(lambda _: -90_000.0, from_minute=700, to_minute=701), Kind.REGISTER_BACK),
        (everywhere(lambda _: 9.0, from_minute=300, to_minute=1_000), Kind.FROZEN),
    ],
)
def test_acute_kinds_are_told_within_the_hour_and_end(change: Change, kind: Kind) -> None:
    history = days_of(router, EVENT_DAY + 3)
    event = history[EVENT_DAY : EVENT_DAY + 1]
    change(event)
    quiet = next(
        minute for minute, (a, b) in enumerate(zip(days_of(router, 33)[EVENT_DAY], event[0], strict=True)) if a != b
    )
    history[EVENT_DAY] = event[0]
    _, findings = fold(quarter_hours(history))
    assert [(one.kind, one.transition) for one in findings if one.transition != "updated"] == [
        (kind, "opened"),
        (kind, "ended"),
    ]
    assert findings[0].decided_ms - (EVENT_MS + quiet * 60_000) <= MS_PER_HOUR


def test_another_cause_on_the_same_day_is_another_finding() -> None:
    history = days_of(router, EVENT_DAY + 3)
    history[EVENT_DAY][120:360] = [9.0] * 240
    history[EVENT_DAY][900:1_300] = [0.0] * 400
    _, findings = fold(quarter_hours(history))
    assert opened(findings) == [Kind.FROZEN, Kind.DEAD]


def test_one_cause_is_one_finding_however_long_it_lasts() -> None:
    history = days_of(refrigerator, EVENT_DAY + 7)
    for day in history[EVENT_DAY : EVENT_DAY + 4]:
        day[:] = [76.0 + minute % 7 for minute in range(1_440)]
    _, findings = fold(quarter_hours(history))
    assert opened(findings) == [Kind.STUCK_ON]
    assert [one.transition for one in findings].count("ended") == 1
