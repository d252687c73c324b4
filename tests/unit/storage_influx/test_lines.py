"""Readings and figures as lines of InfluxDB and back; what InfluxDB refuses; what fails on the way."""

from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.influx_memory import InfluxMemory, parse_line

from energy_tracker.kit.ids import event_key
from energy_tracker.services.usage.adapters.influx_queries import InfluxReadings, everything
from energy_tracker.services.usage.adapters.influx_rows import (
    QuarterRow,
    Sums,
    quarter_line,
    read_quarter,
    reading_lines,
    stream_of_tags,
    stream_tags,
)
from energy_tracker.services.usage.model.readings import LogPosition, Reading, Stream
from energy_tracker.storage.influx import (
    InfluxDatabase,
    InfluxOptions,
    InfluxUnavailable,
    bound_ns,
    field_text,
    tag_text,
    tag_value,
    time_ns,
)

T0_MS = 1_780_272_000_000
MANY = {"after": (-1, b""), "limit": 1_000, "counted": everything}

texts = st.text(max_size=64)
printable = texts.map(lambda text: "".join(each for each in text if each.isprintable()))
event_ids = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)


@st.composite
def any_reading(draw: st.DrawFn) -> Reading:
    kind = draw(st.sampled_from(["interval", "register", "power"]))
    time_ms = T0_MS + draw(st.integers(0, 10**10))
    since_ms = time_ms - draw(st.integers(1, 10**9)) if kind == "interval" and draw(st.booleans()) else None
    return Reading(
        draw(st.integers(1, 2**63 - 1)),
        time_ms,
        draw(st.none() | event_ids.map(event_key)),
        kind,
        draw(st.floats(0, 1e6)),
        draw(st.sampled_from([None, "import", "export"])),
        since_ms,
        T0_MS,
        draw(printable),
        LogPosition(draw(st.sampled_from(["energy-usage", "energy-usage-by-owner", "parked"])), 3, 2**40),
    )


@given(any_reading())
async def test_a_reading_comes_back_as_it_went(reading: Reading) -> None:
    memory = InfluxMemory()
    assert await memory.write(reading_lines([reading])) == []
    found = await InfluxReadings(memory).device_readings(reading.device_id, **MANY)  # type: ignore[arg-type]  # stands for it
    assert found == [reading]


@given(st.lists(any_reading(), max_size=9), st.data())
def test_a_line_depends_on_its_own_reading_alone(readings: list[Reading], data: st.DataObject) -> None:
    """Whatever the readings in front of it were: they may be of the same device, direction or source."""
    devices = data.draw(st.lists(st.sampled_from([1, 2]), min_size=len(readings), max_size=len(readings)))
    mixed = [replace(each, device_id=device) for each, device in zip(readings, devices, strict=True)]
    assert reading_lines(mixed) == [line for each in mixed for line in reading_lines([each])]


@given(any_reading(), any_reading())
async def test_of_two_readings_under_one_chosen_id_the_second_holds_nothing_of_the_first(
    first: Reading, second: Reading
) -> None:
    """As where the step of the first did not come to its end, and the second takes its place."""
    same = {"device_id": 1, "time_ms": T0_MS, "given_key": b"mine", "kind": "power"}
    memory = InfluxMemory()
    for each in (first, second):
        since_ms = None if each.since_ms is None else T0_MS - 1
        await memory.write(reading_lines([replace(each, since_ms=since_ms, **same)]))
    found = await InfluxReadings(memory).device_readings(1, **MANY)  # type: ignore[arg-type]  # stands for it
    assert found == [replace(second, since_ms=None if second.since_ms is None else T0_MS - 1, **same)]


def _time_ns(**said: object) -> int:
    reading = Reading(1, T0_MS, None, "power", 230.5)
    return parse_line(*reading_lines([replace(reading, **said)]))[3]


