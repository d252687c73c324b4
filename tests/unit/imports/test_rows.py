"""Files as meters write them, to readings."""

import codecs
import csv
import gzip
import io
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energy_tracker.services.ingestion.imports.detect import detect
from energy_tracker.services.ingestion.imports.model import Declared, FileCannotBeImported, ImportedReading, RejectedRow
from energy_tracker.services.ingestion.imports.rows import read_rows
from energy_tracker.services.ingestion.imports.source import LINE_LIMIT, open_source
from energy_tracker.services.ingestion.imports.times import TimeFormat

MINUTE_US = 60_000_000


def read(
    data: bytes | str, *, user_zone: str = "UTC", **declared: Any
) -> tuple[list[ImportedReading], list[RejectedRow]]:
    content = data.encode() if isinstance(data, str) else data
    declaration = Declared(**declared)
    source = open_source(io.BytesIO(content), encoding=declaration.encoding)
    plan = detect(source.head, declaration, user_zone=user_zone, stem="meter")
    batches = list(read_rows(source.lines, plan, batch_rows=7))
    return [r for b in batches for r in b.readings], [r for b in batches for r in b.rejected]


def plan_of(data: str, *, user_zone: str = "UTC", **declared: Any):
    source = open_source(io.BytesIO(data.encode()))
    return detect(source.head, Declared(**declared), user_zone=user_zone, stem="meter")


