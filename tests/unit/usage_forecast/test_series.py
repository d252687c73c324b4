"""Series from anywhere, and the columns of the store."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, to_ms
from energy_tracker.services.usage.model.forecast.hours import HourUse, LocalClock, hours_of_column
from energy_tracker.services.usage.model.forecast.series import StepTooLong, forecast_series, hours_of_points

BEGIN_MS = to_ms(datetime(2026, 1, 5, tzinfo=UTC))
HALF_MS = MS_PER_HOUR // 2


def test_half_hours_are_added_up_and_what_lacks_is_not_covered():
    points = [(BEGIN_MS + index * HALF_MS, 0.25) for index in range(8)]
    del points[3]
    assert hours_of_points(reversed(points)) == [
        HourUse(BEGIN_MS, MS_PER_HOUR, 0.5, MS_PER_HOUR),
        HourUse(BEGIN_MS + MS_PER_HOUR, MS_PER_HOUR, 0.25, HALF_MS),
        HourUse(BEGIN_MS + 2 * MS_PER_HOUR, MS_PER_HOUR, 0.5, MS_PER_HOUR),
        HourUse(BEGIN_MS + 3 * MS_PER_HOUR, MS_PER_HOUR, 0.5, MS_PER_HOUR),
    ]


def test_what_is_no_number_is_missing():
    points = [(BEGIN_MS, 1.0), (BEGIN_MS + MS_PER_HOUR, float("nan")), (BEGIN_MS + 2 * MS_PER_HOUR, None)]
    assert [hour.start_ms for hour in hours_of_points(points)] == [BEGIN_MS]


def test_days_cannot_be_forecast_by_the_hour():
    with pytest.raises(StepTooLong, match="24 hours apart"):
        hours_of_points([(BEGIN_MS + day * MS_PER_DAY, 1.0) for day in range(9)])


def test_a_series_is_forecast_from_its_end_or_from_a_moment_in_it():
    points = [(BEGIN_MS + index * MS_PER_HOUR, 1.0 + (index % 24 == 7)) for index in range(24 * 30)]
    made = forecast_series(points, hours=48)
    assert [hour.start_ms for hour in made.hours][:1] == [BEGIN_MS + 30 * MS_PER_DAY]
    assert [hour.median_kwh for hour in made.hours] == pytest.approx([1.0 + (slot % 24 == 7) for slot in range(48)])
    from_ms = BEGIN_MS + 20 * MS_PER_DAY
    before = [point for point in points if point[0] < from_ms]
    assert forecast_series(points, from_ms=from_ms) == forecast_series(before)


def test_net_use_may_be_negative():
    points = [(BEGIN_MS + index * MS_PER_HOUR, -1.0 if 10 <= index % 24 < 15 else 0.5) for index in range(24 * 20)]
    assert forecast_series(points).hours[12].median_kwh == pytest.approx(-1.0, abs=0.4)


def test_a_column_of_the_store_becomes_hours():
    boundaries = [BEGIN_MS, BEGIN_MS + MS_PER_HOUR, BEGIN_MS + 2 * MS_PER_HOUR]
    hours = hours_of_column(boundaries, [3_600_000_000, None], [2 * MS_PER_HOUR, 0], devices=2)
    assert hours == [
        HourUse(BEGIN_MS, MS_PER_HOUR, 1.0, MS_PER_HOUR),
        HourUse(BEGIN_MS + MS_PER_HOUR, MS_PER_HOUR, None, 0),
    ]


@pytest.mark.parametrize("name", ["Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"])
def test_the_clock_shows_what_the_zone_says(name):
    zone, clock = ZoneInfo(name), LocalClock(ZoneInfo(name))
    for hour in range(24 * 366 * 2):
        instant_ms = BEGIN_MS + hour * HALF_MS
        local = datetime.fromtimestamp(instant_ms / 1000, zone)
        days, slot = clock.shows(instant_ms)
        assert (days, slot) == ((local.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days, local.hour)
