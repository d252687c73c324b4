"""The golden home, whose truth is recomputed here from its profiles alone, and homes with nothing to be found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import fmean, median

import msgspec
from tests.support.homes import NOW, Home, Profile, device, facts_of, find_all, golden_home, table_of, user

from energy_tracker.contracts.usage import Bucket
from energy_tracker.services.insight.model.advice import Purpose
from energy_tracker.services.insight.model.facts import Fact, Finding, FindingKind, Role, Unit, make_fact
from energy_tracker.services.insight.model.hours import Hour, Series, build_home_table
from energy_tracker.services.insight.service.insights import window

DAYS = 35


def found(home: Home, days: int = DAYS) -> dict[tuple[FindingKind, int | None], Finding]:
    return {(finding.kind, finding.device_id): finding for finding in find_all(table_of(home, days))}


def values(finding: Finding) -> dict[Role, float]:
    return {role: fact.value for role, fact in finding.facts.items()}


def flat(kwh: float):
    return lambda _: kwh


def home_of(*profiles: Profile, types=(), zone="Europe/Berlin", **more: Profile) -> Home:
    devices = tuple(
        device(number, device_type=types[number - 1] if types else "MISC") for number in range(1, len(profiles) + 1)
    )
    return Home(user=user(zone), profiles=dict(enumerate(profiles, start=1)), devices=devices, **more)


class TestGoldenHome:
    home = golden_home()
    found = found(home)
    hours = home.hours(*window(NOW, DAYS, home.zone))
    today = NOW.astimezone(home.zone).date()

    def energy(self, *devices: int, hours=None) -> float:
        return sum(self.home.profiles[one](hour) for one in devices for hour in (hours or self.hours))

    def on_days(self, first_ago: int, last_ago: int):
        return [hour for hour in self.hours if last_ago <= (self.today - hour.date()).days <= first_ago]

    def test_the_window_is_five_weeks_and_today_and_an_hour_longer_where_the_clocks_changed(self):
        assert len(self.hours) == 35 * 24 + 1 + 11

    def test_energy_used(self):
        used = self.found[FindingKind.ENERGY_USED, None]
        assert values(used)[Role.ENERGY] == round(self.energy(1, 2, 3, 4), 1)

    def test_base_load(self):
        nights = {}
        for hour in self.hours:
            if hour.hour in {1, 2, 3, 4}:
                nights.setdefault(hour.date(), []).append(self.energy(1, 2, 3, 4, hours=[hour]) * 1000)
        watts = median(min(night) for night in nights.values())
        mean_w = 1000 * self.energy(1, 2, 3, 4) / len(self.hours)
        assert values(self.found[FindingKind.BASE_LOAD, None]) == {
            Role.POWER: round(watts),
            Role.YEARLY: round(watts * 8.76),
            Role.SHARE: round(100 * watts / mean_w),
        }

    def test_the_base_load_of_a_home_that_draws_a_constant_hundred_watts(self):
        steady = found(home_of(flat(0.1)))
        assert values(steady[FindingKind.BASE_LOAD, None]) == {Role.POWER: 100, Role.YEARLY: 876, Role.SHARE: 100}

    def test_large_devices_and_their_shares(self):
        whole = self.energy(1, 2, 3, 4)
        shares = {one: self.energy(one) / whole for one in (1, 2, 3)}
        large = {key[1]: values(item) for key, item in self.found.items() if key[0] is FindingKind.LARGE_DEVICE}
        assert large == {
            one: {Role.SHARE: round(100 * share), Role.YEARLY: round(self.energy(one) / len(self.hours) * 8760)}
            for one, share in shares.items()
        }

    def test_only_the_television_is_never_off(self):
        never_off = {key[1]: values(item) for key, item in self.found.items() if key[0] is FindingKind.NEVER_OFF}
        assert never_off == {2: {Role.POWER: 70, Role.YEARLY: 613}}

    def test_the_washing_machine_is_on_for_longer_than_usual(self):
        longer = {key[1]: values(item) for key, item in self.found.items() if key[0] is FindingKind.ON_FOR_LONGER}
        recent = self.energy(3, hours=self.on_days(7, 1)) / 7
        before = self.energy(3, hours=self.on_days(35, 8)) / 28
        assert longer == {3: {Role.RECENT: 2, Role.USUAL: 1, Role.YEARLY: round((recent - before) * 365)}}
        assert not any(kind is FindingKind.ON_MORE_OFTEN for kind, _ in self.found)

    def test_the_week_against_the_same_weekdays_before(self):
        recent = self.energy(1, 2, 3, 4, hours=self.on_days(7, 1))
        before = sum(
            fmean(
                self.energy(1, 2, 3, 4, hours=self.on_days(ago + 7 * weeks, ago + 7 * weeks)) for weeks in (1, 2, 3, 4)
            )
            for ago in range(1, 8)
        )
        assert values(self.found[FindingKind.WEEK_HIGHER, None]) == {
            Role.RECENT: round(recent, 1),
            Role.USUAL: round(before, 1),
            Role.CHANGE: round(100 * (recent - before) / before),
        }

    def test_peaks_that_could_move_into_the_sun(self):
        surplus = peaks = 0.0
        mean = self.energy(1, 2, 3, 4) / len(self.hours)
        for ago in range(1, 36):
            day = [(hour.hour, self.energy(1, 2, 3, 4, hours=[hour])) for hour in self.on_days(ago, ago)]
            left = sum(1.5 - kwh for hour, kwh in day if 11 <= hour < 14)
            surplus += left
            peaks += min(left, sum(kwh - mean for hour, kwh in day if hour in {19, 20} and kwh >= 0.5))
        assert values(self.found[FindingKind.SOLAR_SURPLUS, None]) == {
            Role.SURPLUS: round(surplus, 1),
            Role.PEAK_HOUR: 19,
            Role.SAVING: round(peaks / 35 * 365),
        }

    def test_the_refrigerator_works_harder(self):
        first = 1000 * self.energy(1, hours=self.on_days(35, 29)) / len(self.on_days(35, 29))
        last = 1000 * self.energy(1, hours=self.on_days(7, 1)) / len(self.on_days(7, 1))
        harder = {key[1]: item for key, item in self.found.items() if key[0] is FindingKind.COOLING_WORKS_HARDER}
        assert {one: values(item) for one, item in harder.items()} == {
            1: {
                Role.USUAL: round(first),
                Role.RECENT: round(last),
                Role.CHANGE: round(100 * (last / first - 1)),
                Role.YEARLY: round((last - first) * 8.76),
            }
        }

    def test_facts_name_the_days_that_they_are_about(self):
        week = self.found[FindingKind.WEEK_HIGHER, None].facts
        assert week[Role.RECENT].period == "2026-11-13/2026-11-20"
        assert week[Role.USUAL].period == "2026-10-16/2026-11-13"
        fridge = self.found[FindingKind.COOLING_WORKS_HARDER, 1].facts
        assert fridge[Role.USUAL].period == "2026-10-16/2026-10-23"
        assert fridge[Role.CHANGE].period == "2026-10-16/2026-11-20"
        used = self.found[FindingKind.ENERGY_USED, None].facts
        assert used[Role.ENERGY].period == "2026-10-16T00:00+02:00/2026-11-20T11:00+01:00"

    def test_nothing_else_is_found(self):
        assert {kind for kind, _ in self.found} == {
            FindingKind.ENERGY_USED,
            FindingKind.BASE_LOAD,
            FindingKind.LARGE_DEVICE,
            FindingKind.NEVER_OFF,
            FindingKind.ON_FOR_LONGER,
            FindingKind.WEEK_HIGHER,
            FindingKind.SOLAR_SURPLUS,
            FindingKind.COOLING_WORKS_HARDER,
        }

    def test_with_a_rated_power_the_duty_cycle_itself_is_told(self):
        rated = replace(self.home, devices=(replace_rated(self.home.devices[0], 90.0), *self.home.devices[1:]))
        first, last = (
            1000 * self.energy(1, hours=hours) / len(hours) / 90 for hours in (self.on_days(35, 29), self.on_days(7, 1))
        )
        told = found(rated)[FindingKind.COOLING_WORKS_HARDER, 1].facts
        assert (told[Role.USUAL].value, told[Role.USUAL].unit) == (round(100 * first), Unit.PERCENT)
        assert told[Role.RECENT].value == round(100 * last)


def replace_rated(entry, rated_power_w):
    return device(entry.id, device_type=entry.type, name=entry.name, rated_power_w=rated_power_w)


def test_absent_is_not_zero():
    """A device that is not measured at night is no device that is off, and a gap is no low hour."""

    def gappy(start: datetime) -> float | None:
        return None if start.hour in {2, 3} else 0.1

    steady = found(home_of(gappy))
    assert (FindingKind.BASE_LOAD, None) not in steady
    assert values(steady[FindingKind.NEVER_OFF, 1])[Role.POWER] == 100


def test_too_poor_a_coverage_withholds_advice_and_says_so():
    poor = found(home_of(flat(0.1), flat(0.2), coverage=lambda one, _: 0.5 if one == 1 else 1.0))
    assert values(poor[FindingKind.POORLY_MEASURED, 1]) == {Role.COVERAGE: 50}
    assert {kind for kind, one in poor if one == 1} == {FindingKind.POORLY_MEASURED}
    assert (FindingKind.NEVER_OFF, 2) in poor
    assert (FindingKind.BASE_LOAD, None) not in poor


def test_a_home_without_readings_has_one_finding_and_no_energy():
    empty = home_of(lambda _: None, lambda _: None)
    table = facts_of(empty, Purpose.SAVING_TIPS)
    assert [finding.kind for finding in table.findings] == [FindingKind.NOT_MEASURED]
    assert [fact.unit for fact in table.facts] == [Unit.DAYS]
    assert table_of(empty).total.energy_kwh is None


def test_a_home_without_devices_is_not_measured():
    assert [finding.kind for finding in find_all(table_of(home_of()))] == [FindingKind.NOT_MEASURED]


def test_sub_meters_are_not_counted_twice_and_their_meter_is_no_appliance():
    mains = replace(
        home_of(flat(0.5), flat(0.2), flat(0.1)),
        devices=(device(1), device(2, parent_id=1), device(3, parent_id=1)),
    )
    result = found(mains)
    shares = {one: values(item)[Role.SHARE] for (kind, one), item in result.items() if kind is FindingKind.LARGE_DEVICE}
    assert shares == {2: 40, 3: 20}
    assert values(result[FindingKind.BASE_LOAD, None])[Role.POWER] == 500
    assert (FindingKind.NEVER_OFF, 1) not in result


def test_energy_that_was_spread_over_longer_than_an_hour_makes_no_profile():
    spread = found(home_of(flat(0.1), estimated=flat(0.1)))
    assert set(spread) == {(FindingKind.ENERGY_USED, None)}


def test_what_follows_the_weather_is_not_compared_with_its_past():
    today = NOW.date()

    def heater(start: datetime) -> float:
        return 1.0 if start.hour < (12 if (today - start.date()).days <= 7 else 4) else 0.0

    assert (FindingKind.ON_FOR_LONGER, 1) in found(home_of(heater))
    assert (FindingKind.ON_FOR_LONGER, 1) not in found(home_of(heater, types=("HEATER",)))


def test_on_more_often_but_not_for_longer():
    today = NOW.date()

    def kettle(start: datetime) -> float:
        hours = {7, 10, 13, 16} if (today - start.date()).days <= 7 else {7, 8, 9, 10}
        return 0.8 if start.hour in hours else 0.0

    result = found(home_of(kettle))
    assert (FindingKind.ON_FOR_LONGER, 1) not in result
    assert {role: values(result[FindingKind.ON_MORE_OFTEN, 1])[role] for role in (Role.RECENT, Role.USUAL)} == {
        Role.RECENT: 4,
        Role.USUAL: 1,
    }


def test_a_week_that_was_lower_is_said_to_be():
    today = NOW.date()
    result = found(home_of(lambda start: 0.5 if (today - start.date()).days > 7 else 0.25))
    assert values(result[FindingKind.WEEK_LOWER, None])[Role.CHANGE] == 50
    assert result[FindingKind.WEEK_LOWER, None].stake_kwh_a_year == 0


def test_a_steady_refrigerator_and_a_noisy_one_are_left_in_peace():
    def noisy(start: datetime) -> float:
        return 0.04 + 0.02 * (start.toordinal() * 7919 % 5) / 5

    for profile in (flat(0.05), noisy):
        result = found(home_of(profile, types=("REFRIGERATOR",)))
        assert not any(kind is FindingKind.COOLING_WORKS_HARDER for kind, _ in result)


def test_three_days_are_enough_for_a_base_load_but_not_for_what_needs_weeks():
    kinds = {kind for kind, _ in found(golden_home(), days=3)}
    assert FindingKind.BASE_LOAD in kinds
    assert not kinds & {
        FindingKind.WEEK_HIGHER,
        FindingKind.ON_FOR_LONGER,
        FindingKind.NEVER_OFF,
        FindingKind.COOLING_WORKS_HARDER,
    }


def test_the_window_begins_at_a_local_midnight_also_where_hours_are_half():
    home = home_of(flat(0.1), zone="Asia/Kolkata")
    start, end = window(NOW, 7, home.zone)
    assert (start.hour, start.minute, end.minute) == (0, 0, 0)
    assert end <= NOW.astimezone(home.zone) < end + timedelta(hours=1)
    assert values(found(home, days=7)[FindingKind.BASE_LOAD, None])[Role.POWER] == 100


def test_a_fact_shows_the_value_it_holds():
    for value, unit, text in (
        (876.4, Unit.KILOWATT_HOURS_A_YEAR, "876 kWh a year"),
        (9.996, Unit.KILOWATT_HOURS, "10.0 kWh"),
        (1.234, Unit.KILOWATT_HOURS, "1.23 kWh"),
        (9.96, Unit.PERCENT, "10 %"),
        (18.0, Unit.CLOCK_HOUR, "18:00"),
        (2.04, Unit.HOURS_A_DAY, "2.0 h a day"),
    ):
        fact: Fact = make_fact(value, unit, label="x", period="x", how="x")
        assert fact.text == text
        assert float(text.split()[0].removesuffix(":00")) == fact.value


def test_the_window_is_whole_across_a_change_of_clocks():
    home = home_of(flat(0.1))
    now = datetime(2026, 10, 27, 9, 15, tzinfo=UTC)
    start, end = window(now, 3, home.zone)
    days = {
        day.date.isoformat(): len(day.hours)
        for day in build_home_table(home.series(start, end), (), home.zone, end=end).total.whole_days
    }
    assert days == {"2026-10-24": 24, "2026-10-25": 25, "2026-10-26": 24}


def test_instants_in_utc_and_with_an_offset_mean_the_same_hours():
    home = golden_home()
    start, end = window(NOW, DAYS, home.zone)
    answer = home.series(start, end)

    def in_utc(bucket: Bucket) -> Bucket:
        start, end = (datetime.fromisoformat(text).astimezone(UTC).isoformat() for text in (bucket.start, bucket.end))
        return msgspec.structs.replace(bucket, start=start.replace("+00:00", "Z"), end=end.replace("+00:00", "Z"))

    wire = msgspec.structs.replace(
        answer,
        from_=datetime.fromisoformat(answer.from_).astimezone(UTC).isoformat(),
        to=datetime.fromisoformat(answer.to).astimezone(UTC).isoformat(),
        total=tuple(map(in_utc, answer.total)),
        devices=tuple(msgspec.structs.replace(one, buckets=tuple(map(in_utc, one.buckets))) for one in answer.devices),
    )
    assert build_home_table(wire, home.devices, home.zone, end=end) == table_of(home)
    assert len({hour.start for hour in table_of(home).total.hours}) == len(answer.total)


def test_panels_are_not_called_poorly_measured():
    first = datetime(2026, 6, 1, tzinfo=UTC)
    hours = [first + timedelta(hours=number) for number in range(72)]
    panels = Series(tuple(Hour(start, None, 0.5, 1.0) for start in hours))
    assert panels.only_sends_out
    assert not Series(tuple(Hour(start, 0.1, 0.5, 1.0) for start in hours)).only_sends_out
    assert not Series(tuple(Hour(start, None, None, 0.0) for start in hours)).only_sends_out