def us(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


PLUGS = """timestamp,device,type,location,power_w
2026-09-07T00:00:00Z,Kettle,MISC,Kitchen,0
2026-09-07T00:00:00Z,TV,TV,Living room,1.5
2026-09-07T00:01:00Z,Kettle,MISC,Kitchen,2000
"""


def test_a_file_of_plugs_gives_devices_and_powers():
    source = open_source(io.BytesIO(PLUGS.encode()))
    plan = detect(source.head, Declared(), user_zone="UTC", stem="x")
    (batch,) = read_rows(source.lines, plan)
    assert [(d.name, d.type, d.location, d.kind) for d in batch.devices] == [
        ("Kettle", "MISC", "Kitchen", "power"),
        ("TV", "TV", "Living room", "power"),
    ]
    assert [(r.device, r.instant_us, r.amount, r.since_us, r.line) for r in batch.readings] == [
        ("Kettle", us("2026-09-07T00:00+00:00"), 0.0, None, 2),
        ("TV", us("2026-09-07T00:00+00:00"), 1.5, None, 3),
        ("Kettle", us("2026-09-07T00:01+00:00"), 2000.0, None, 4),
    ]
    assert (batch.rows, batch.rejected, batch.empty) == (3, [], 0)


def test_half_hours_stamped_at_their_start_say_their_own_length_also_after_a_gap():
    data = """,GC,GG
2011-07-01 00:00:00,0.4,0.0
2011-07-01 00:30:00,0.5,0.1
2011-07-01 01:00:00,.2,.3
2011-07-01 04:00:00,0.6,0.1
"""
    readings, rejected = read(
        data, zone="Australia/Brisbane", stamp="start", value_columns=("GG",), direction="export", kind="interval"
    )
    assert rejected == []
    assert [(r.device, r.since_us, r.instant_us, r.amount, r.direction) for r in readings][-1] == (
        "GG", us("2011-07-01T04:00+10:00"), us("2011-07-01T04:30+10:00"), 0.1, "export",
    )  # fmt: skip


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize(
    ("codec", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
    ],
)
def test_encodings_are_told_by_their_mark(codec, mark, gzipped):
    text = "Zeit;Gerät;Leistung (kW)\r\n07.09.2026 00:00;Kühlschrank;1,5\r\n27.09.2026 00:01:30;Kühlschrank;0,25\r\n"
    data = mark + text.encode(codec)
    readings, rejected = read(gzip.compress(data) if gzipped else data, user_zone="Europe/Berlin")
    assert rejected == []
    assert [(r.device, r.amount) for r in readings] == [("Kühlschrank", 1500.0), ("Kühlschrank", 250.0)]
    assert readings[1].instant_us == us("2026-09-27T00:01:30+02:00")


def test_a_code_page_is_assumed_with_a_note():
    source = open_source(io.BytesIO("Zeit;Gerät;W\n2026-01-01;Kühlschrank;1\n".encode("cp1252")))
    assert source.findings[0].how == "assumed"
    assert "Windows-1252" in source.findings[0].note
    assert "Gerät" in source.head[0]


def test_day_and_month_that_may_be_exchanged_are_asked_for():
    data = "time,power_w\n01/02/2026 00:00,5\n03/02/2026 00:00,6\n"
    with pytest.raises(FileCannotBeImported, match="declare --time-format dmy or mdy"):
        read(data)
    day_first, _ = read(data, time_format=TimeFormat.DAY_FIRST)
    month_first, _ = read(data, time_format=TimeFormat.MONTH_FIRST)
    assert day_first[0].instant_us == us("2026-02-01T00:00+00:00")
    assert month_first[0].instant_us == us("2026-01-02T00:00+00:00")
    told, _ = read("time,power_w\n1/13/2026 1:05 PM,5\n1/13/2026 12:05 AM,5\n")
    assert [r.instant_us for r in told] == [us("2026-01-13T13:05+00:00"), us("2026-01-13T00:05+00:00")]


def test_seconds_since_1970_only_when_declared():
    data = "ts,power_w\n1732374651,5\n1732374652.5,6\n"
    with pytest.raises(FileCannotBeImported, match="--time"):
        read(data)
    readings, _ = read(data, time_column="ts", time_format=TimeFormat.EPOCH_SECONDS)
    assert [r.instant_us for r in readings] == [1_732_374_651_000_000, 1_732_374_652_500_000]


@pytest.mark.parametrize(
    ("name", "unit", "amount", "expected"),
    [
        ("power_w", None, "5", 5.0),
        ("Energy (kWh)", None, "0.5", 0.5),
        ("energy_wh", None, "500", 0.5),
        ("Verbrauch [MWh]", None, "0.5", 500.0),
        ("x", "kW", "0.5", 500.0),
        ("Leistung (kW)", None, "0.5", 500.0),
        ("kW", None, "0.5", 500.0),
        ("powerkW", None, "0.5", 500.0),
        ("powerW", None, "0.5", 0.5),
        ("energyKWh", None, "0.5", 0.5),
        ("energyWh", None, "500", 0.5),
        ("kWh", None, "0.5", 0.5),
    ],
)
def test_units_come_from_the_name_or_are_declared(name, unit, amount, expected):
    rows = "".join(f"2026-01-01T0{hour}:00Z,{amount}\n" for hour in range(5))
    readings, rejected = read(f"time,{name}\n{rows}", unit=unit)
    assert rejected == []
    assert {r.amount for r in readings} == {expected}


def test_counters_are_told_from_intervals_whatever_the_order():
    rng = random.Random(7)
    counter = [(hour, 1000 + hour * 0.4) for hour in range(200)]
    use = [(hour, round(rng.random(), 3)) for hour in range(200)]
    for points, kind in ((counter, "register"), (use, "interval")):
        rows = [f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00Z,{amount}" for hour, amount in points]
        assert plan_of("time,kWh\n" + "\n".join(rows)).kind == kind
        rng.shuffle(rows)
        assert plan_of("time,kWh\n" + "\n".join(rows)).kind == kind


def test_a_rise_that_may_be_a_counter_or_a_morning_is_asked_for():
    rows = "\n".join(f"2026-01-01T{hour:02}:00Z,{hour * 0.1:.1f}" for hour in range(9))
    with pytest.raises(FileCannotBeImported, match="declare --kind"):
        plan_of("time,kWh\n" + rows)


def test_bad_rows_are_named_and_the_good_ones_kept():
    data = (
        PLUGS
        + """2026-09-07T00:02:00Z,Kettle,MISC,Kitchen,NaN
2026-09-07T00:02:00Z,Kettle,MISC,Kitchen,inf
2026-09-07T00:02:00Z,Kettle,MISC,Kitchen,"1,5"
2026-09-07T00:02:00Z,Kettle,MISC,Kitchen,1_000
2026-13-07T00:02:00Z,Kettle,MISC,Kitchen,1
2026-09-07T00:02:00,Kettle,MISC,Kitchen,1
2026-09-07T00:02:00Z,Kettle,MISC,Kitchen
2026-09-07T00:02:00Z,Kettle,MISC,Kitchen,1,5
2026-09-07T00:02:00Z,,MISC,Kitchen,1
2026-09-07T00:02:00Z,Ket\x1b[31mtle,MISC,Kitchen,1
2026-09-07T00:02:00Z,Kettle,MISC,Kitchen,
2026-09-07T00:03:00Z,Kettle,MISC,Kitchen,7,,
"""
    )
    plan = plan_of(PLUGS)
    batches = list(read_rows(data.splitlines(keepends=True), plan))
    readings = [r for b in batches for r in b.readings]
    rejected = [r for b in batches for r in b.rejected]
    assert [r.line for r in readings] == [2, 3, 4, 16]
    assert sum(b.empty for b in batches) == 1
    named = {(r.line, r.column) for r in rejected}
    assert {(5, "power_w"), (6, "power_w"), (7, "power_w"), (8, "power_w"), (9, "timestamp")} <= named
    assert {(11, None), (12, None), (13, "device"), (14, "device")} <= named
    assert any("--decimal ," in r.reason for r in rejected)


def test_an_unclosed_quotation_mark_is_a_bounded_error():
    def endless() -> Iterator[str]:
        yield "time,power_w\n"
        yield "2026-01-01T00:00Z,1\n"
        yield '2026-01-01T00:01Z,"2\n'
        for _ in range(100_000):
            yield "2026-01-01T00:02Z,3\n"
        pytest.fail("read on without end")

    plan = plan_of("time,power_w\n2026-01-01T00:00Z,1\n")
    batches = read_rows(endless(), plan)
    assert [r.amount for r in next(batches).readings] == [1.0]
    with pytest.raises(FileCannotBeImported, match="quotation mark"):
        next(batches)


def test_a_line_without_end_is_a_bounded_error():
    source = open_source(io.BytesIO(b"time,power_w\n2026-01-01T00:00Z,1\n" + b"x" * (2 * LINE_LIMIT)))
    with pytest.raises(FileCannotBeImported, match="Line 3 is longer"):
        list(source.lines)


def test_a_cut_gzip_file_gives_what_it_has_and_says_so():
    rows = "".join(
        f"{datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s)},{s * 7919 % 997}\n" for s in range(60_000)
    )
    packed = gzip.compress(("time,power_w\n" + rows).encode())
    source = open_source(io.BytesIO(packed[: len(packed) * 3 // 4]))
    plan = detect(source.head, Declared(), user_zone="UTC", stem="x")
    batches = []
    with pytest.raises(FileCannotBeImported, match="damaged after line"):
        batches.extend(read_rows(source.lines, plan))
    assert sum(len(batch.readings) for batch in batches) > 10_000


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"time,power_w\n", b"\x1f\x8b\x08\x00junk", b"hello"])
def test_files_without_readings_are_refused(data):
    with pytest.raises(FileCannotBeImported):
        read(data)


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(FileCannotBeImported, match=r"no column 'watts'.*'power_w'"):
        read(PLUGS, value_columns=("watts",))


BERLIN = "Europe/Berlin"


def test_a_time_that_the_clock_skipped_is_rejected_not_shifted():
    readings, rejected = read("time,power_w\n2026-03-29 01:30,1\n2026-03-29 02:30,2\n2026-03-29 03:30,3\n", zone=BERLIN)
    assert [r.amount for r in readings] == [1.0, 3.0]
    assert rejected[0].line == 3
    assert "skipped" in rejected[0].reason


def autumn(rows: list[str]) -> tuple[list[ImportedReading], list[RejectedRow]]:
    return read("time,power_w\n" + "\n".join(f"2026-10-25 {row}" for row in rows), zone=BERLIN)


def test_the_hour_that_comes_twice_is_told_by_the_order():
    readings, rejected = autumn(["01:30,1", "02:00,2", "02:30,3", "02:00,4", "02:30,5", "03:00,6"])
    assert rejected == []
    start = us("2026-10-24T23:30+00:00")
    assert [r.instant_us for r in readings] == [start + step * 30 * MINUTE_US for step in range(6)]
    assert [r.amount for r in readings] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "rows", [["01:30,1", "02:00,2", "03:00,6"], ["02:30,2"], ["03:00,1", "02:30,2", "02:00,3", "01:00,3"]]
)
def test_the_hour_that_comes_twice_is_rejected_where_the_order_does_not_tell(rows):
    readings, rejected = autumn(rows)
    assert all("showed this time twice" in r.reason for r in rejected)
    assert len(rejected) == sum(row.startswith("02") for row in rows)
    assert len(readings) + len(rejected) == len(rows)


dialects = st.fixed_dictionaries(
    {
        "separator": st.sampled_from([",", ";", "\t", "|"]),
        "decimal": st.sampled_from([".", ","]),
        "end": st.sampled_from(["\n", "\r\n"]),
        "codec": st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
        "packed": st.booleans(),
        "form": st.sampled_from(["%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S.%f", "%d.%m.%Y %H:%M:%S,%f"]),
    }
)
names = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters='"'), min_size=1, max_size=12)
instants = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1)).filter(  # noqa: DTZ001 - wall-clock times
    lambda t: len({ZoneInfo(BERLIN).utcoffset(t.replace(fold=f)) for f in (0, 1)}) == 1
)
powers = st.integers(0, 10**7).map(lambda milliwatts: milliwatts / 1000)


