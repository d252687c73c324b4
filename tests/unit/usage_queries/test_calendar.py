"""Where a calendar is cut: 23- and 25-hour days, half hours, skipped dates."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_QUARTER_HOUR, from_ms, to_ms
from energy_tracker.services.usage.model.calendar import (
    EARLIEST_MS,
    LATEST_MS,
    SHORTEST_MS,
    cut,
    quarter_hour_end,
    same_time_days_before,
    start_of_date,
)

ZONES = [
    "UTC",
    "Africa/Casablanca",
    "America/Havana",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
]

zones = st.sampled_from(ZONES).map(ZoneInfo)
quarters = st.integers(
    EARLIEST_MS // MS_PER_QUARTER_HOUR, to_ms(datetime(2040, 1, 1, tzinfo=UTC)) // MS_PER_QUARTER_HOUR
)


def ranges(longest_ms):
    return st.tuples(quarters, st.integers(1, longest_ms // MS_PER_QUARTER_HOUR)).map(
        lambda drawn: (drawn[0] * MS_PER_QUARTER_HOUR, (drawn[0] + drawn[1]) * MS_PER_QUARTER_HOUR)
    )


def at(text, zone="UTC"):
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def lengths_h(zone, resolution, start, end):
    boundaries = cut(ZoneInfo(zone), resolution, at(start, zone), at(end, zone))
    return [(after - before) / MS_PER_HOUR for before, after in pairwise(boundaries)]


@given(zones, ranges(200 * MS_PER_DAY), st.sampled_from(["day", "week", "month"]))
def test_buckets_of_dates_tile_the_range_and_hold_one_date_range_each(zone, span, resolution):
    boundaries = cut(zone, resolution, *span)
    assert (boundaries[0], boundaries[-1]) == span
    assert all(boundary % MS_PER_QUARTER_HOUR == 0 for boundary in boundaries)
    unit = {
        "day": lambda day: day,
        "week": lambda day: day - timedelta(days=day.weekday()),
        "month": lambda day: day.replace(day=1),
    }[resolution]
    seen = []
    for start, end in pairwise(boundaries):
        assert start < end
        first, last = (from_ms(instant).astimezone(zone).date() for instant in (start, end - 1))
        assert unit(first) == unit(last)
        seen.append(unit(first))
    assert seen == sorted(set(seen))


@given(zones, ranges(100 * MS_PER_DAY))
def test_hours_tile_the_range_and_begin_at_full_hours_of_the_local_clock(zone, span):
    boundaries = cut(zone, "hour", *span)
    assert (boundaries[0], boundaries[-1]) == span
    for start, end in pairwise(boundaries):
        assert 0 < end - start <= MS_PER_HOUR
        assert start % MS_PER_QUARTER_HOUR == 0
    for boundary in boundaries[1:-1]:
        local = from_ms(boundary).astimezone(zone)
        changed = local.utcoffset() != from_ms(boundary - 1).astimezone(zone).utcoffset()
        assert local.minute == 0 or changed


@given(zones, ranges(60 * MS_PER_DAY))
def test_every_day_begins_where_an_hour_begins(zone, span):
    assert set(cut(zone, "day", *span)) <= set(cut(zone, "hour", *span))
    assert set(cut(zone, "week", *span)) <= set(cut(zone, "day", *span))
    assert set(cut(zone, "month", *span)) <= set(cut(zone, "day", *span))


@given(zones, ranges(4000 * MS_PER_DAY), st.sampled_from(["day", "week", "month"]))
def test_there_are_no_more_buckets_than_the_limit_reckons_with(zone, span, resolution):
    buckets = len(cut(zone, resolution, *span)) - 1
    assert buckets <= (span[1] - span[0]) // SHORTEST_MS[resolution] + 4


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Australia/Sydney", "2025-10-05", 23),
        ("Australia/Sydney", "2026-04-05", 25),
        ("Australia/Lord_Howe", "2025-10-05", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Asia/Kolkata", "2026-03-29", 24),
        ("Asia/Kathmandu", "2026-03-29", 24),
        ("America/St_Johns", "2026-03-08", 23),
        ("America/St_Johns", "2026-11-01", 25),
        ("America/Havana", "2026-03-08", 23),  # its clocks skip midnight itself
        ("America/Havana", "2026-11-01", 25),  # and show it twice
        ("America/Santiago", "2026-04-04", 25),  # 24:00 becomes 23:00
        ("America/Santiago", "2026-09-06", 23),
        ("Antarctica/Troll", "2026-03-29", 22),
        ("Asia/Pyongyang", "2015-08-14", 24.5),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(zone, day, hours):
    first = date.fromisoformat(day)
    start, end = start_of_date(ZoneInfo(zone), first), start_of_date(ZoneInfo(zone), first + timedelta(days=1))
    assert (end - start) / MS_PER_HOUR == hours
    assert cut(ZoneInfo(zone), "day", start, end) == [start, end]


def test_apia_had_no_30_december_2011():
    zone = ZoneInfo("Pacific/Apia")
    boundaries = cut(zone, "day", at("2011-12-29T00:00", "Pacific/Apia"), at("2012-01-01T00:00", "Pacific/Apia"))
    assert [from_ms(start).astimezone(zone).date().isoformat() for start in boundaries] == [
        "2011-12-29",
        "2011-12-31",
        "2012-01-01",
    ]


def test_hours_in_half_hour_zones_begin_at_half_past_in_utc():
    boundaries = cut(ZoneInfo("Asia/Kolkata"), "hour", at("2026-01-01T00:00"), at("2026-01-01T03:00"))
    assert [from_ms(boundary).strftime("%H:%M") for boundary in boundaries] == [
        "00:00",
        "00:30",
        "01:30",
        "02:30",
        "03:00",
    ]


def test_a_change_of_half_an_hour_ends_an_hour_early():
    lord_howe = "Australia/Lord_Howe"
    assert lengths_h(lord_howe, "hour", "2026-04-05T00:00", "2026-04-05T04:00") == [1, 1, 0.5, 1, 1]
    assert lengths_h(lord_howe, "hour", "2025-10-05T00:00", "2025-10-05T04:00") == [1, 1, 0.5, 1]


def test_weeks_begin_on_monday_and_ends_are_clipped():
    assert lengths_h("Europe/Berlin", "week", "2026-03-25T12:00", "2026-04-07T06:00") == [4.5 * 24 - 1, 7 * 24, 30]


def test_a_month_is_cut_at_its_local_first():
    assert lengths_h("Europe/Berlin", "month", "2025-12-15T00:00", "2026-04-01T00:00") == [
        17 * 24,
        31 * 24,
        28 * 24,
        31 * 24 - 1,
    ]


@pytest.mark.parametrize(("zone", "hours"), [("Europe/Berlin", 71), ("UTC", 72), ("Australia/Sydney", 72)])
def test_three_days_before_the_clock_showed_the_same(zone, hours):
    now = at("2026-03-30T18:40")
    assert now - same_time_days_before(ZoneInfo(zone), now, 3) == hours * MS_PER_HOUR


def test_the_end_of_a_quarter_hour_is_at_or_after_an_instant():
    quarter = at("2026-03-30T18:45")
    assert quarter_hour_end(quarter) == quarter
    assert quarter_hour_end(quarter - 1) == quarter
    assert quarter_hour_end(quarter + 1) == quarter + MS_PER_QUARTER_HOUR


@pytest.mark.parametrize("zone", ZONES)
def test_the_last_range_there_is_can_be_cut(zone):
    assert cut(ZoneInfo(zone), "month", LATEST_MS - 40 * MS_PER_DAY, LATEST_MS)[-1] == LATEST_MS