def test_readings_of_one_millisecond_lie_at_times_of_their_own() -> None:
    apart: list[dict[str, object]] = [
        {},
        {"amount": 230.4},
        {"amount": 0.0},
        {"direction": "export"},
        {"channel": "L1"},
        {"channel": "L2"},
        {"given_key": b"a"},
        {"given_key": b"b"},
        {"given_key": b"b", "amount": 1.0, "device_id": 2},
    ]
    times = [_time_ns(**said) for said in apart]
    assert len(set(times[:-1])) == len(apart) - 1
    assert times[-1] == times[-2]
    assert {time // 1_000_000 for time in times} == {T0_MS}


def test_the_same_reading_lies_at_the_same_time_however_it_was_said() -> None:
    plain = Reading(1, T0_MS, None, "power", 230.5)
    assert _time_ns() == _time_ns(direction="import") == _time_ns(given_key=plain.key, key_follows=True)
    assert _time_ns(channel="L1") == _time_ns(channel="L1", direction="import")
    assert _time_ns(amount=0.0) == _time_ns(amount=-0.0)


@given(texts)
def test_texts_come_back_from_fields_and_tags(text: str) -> None:
    _, _, fields, _ = parse_line(f"m,tag={tag_text(text) or 'x'} text={field_text(text)} 1")
    assert fields == {"text": text}
    assert tag_value(tag_text(text)) == text


@given(st.integers(1, 2**63 - 1), st.sampled_from(["import", "export"]), printable)
def test_a_stream_comes_back_from_its_tags(device_id: int, direction: str, channel: str) -> None:
    stream = Stream(device_id, direction, channel)  # type: ignore[arg-type]  # one of the two
    _, tags, _, _ = parse_line(f"m,{stream_tags(stream)} v=1 1")
    assert stream_of_tags(dict(tags)) == stream


sums = st.builds(Sums, *[st.integers(-(2**62), 2**62)] * 3)


@given(st.integers(0, 10**6), st.integers(0, 10**9), st.integers(0, 99), st.integers(0, 10**9), sums, sums)
def test_a_quarter_hour_comes_back(number: int, epoch: int, partition: int, write: int, after: Sums, was: Sums) -> None:
    row = QuarterRow(number * 900_000, epoch, partition, write, after, was)
    _, _, fields, time = parse_line(quarter_line("deviceId=1", row))
    assert read_quarter([time, *(fields[name] for name in ("energyMj", "estimatedMj", "coveredMs", "source"))]) == row


async def test_points_of_others_are_readings_by_their_content() -> None:
    memory = InfluxMemory()
    await memory.write([f"energy_usage,deviceId=1,room=kitchen energyConsumed=0.5 {time_ns(T0_MS)}"])
    (found,) = await InfluxReadings(memory).device_readings(1, **MANY)  # type: ignore[arg-type]  # stands for it
    assert (found.amount, found.source, found.received_ms) == (0.5, None, T0_MS)
    again = await InfluxReadings(memory).find([found.identity], counted=everything)  # type: ignore[arg-type]  # as above
    assert again == {found.identity: found}


def test_bounds_are_instants_of_influx() -> None:
    assert bound_ns(2**62) == 2**63 - 2
    assert bound_ns(-(2**62)) == 2 - 2**63
    assert bound_ns(T0_MS) == time_ns(T0_MS)


def database(answer: Callable[[httpx.Request], httpx.Response]) -> InfluxDatabase:
    options = InfluxOptions(url="http://influx", token="t", org="o", bucket="b")
    return InfluxDatabase(options, httpx.AsyncClient(transport=httpx.MockTransport(answer)))


async def test_what_is_refused_is_found_by_halves() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if b"bad" in request.content:
            return httpx.Response(422, json={"message": "field type conflict"})
        return httpx.Response(204)

    lines = [f"m v={'bad' if number in {3, 4_999, 7_000} else 1} {number}" for number in range(7_001)]
    refused = await database(answer).write(lines)
    assert [(line.index, line.reason) for line in refused] == [
        (number, "field type conflict") for number in (3, 4_999, 7_000)
    ]


@pytest.mark.parametrize("number", [1, 12_000])
async def test_a_write_that_fails_says_that_influx_is_not_available(number: int) -> None:
    with pytest.raises(InfluxUnavailable):
        await database(lambda _: httpx.Response(503)).write(["m v=1 1"] * number)


async def test_nothing_is_asked_to_write_nothing() -> None:
    assert await database(lambda _: httpx.Response(500)).write([]) == []