@given(dialects, st.lists(st.tuples(instants, names, powers), min_size=1, max_size=30))
@settings(max_examples=150, deadline=None)
def test_what_is_written_in_any_dialect_is_read_back(dialect, points):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=dialect["separator"], lineterminator=dialect["end"], quoting=dialect["quoting"])
    writer.writerow(["time", "device", "power_w"])
    for moment, name, power in points:
        writer.writerow([moment.strftime(dialect["form"]), name, f"{power:.3f}".replace(".", dialect["decimal"])])
    data = out.getvalue().encode(dialect["codec"])
    readings, rejected = read(
        gzip.compress(data) if dialect["packed"] else data,
        zone=BERLIN,
        separator=dialect["separator"],
        decimal=dialect["decimal"],
    )
    assert rejected == []
    zone = UTC if dialect["form"].endswith("Z") else ZoneInfo(BERLIN)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [
        ((moment.replace(tzinfo=zone) - epoch) // timedelta(microseconds=1), name, power)
        for moment, name, power in points
    ]
    assert [(r.instant_us, r.device, r.amount) for r in readings] == expected


SEPARATE = "Date;Time;kWh\n" + "".join(f"{day:02}.03.2026;{hour}:00;1,5\n" for day in (13, 14) for hour in range(24))


def test_a_day_and_a_time_of_day_may_have_columns_of_their_own():
    readings, rejected = read(SEPARATE)
    assert not rejected
    assert len(readings) == 48
    assert readings[0].instant_us == datetime(2026, 3, 13, tzinfo=UTC).timestamp() * 1_000_000
    assert readings[-1].instant_us == datetime(2026, 3, 14, 23, tzinfo=UTC).timestamp() * 1_000_000
    plan = plan_of(SEPARATE)
    assert (plan.time_index, plan.time_of_day_index) == (0, 1)


def test_from_and_to_as_times_of_day_give_the_start():
    rows = "".join(f"2026-03-13,{hour:02}:00,{hour + 1:02}:00,2\n" for hour in range(23))
    readings, rejected = read(f"Datum,von,bis,kWh\n{rows}")
    assert not rejected
    assert (readings[0].since_us, readings[0].instant_us) == tuple(
        datetime(2026, 3, 13, hour, tzinfo=UTC).timestamp() * 1_000_000 for hour in (0, 1)
    )


def test_a_day_with_a_bad_time_of_day_is_named_by_its_line():
    _, rejected = read(SEPARATE.replace("14.03.2026;7:00", "14.03.2026;7:60"))
    assert [(row.line, row.column) for row in rejected] == [(33, "Date")]


@pytest.mark.parametrize(
    "above",
    [
        "Smart meter export\n\n",
        "Meter number;4711\nPeriod;13.03.2026;14.03.2026\n",
        "# made by a device\n# all values in kWh\n\n\n",
        'Customer;"Doe; Jane"\n"Address";;\n;;\n',
    ],
)
@pytest.mark.parametrize("headed", [True, False])
def test_lines_of_text_above_the_table_are_not_read(above: str, headed: bool):
    table = SEPARATE if headed else SEPARATE.partition("\n")[2]
    plain, _ = read(table)
    readings, rejected = read(above + table)
    assert not rejected
    lines = above.count("\n")
    assert [reading._replace(line=reading.line - lines) for reading in readings] == plain


@pytest.mark.parametrize("bad", ["yesterday;1:00;1,5", "13.03.2026;1:00", "13.03.2026;1:00;", ";;x"])
def test_a_bad_first_row_is_no_text_above_the_table(bad: str):
    header, _, rows = SEPARATE.partition("\n")
    readings, _ = read(f"{header}\n{bad}\n{rows}")
    assert len(readings) == 48
    assert plan_of(f"{header}\n{bad}\n{rows}").preamble_lines == 0
