"""What the outdoor temperature explains is not told; what goes beyond it is."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

import msgspec
import pytest
from tests.support.detection import FIRST_DAY, UTC_ZONE, Minutes, quarter_hours

from energy_tracker.kit.instants import MS_PER_DAY
from energy_tracker.services.usage.model.detection.findings import Candidate, Comparison, Kind, Measure
from energy_tracker.services.usage.model.detection.household import HOME, Found, HomeRules, Household, judge_quarter
from energy_tracker.services.usage.model.detection.state import Day
from energy_tracker.services.usage.model.detection.weather import Weather

EPOCH = 719_163
"""1970-01-01, as the ordinal number of a day."""
FIRST = FIRST_DAY + EPOCH
MILD = [60, 80, 100, 70, 90, 110, 50, 75, 95, 65, 85, 105, 55, 100, 60, 80]
"""Tenths of a degree."""
HEATER = 1


def needed_mw(tenths: int) -> int:
    """What a house needs: 100 W for each degree below eighteen."""
    return max(0, 180 - tenths) * 10_000


def day(number: int, energy_mw: int) -> Day:
    nothing = (0,) * 24
    return Day(FIRST + number, 96, nothing, *([0] * 8), energy_mw, *([0] * 5), (0, 0), (), ())


def days(energies: Sequence[int]) -> list[Day]:
    return [day(number, energy_mw) for number, energy_mw in enumerate(energies)]


def outdoor(*tenths: int) -> dict[int, int]:
    return {FIRST + number: degrees for number, degrees in enumerate(tenths)}


def found(
    extra_mw: int, *, kind: Kind = Kind.DRAWS_MORE, day: int = len(MILD), measure: Measure = Measure.ENERGY
) -> Candidate:
    since_ms = (FIRST_DAY + day) * MS_PER_DAY
    compared = Comparison(measure, since_ms, since_ms + MS_PER_DAY, extra_mw, 0, 0, 0)
    return Candidate(kind, 200, since_ms, extra_mw, compared)


def is_explained(
    candidate: Candidate, history: Sequence[Day], known: Mapping[int, int], *, is_tempered: bool = False
) -> bool:
    weather = Weather(known, UTC_ZONE, is_tempered)
    return weather.explains(candidate, history, candidate.since_ms + MS_PER_DAY)


HEATED = days([needed_mw(tenths) for tenths in MILD])
USUAL_MW = needed_mw(80)


def test_what_a_colder_day_takes_is_explained() -> None:
    assert is_explained(found(needed_mw(-20) - USUAL_MW), HEATED, outdoor(*MILD, -20))


def test_what_a_warmer_day_saves_is_explained() -> None:
    assert is_explained(found(needed_mw(140) - USUAL_MW, kind=Kind.UNUSUAL_DAY), HEATED, outdoor(*MILD, 140))


@pytest.mark.parametrize("tenths", [80, 90, 61])
def test_what_comes_without_cold_is_not(tenths: int) -> None:
    assert not is_explained(found(needed_mw(-20) - USUAL_MW), HEATED, outdoor(*MILD, tenths))


def test_what_goes_far_beyond_the_cold_is_not() -> None:
    assert not is_explained(found(3 * (needed_mw(-20) - USUAL_MW)), HEATED, outdoor(*MILD, -20))


def test_what_is_far_less_than_the_cold_brings_is_something_else() -> None:
    assert not is_explained(found(30_000, kind=Kind.STANDBY_UP), HEATED, outdoor(*MILD, -20))


def test_a_rise_is_not_explained_by_less_energy() -> None:
    standby = found(50_000, kind=Kind.STANDBY_UP, measure=Measure.FLOOR)
    standby = msgspec.structs.replace(standby, extra_mw=-50_000)
    assert not is_explained(standby, HEATED, outdoor(*MILD, 140))


def test_a_device_that_does_not_follow_the_weather_is_not_excused_by_it() -> None:
    chance = Random(1)
    history = days([500_000 + chance.randint(-100_000, 100_000) for _ in MILD])
    assert not is_explained(found(300_000), history, outdoor(*MILD, -20))


@pytest.mark.parametrize("kind", [Kind.SILENT, Kind.FROZEN, Kind.SPIKE, Kind.REGISTER_BACK, Kind.DEAD])
def test_the_weather_explains_no_fault_of_the_measurement(kind: Kind) -> None:
    assert not is_explained(found(needed_mw(-20) - USUAL_MW, kind=kind), HEATED, outdoor(*MILD, -20))


def test_a_day_that_is_not_known_yet_is_as_the_one_before() -> None:
    history = days([needed_mw(tenths) for tenths in (*MILD, -20)])
    assert is_explained(found(needed_mw(-20) - USUAL_MW, day=len(MILD) + 1), history, outdoor(*MILD, -20))


def test_without_the_temperature_of_ten_days_before_nothing_is_explained() -> None:
    finding = found(needed_mw(-20) - USUAL_MW)
    assert not is_explained(finding, HEATED, outdoor(*MILD))
    assert not is_explained(finding, HEATED, {})
    assert not is_explained(finding, HEATED[7:], outdoor(*MILD, -20))


WARM = [170, 190, 180, 200, 175, 185, 195, 180, 190, 200, 178, 188]
NEEDS_NOTHING = days([0] * len(WARM))


def test_the_first_cold_days_are_when_heating_begins() -> None:
    finding = found(800_000, kind=Kind.NEVER_OFF, day=len(WARM))
    known = outdoor(*WARM, 90)
    assert is_explained(finding, NEEDS_NOTHING, known, is_tempered=True)
    assert not is_explained(finding, NEEDS_NOTHING, known), "of a device that is not there for heating"
    too_much = found(50_000_000, kind=Kind.STUCK_ON, day=len(WARM))
    assert not is_explained(too_much, NEEDS_NOTHING, known, is_tempered=True), "no house takes that"
    not_cold = outdoor(*WARM, 160)
    assert not is_explained(finding, NEEDS_NOTHING, not_cold, is_tempered=True)


def test_the_first_hot_days_are_when_cooling_begins() -> None:
    finding = found(800_000, day=len(WARM))
    assert is_explained(finding, NEEDS_NOTHING, outdoor(*WARM, 310), is_tempered=True)
    assert not is_explained(finding, NEEDS_NOTHING, outdoor(*WARM, 215), is_tempered=True)


def heated(tenths: Sequence[int], *, factor: float = 1.0, from_day: int = 0) -> list[Minutes]:
    """A heater of 4 kW that runs for the share of each hour that the house needs."""
    chance = Random(3)
    made: list[Minutes] = []
    for number, degrees in enumerate(tenths):
        share = needed_mw(degrees) / 4_000_000 * (factor if number >= from_day else 1.0)
        on = [60 * share * chance.uniform(0.9, 1.1) for _ in range(24)]
        made.append([4_000.0 if minute % 60 < on[minute // 60] else 5.0 for minute in range(1_440)])
    return made


def judged(made: list[Minutes], known: Mapping[int, int]) -> Iterator[Found]:
    """Yield what is found of a heater and its home."""
    household = Household(FIRST_DAY * MS_PER_DAY)
    rules = HomeRules(UTC_ZONE, (HEATER,), tempered=(HEATER,), outdoor=known)
    for quarter in quarter_hours(made):
        household, news = judge_quarter(household, {HEATER: quarter}, rules)
        yield from news


def told(made: list[Minutes], known: Mapping[int, int]) -> list[tuple[int, Kind]]:
    """Return what opens of a heater and its home, from the thirtieth day on."""
    return [
        (each.device_id, each.finding.kind)
        for each in judged(made, known)
        if each.finding.transition == "opened" and each.finding.decided_ms >= (FIRST_DAY + 30) * MS_PER_DAY
    ]


COLD_SPELL = [*(MILD * 2)[:30], *[-30, -40, -25, -35, -30, -45, -20, -30]]


def test_a_cold_spell_is_no_news_where_it_is_known() -> None:
    made = heated(COLD_SPELL)
    assert told(made, {}), "it is news where nobody knows of the cold"
    assert told(made, outdoor(*COLD_SPELL)) == []


def on_all_day(made: list[Minutes], from_day: int) -> list[Minutes]:
    return [
        [4_000.0 + minute % 7 for minute in range(1_440)] if number >= from_day else each
        for number, each in enumerate(made)
    ]


@pytest.mark.parametrize("spell", [COLD_SPELL, [*COLD_SPELL[:34], *MILD[:8]]])
def test_what_goes_beyond_a_cold_spell_is_told_within_it_and_after_it(spell: list[int]) -> None:
    found = told(on_all_day(heated(spell), 33), outdoor(*spell))
    assert HEATER in {device_id for device_id, _ in found}


def test_what_is_wrong_already_is_not_ended_by_the_cold() -> None:
    spell = [*(MILD * 3)[:36], *COLD_SPELL[30:], *COLD_SPELL[30:]]
    made = [
        [(power or 0.0) + (300.0 if number >= 32 else 0.0) for power in day] for number, day in enumerate(heated(spell))
    ]
    assert _transitions(made, outdoor(*spell)) == _transitions(made, {}) != []


def _transitions(made: list[Minutes], known: Mapping[int, int]) -> list[tuple[int, str]]:
    return [
        ((each.finding.decided_ms // MS_PER_DAY) - FIRST_DAY, each.finding.transition)
        for each in judged(made, known)
        if each.device_id == HEATER
    ]


def test_a_heater_that_dies_in_a_cold_spell_is_told() -> None:
    made = heated(COLD_SPELL)
    made[33:] = [[0.0] * 1_440 for _ in made[33:]]
    assert (HEATER, Kind.DEAD) in told(made, outdoor(*COLD_SPELL))


def test_a_heater_that_takes_more_without_cold_is_told() -> None:
    mild = (MILD * 3)[: len(COLD_SPELL)]
    found = told(heated(mild, factor=1.8, from_day=31), outdoor(*mild))
    assert {device_id for device_id, _ in found} & {HEATER, HOME}
