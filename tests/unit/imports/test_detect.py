"""What is found out about a file, and what has to be declared because it cannot be."""

import io
import random
from typing import Any

import pytest

from energy_tracker.services.ingestion.imports.detect import detect
from energy_tracker.services.ingestion.imports.exported import FIRST_COLUMNS, is_export, read_export
from energy_tracker.services.ingestion.imports.model import Declared, FileCannotBeImported, ImportPlan
from energy_tracker.services.ingestion.imports.source import open_source

HOURS = [f"2026-01-01T{hour:02}:00Z" for hour in range(24)]


def plan(text: str, **declared: Any) -> ImportPlan:
    source = open_source(io.BytesIO(text.encode()))
    return detect(source.head, Declared(**declared), user_zone="Europe/Berlin", stem="meter")


def table(header: str, *cells: str) -> str:
    return "\n".join([header, *(",".join((hour, *cells)) for hour in HOURS), ""])


def test_everything_found_is_shown_with_how():
    found = {finding.what: finding for finding in plan(table("time,Fridge_W,Kettle_W", "1.5", "2")).findings}
    assert found["value"].value == "'Fridge_W', 'Kettle_W'"
    assert (found["unit"].value, found["unit"].how) == ("W", "detected")
    assert found["kind"].value == "power"


def test_several_columns_of_one_unit_are_as_many_devices():
    values = plan(table("time,Fridge W,Kettle W", "1.5", "2")).values
    assert [value.device_name for value in values] == ["Fridge W", "Kettle W"]


def test_a_device_is_named_after_its_column_or_the_file():
    assert plan(table("time,Kitchen_W", "1.5")).values[0].device_name == "Kitchen_W"
    assert plan(table("time,power_w", "1.5")).values[0].device_name == "meter"


@pytest.mark.parametrize(
    ("header", "cells", "declared", "reason"),
    [
        ("time,power_w,energy_kwh", ("1", "2"), {}, "Which column is the value"),
        ("time,a,b", ("1", "2"), {}, "Which column is the value"),
        ("time,device,mean_w,max_w", ("TV", "1", "2"), {}, "Which column is the value"),
        ("time,name_w", ("x",), {}, "Which column is the value"),
        ("time,power_w", ("1",), {"kind": "register"}, "W is a unit of power"),
        ("time,kWh", ("1",), {"kind": "power"}, "kWh is a unit of energy"),
        ("time,power_w", ("1",), {"unit": "BTU"}, "not one of Wh, kWh"),
        ("time,kWh", ("1",), {"kind": "register", "stamp": "start"}, "read at an instant"),
        ("time,kWh,kWh", ("1", "2"), {"value_columns": ("kWh",)}, "2 columns are named"),
        ("time,power_w", ("1",), {"value_columns": ("time",)}, "is the time or the device"),
        ("time,power_w", ("1",), {"decimal": ";"}, "--decimal takes"),
        ("time,power_w", ("1",), {"separator": "ab"}, "--separator takes one"),
        ("time,power_w", ("1",), {"separator": ";"}, "Which column is the time"),
        ("time,power_w", ('"1,234"',), {}, "may part thousands"),
    ],
)
def test_what_cannot_be_told_has_to_be_declared(header, cells, declared, reason):
    with pytest.raises(FileCannotBeImported, match=reason):
        plan(table(header, *cells), **declared)


def test_a_zone_that_is_none_is_refused():
    with pytest.raises(FileCannotBeImported, match="no time zone 'Mars/Base'"):
        plan("time,power_w\n2026-01-01 00:00,1\n", zone="Mars/Base")


def test_the_users_zone_is_taken_with_a_note_where_times_have_none():
    found = plan("time,power_w\n2026-01-01 00:00,1\n")
    assert found.zone == "Europe/Berlin"
    assert {finding.what for finding in found.assumptions} == {"zone"}


def test_an_uneven_file_has_no_period():
    text = "time,kWh\n" + "".join(f"2026-01-01T{hour:02}:{hour * hour * 7 % 60:02}Z,1\n" for hour in range(9))
    with pytest.raises(FileCannotBeImported, match="declare --period"):
        plan(text, stamp="start")
    assert plan(text, stamp="start", period_ms=900_000).period_us == 900_000_000
    assert plan(text).period_us is None


def test_the_period_does_not_depend_on_order_or_gaps():
    times = [f"2026-01-0{1 + half // 48}T{half // 2 % 24:02}:{half % 2 * 30:02}Z,1" for half in range(96) if half % 5]
    for rows in (times, times[::-1], random.Random(5).sample(times, len(times))):
        assert plan("time,kWh\n" + "\n".join(rows), stamp="start").period_us == 1_800_000_000


def test_a_file_without_a_header_is_read_by_position():
    found = plan("".join(f"{hour},7\n" for hour in HOURS), unit="W")
    assert (found.column_names, found.header_rows, found.values[0].index) == (("1", "2"), 0, 1)
    assert plan("".join(f"7,{hour},9\n" for hour in HOURS), unit="W", value_columns=("3",)).values[0].index == 2


def test_a_column_of_starts_is_a_stamp_at_the_start():
    assert plan(table("interval start,kWh", "0.5")).stamp == "start"
    assert plan(table("time,kWh", "0.5")).stamp == "end"


def test_power_stamped_at_its_end_begins_a_period_earlier():
    found = plan(table("time,power_w", "5"), stamp="end")
    assert (found.stamp, found.period_us) == ("end", 3_600_000_000)


def test_rows_of_an_export_that_say_no_reading_are_named():
    rows = [
        ",".join(FIRST_COLUMNS),
        "2026-01-01T00:00:00Z,,TV,TV,Hall,power,import,5.0,W,id-1,PT1M,power,import,",
        "2026-01-01T00:00:00,,TV,TV,Hall,power,import,5.0,W,id-2,PT1M,power,import,",
        "2026-01-01T00:00:00Z,,TV,TV,Hall,volts,import,5.0,W,id-3,PT1M,power,import,",
        "2026-01-01T00:00:00Z,,TV,TV,Hall,power,import,nan,W,id-4,PT1M,power,import,",
        "short,row",
        "2026-01-01T00:15:00Z,2026-01-01T00:00:00Z,'-Meter,MISC,,interval,export,0.5,kWh,'=id,PT5M,interval,export,TV",
    ]
    assert is_export(rows)
    (batch,) = read_export([row + "\n" for row in rows])
    assert [(reading.line, reading.device, reading.event_id) for reading in batch.readings] == [
        (2, "TV", "id-1"),
        (7, "-Meter", "=id"),
    ]
    assert [rejection.line for rejection in batch.rejected] == [3, 4, 5, 6]
    assert (batch.devices[1].parent, batch.devices[1].max_hold) == ("TV", "PT5M")


def test_an_export_with_the_first_columns_still_reads():
    row = "2026-01-01T00:00:00Z,,Fridge,REFRIGERATOR,Kitchen,power,import,40.5,W,e1,PT5M,power,import,"
    source = io.StringIO(f"{','.join(FIRST_COLUMNS)}\n{row}\n")
    assert is_export(source.readlines())
    source.seek(0)
    (batch,) = read_export(source)
    assert (batch.rejected, len(batch.readings), batch.devices[0].rated_power_w) == ([], 1, None)


def test_a_column_named_by_its_unit_names_no_device():
    assert plan(table("time,kWh", "1.5")).values[0].device_name == "meter"
    assert plan(table("time,Energy (kWh)", "1.5")).values[0].device_name == "meter"
    assert plan(table("time,fridgePower kW", "1.5")).values[0].device_name == "fridgePower kW"
