"""Readings come in over HTTP: what is answered, and what is then in the stream and in the ledger."""

import gzip
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.ingestion import NOW_MS, Ingestion, ingestion

from energy_tracker.contracts.topics import ENERGY_USAGE, USAGE_GROUP
from energy_tracker.eventlog.port import Message
from energy_tracker.kit.ids import event_id_text
from energy_tracker.services.ingestion.adapters.memory import MemoryKnownReadings
from energy_tracker.services.ingestion.model.admission import Refusal
from energy_tracker.services.usage.decoding import to_reading
from energy_tracker.storage.sqlite_writer import WriterStopped

ONE = "/api/v1/ingestion"
BATCH = "/api/v1/ingestion/batch"
GOOD: dict[str, Any] = {"deviceId": 7, "energyConsumed": 0.25, "timestamp": "2026-05-01T10:00:00Z"}


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[Ingestion]:
    async with ingestion(tmp_path) as running:
        yield running


def reading(second: int, **fields: Any) -> dict[str, Any]:
    return {**GOOD, "timestamp": f"2026-05-01T10:{second // 60:02d}:{second % 60:02d}Z", **fields}


async def test_a_reading_is_in_the_stream_when_it_is_acknowledged(system: Ingestion) -> None:
    answer = await system.http.post(ONE, json=GOOD)
    assert answer.status_code == 201
    assert answer.json()["status"] == "accepted"
    (logged,) = await system.logged()
    assert (logged.device_id, logged.energy_consumed, logged.received_at) == (7, 0.25, NOW_MS)
    assert logged.timestamp == 1_777_629_600_000
    assert logged.event_id is None  # it follows from the rest
    assert event_id_text(to_reading(logged, NOW_MS).key) == answer.json()["eventId"]
    assert logged.direction is None


async def test_the_same_instant_in_another_zone_is_the_same_reading(system: Ingestion) -> None:
    first = (await system.http.post(ONE, json=GOOD)).json()
    again = await system.http.post(ONE, json={**GOOD, "timestamp": "2026-05-01T12:00:00.000+02:00"})
    assert again.status_code == 201
    assert again.json() == {"eventId": first["eventId"], "status": "duplicate"}
    explicit = await system.http.post(ONE, json={**GOOD, "eventId": first["eventId"], "direction": "import"})
    assert explicit.json()["status"] == "duplicate"
    assert len(await system.logged()) == 1


async def test_readings_of_one_millisecond_both_count(system: Ingestion) -> None:
    for instant in ("2026-05-01T10:00:00.000100Z", "2026-05-01T10:00:00.000200Z"):
        assert (await system.http.post(ONE, json={**GOOD, "timestamp": instant})).json()["status"] == "accepted"
    for channel in ("switch:0", "switch:1"):
        assert (await system.http.post(ONE, json={**GOOD, "channel": channel})).json()["status"] == "accepted"
    assert len({to_reading(message, NOW_MS).key for message in await system.logged()}) == 4


async def test_an_event_id_names_one_reading_of_a_device(system: Ingestion) -> None:
    body = {**GOOD, "eventId": "meter-1/17"}
    assert (await system.http.post(ONE, json=body)).json() == {"eventId": "meter-1/17", "status": "accepted"}
    assert (await system.http.post(ONE, json=body)).json()["status"] == "duplicate"
    other = await system.http.post(ONE, json={**body, "energyConsumed": 0.3})
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert (await system.http.post(ONE, json={**body, "deviceId": 8})).json()["status"] == "accepted"
    assert await system.ledger() == {"received": 4, "accepted": 2, "duplicate": 1, "rejected": 1, "queued": 2}


BAD_ONE: list[tuple[bytes | dict[str, Any], int, str | None]] = [
    (b"", 422, None),
    (b"{}", 422, "/deviceId"),
    (b"[]", 422, None),
    (b"null", 422, None),
    (b'{"deviceId": 7', 400, None),
    (b'{"deviceId":7,"deviceId":7,"energyConsumed":1,"timestamp":"2026-05-01T10:00:00Z"}', 400, None),
    (b'{"deviceId":7,"device\\u0049d":8,"energyConsumed":1,"timestamp":"2026-05-01T10:00:00Z"}', 400, None),
    (b'{"deviceId":7,"energyConsumed":1,"energyConsumed":1,"timestamp":"2026-05-01T10:00:00Z"}', 400, None),
    (b'{"deviceId":7,"energyConsumed":1,"timestamp":"2026-05-01T10:00:00Z","powerW":null,"powerW":null}', 400, None),
    (b"[" * 100_000, 400, None),
    (b'{"deviceId":' + b"9" * 5_000 + b"}", 400, None),
    (b'{"deviceId":7,"energyConsumed":NaN,"timestamp":"2026-05-01T10:00:00Z"}', 422, None),
    (b'{"deviceId":7,"energyConsumed":-Infinity,"timestamp":"2026-05-01T10:00:00Z"}', 422, None),
    (b'{"deviceId":7,"energyConsumed":1e400,"timestamp":"2026-05-01T10:00:00Z"}', 422, None),
    (b'{"deviceId":7,"energyConsumed":1,"timestamp":"2026-05-01T10:00:00Z","eventId":"\\ud800"}', 422, "/eventId"),
    (b"\xff\xfe{}", 400, None),
    ({**GOOD, "deviceId": None}, 422, "/deviceId"),
    ({**GOOD, "deviceId": "7"}, 422, "/deviceId"),
    ({**GOOD, "deviceId": True}, 422, "/deviceId"),
    ({**GOOD, "deviceId": 7.5}, 422, "/deviceId"),
    ({**GOOD, "deviceId": 0}, 422, "/deviceId"),
    ({**GOOD, "deviceId": -1}, 422, "/deviceId"),
    ({**GOOD, "deviceId": 2**63}, 422, "/deviceId"),
    ({**GOOD, "energyConsumed": "0.25"}, 422, "/energyConsumed"),
    ({**GOOD, "energyConsumed": True}, 422, "/energyConsumed"),
    ({**GOOD, "energyConsumed": None}, 422, ""),
    ({**GOOD, "energyConsumed": -0.1}, 422, "/energyConsumed"),
    ({**GOOD, "energyConsumed": 1.1e6}, 422, "/energyConsumed"),
    ({**GOOD, "powerW": 5}, 422, ""),
    ({"deviceId": 7, "timestamp": GOOD["timestamp"]}, 422, ""),
    ({"deviceId": 7, "timestamp": GOOD["timestamp"], "registerKwh": 1.1e9}, 422, "/registerKwh"),
    ({"deviceId": 7, "timestamp": GOOD["timestamp"], "powerW": -3}, 422, "/powerW"),
    ({**GOOD, "timestamp": 1_777_629_600}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "1777629600"}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "2026-05-01T10:00:00"}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "2026-05-01"}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "2026-02-30T10:00:00Z"}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "2026-05-01T25:00:00Z"}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "1970-01-01T00:00:00Z"}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "5138-11-16T09:46:40Z"}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "0001-01-01T00:00:00+14:00"}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "9999-12-31T23:59:59-14:00"}, 422, "/timestamp"),
    ({**GOOD, "timestamp": "2026-05-29T20:26:41Z"}, 422, "/timestamp"),
    ({**GOOD, "since": "2026-05-01T10:00:00Z"}, 422, "/since"),
    ({**GOOD, "since": "2025-04-29T10:00:00Z"}, 422, "/since"),
    ({**GOOD, "since": "2026-05-01T09:00:00"}, 422, "/since"),
    ({"deviceId": 7, "timestamp": GOOD["timestamp"], "powerW": 1, "since": "2026-05-01T09:00:00Z"}, 422, "/since"),
    ({**GOOD, "direction": "sideways"}, 422, "/direction"),
    ({**GOOD, "eventId": ""}, 422, "/eventId"),
    ({**GOOD, "eventId": "x" * 65}, 422, "/eventId"),
    ({**GOOD, "eventId": "a\n"}, 422, "/eventId"),
    ({**GOOD, "eventId": "caf\u00e9"}, 422, "/eventId"),
    ({**GOOD, "eventId": 5}, 422, "/eventId"),
    ({**GOOD, "owner_id": 1}, 422, "/owner_id"),
]


@pytest.mark.parametrize(("body", "status", "pointer"), BAD_ONE, ids=[str(body)[:60] for body, _, _ in BAD_ONE])
async def test_what_is_not_acceptable_is_said_and_not_stored(
    system: Ingestion, body: bytes | dict[str, Any], status: int, pointer: str | None
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await system.http.post(ONE, content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if pointer is not None:
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert await system.logged() == []
    if isinstance(body, dict):
        rejected = await system.http.post(BATCH, content=b"[" + content + b"," + json.dumps(GOOD).encode() + b"]")
        assert rejected.status_code == 202
        (item,) = rejected.json()["items"]
        assert (item["index"], item["status"], item["problem"]["status"]) == (0, "rejected", 422)
        assert len(await system.logged()) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"energyConsumed": 0},
        {"energyConsumed": -0.0},
        {"energyConsumed": 1e6},
        {"direction": "export"},
        {"since": "2026-05-01T09:00:00+00:00"},
        {"since": None, "powerW": None},
        {"eventId": '"deviceId"\\'},
        {"eventId": "' OR 1=1--"},
        {"timestamp": "2026-05-29T20:26:40Z"},
        {"timestamp": "2026-05-01T10:00:00.123456789+14:00"},
        {"deviceId": 2**63 - 1},
    ],
    ids=str,
)
async def test_what_is_unusual_but_right_is_taken(system: Ingestion, fields: dict[str, Any]) -> None:
    answer = await system.http.post(ONE, json={**GOOD, **fields})
    assert answer.status_code == 201, answer.text
    again = await system.http.post(BATCH, json=[{**GOOD, **fields}])
    assert again.json()["duplicate"] == 1


async def test_one_bad_item_of_a_hundred_costs_only_itself(system: Ingestion) -> None:
    items = [reading(n) for n in range(100)]
    items[42] = {**items[42], "energyConsumed": -1}
    answer = await system.http.post(BATCH, json={"readings": items})
    assert answer.status_code == 202
    body = answer.json()
    assert [body[name] for name in ("received", "accepted", "duplicate", "rejected")] == [100, 99, 0, 1]
    assert [item["index"] for item in body["items"]] == [42]
    assert "export" in body["items"][0]["problem"]["errors"][0]["detail"]
    everything = (await system.http.post(BATCH + "?items=all", json=items)).json()
    assert [item["status"] for item in everything["items"]].count("duplicate") == 99
    assert len(await system.logged()) == 99
    assert await system.ledger() == {"received": 200, "accepted": 99, "duplicate": 99, "rejected": 2, "queued": 99}


async def test_a_batch_may_be_lines_and_may_be_packed(system: Ingestion) -> None:
    lines = b"\n".join(json.dumps(reading(n)).encode() for n in range(3)) + b"\r\n\n"
    headers = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    answer = await system.http.post(BATCH, content=gzip.compress(lines), headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 3)
    broken = lines.replace(b"}\r\n", b"\r\n") + json.dumps(reading(9)).encode()
    answer = await system.http.post(BATCH, content=broken, headers={"content-type": "application/x-ndjson"})
    body = answer.json()
    assert [body[name] for name in ("received", "accepted", "duplicate", "rejected")] == [4, 1, 2, 1]
    assert [(item["index"], item.get("problem", {}).get("status")) for item in body["items"]] == [
        (0, None),
        (1, None),
        (2, 400),
    ]
    packed = await system.http.post(
        ONE, content=gzip.compress(json.dumps(GOOD).encode()), headers={"content-encoding": "gzip"}
    )
    assert packed.status_code == 201


GZIP = {"content-encoding": "gzip"}
NDJSON = {"content-type": "application/x-ndjson"}
PACKED = gzip.compress(b"[]" + b" " * 1000, mtime=0)  # no time of day: the tests' names hold the bytes
BAD_BATCHES: list[tuple[bytes, dict[str, str], int]] = [
    (b"", {}, 422),
    (b"{}", {}, 422),
    (b"3", {}, 422),
    (b'{"readings":3}', {}, 422),
    (b'{"readings":[],"x":1}', {}, 422),
    (b'{"readings":[],"readings":[]}', {}, 400),
    (b'{"readings":[],"read\\u0069ngs":[]}', {}, 400),
    (b"[{]", {}, 400),
    (b"[" + json.dumps(GOOD).encode(), {}, 400),
    (b'[{"deviceId":1,"deviceId":1}]', {}, 400),
    (b"[" * 100_000, {}, 400),
    (b"[" + b"9" * 5_000 + b"]", {}, 400),
    (b"", NDJSON, 422),
    (b"[" + b"1," * 10_000 + b"1]", {}, 413),
    (b"1\n" * 10_001, NDJSON, 413),
    (b" " * 8_000_001, {}, 413),
    (gzip.compress(b" " * 50_000_000, 1, mtime=0), GZIP, 413),
    (PACKED[:-9], GZIP, 400),
    (PACKED + b"x", GZIP, 400),
    (PACKED + PACKED, GZIP, 400),
    (gzip.compress(PACKED, mtime=0), GZIP, 400),
    (gzip.compress(PACKED, mtime=0), {"content-encoding": "gzip, gzip"}, 400),
    (b"[]", GZIP, 400),
    (b"[]", {"content-encoding": "br"}, 415),
    (b"[]", {"content-type": "text/csv"}, 415),
]


@pytest.mark.parametrize(
    ("content", "headers", "status"), BAD_BATCHES, ids=[f"{b[:30]!r} {h}" for b, h, _ in BAD_BATCHES]
)
async def test_a_batch_that_cannot_be_taken(
    system: Ingestion, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await system.http.post(BATCH, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await system.ledger())["received"] == 0


async def test_an_item_that_is_too_large_a_number_costs_only_itself(system: Ingestion) -> None:
    huge = b'{"deviceId":7,"energyConsumed":1e400,"timestamp":"2026-05-01T10:00:00Z"}'
    answer = await system.http.post(BATCH, content=b"[" + huge + b"," + json.dumps(GOOD).encode() + b"]")
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 1, 1)


async def test_a_body_without_end_is_cut_off(system: Ingestion) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000_000:
            sent += 1_000_000
            yield b" " * 1_000_000

    answer = await system.http.post(ONE, content=endless())
    assert answer.status_code == 413
    assert sent <= 10_000_000


async def test_a_retired_device_takes_only_what_was_before(tmp_path: Path) -> None:
    refused = {7: Refusal(from_ms=1_777_629_600_000), 8: Refusal(from_ms=None)}
    async with ingestion(tmp_path, refused=refused) as system:
        assert (await system.http.post(ONE, json=GOOD)).status_code == 422
        assert (await system.http.post(ONE, json={**GOOD, "timestamp": "2026-05-01T09:59:59Z"})).status_code == 201
        assert (await system.http.post(ONE, json={**GOOD, "deviceId": 8})).status_code == 410
        batch = (await system.http.post(BATCH, json=[{**GOOD, "deviceId": n} for n in (7, 8, 9)])).json()
        assert [item["problem"]["status"] for item in batch["items"]] == [422, 410]
        assert (await system.ledger())["rejected"] == 4


async def test_what_was_acknowledged_is_known_after_a_restart(tmp_path: Path) -> None:
    known = MemoryKnownReadings()
    items = [*[reading(n) for n in range(5)], reading(7, eventId="mine")]
    async with ingestion(tmp_path, known=known) as system:
        await system.http.post(BATCH, json=items)
    async with ingestion(tmp_path, known=known) as system:
        assert (await system.http.post(BATCH, json=items)).json()["duplicate"] == 6
        for message in await system.logged():
            known.stored.add(to_reading(message, NOW_MS).identity)
        last = (await system.log.read(ENERGY_USAGE))[-1].offset
        system.log.set_committed(ENERGY_USAGE, USAGE_GROUP, last)
        assert (await system.http.post(BATCH, json=items)).json()["duplicate"] == 6
    async with ingestion(tmp_path, known=known) as system:
        assert (await system.http.post(BATCH, json=items)).json()["duplicate"] == 6
        assert (await system.http.post(ONE, json=reading(6))).json()["status"] == "accepted"
        ledger = (await system.http.get(f"/actuator/ledger?after={last}")).json()
        assert (ledger["accepted"], ledger["queued"], ledger["duplicate"]) == (7, 1, 18)


async def test_too_much_behind_is_refused_until_it_is_stored(tmp_path: Path) -> None:
    async with ingestion(tmp_path, queue_limit=10) as system:
        assert (await system.http.post(BATCH, json=[reading(n) for n in range(10)])).status_code == 202
        refused = await system.http.post(ONE, json=reading(10))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        system.log.set_committed(ENERGY_USAGE, USAGE_GROUP, (await system.log.read(ENERGY_USAGE))[-1].offset)
        assert (await system.http.post(ONE, json=reading(10))).status_code == 201


async def test_a_full_disk_is_said_and_mends_itself(system: Ingestion) -> None:
    def limit(pages: int) -> Any:
        return lambda connection, jobs: [connection.execute(f"PRAGMA max_page_count = {pages}").get for _ in jobs]

    await system.writer.run(limit(1), None)
    full = await system.http.post(BATCH, json=[reading(n) for n in range(500)])
    assert full.status_code == 507
    health = await system.http.get("/actuator/health")
    assert (health.status_code, health.json()["status"]) == (503, "DOWN")
    assert (await system.http.get("/actuator/ledger")).json()["received"] == 0
    await system.writer.run(limit(1_000_000), None)
    assert (await system.http.post(BATCH, json=[reading(n) for n in range(500)])).json()["accepted"] == 500
    assert (await system.http.get("/actuator/health")).status_code == 200


async def test_a_shelly_status_becomes_readings(system: Ingestion) -> None:
    status = {
        "switch:0": {"id": 0, "apower": 12.5, "aenergy": {"total": 1500.0}, "ret_aenergy": {"total": 500.0}},
        "switch:1": {"id": 1, "apower": 3},
        "sys": {"unixtime": 1_777_629_600},
    }
    answer = await system.http.post("/api/v1/ingestion/shelly/7", json=status)
    assert answer.status_code == 201
    told = [(item["channel"], item["kind"], item["direction"], item["status"]) for item in answer.json()["items"]]
    assert told == [
        ("switch:0", "register", "import", "accepted"),
        ("switch:0", "register", "export", "accepted"),
        ("switch:1", "power", "import", "accepted"),
    ]
    logged = {(m.channel, m.direction): (m.register_kwh, m.power_w, m.timestamp) for m in await system.logged()}
    assert logged == {
        ("switch:0", "import"): (1.0, None, 1_777_629_600_000),
        ("switch:0", "export"): (0.5, None, 1_777_629_600_000),
        ("switch:1", "import"): (None, 3.0, 1_777_629_600_000),
    }
    assert (await system.http.post("/api/v1/ingestion/shelly/7", json={"temperature": 3})).status_code == 422
    assert (await system.http.post("/api/v1/ingestion/shelly/x", json=status)).status_code == 404
    assert (await system.http.post("/api/v1/ingestion/shelly/7", content=b"{")).status_code == 400


async def test_the_simulation_is_started_once_and_stopped_once(system: Ingestion) -> None:
    path = "/api/v1/ingestion/simulation"
    assert (await system.http.post(f"{path}/stop")).status_code == 409
    assert (await system.http.post(f"{path}/start")).status_code == 202
    assert (await system.http.post(f"{path}/start")).status_code == 409
    assert (await system.http.get(f"{path}/status")).json() == {"running": True}
    assert (await system.http.post(f"{path}/stop")).status_code == 200


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.tuples(st.lists(st.integers(0, 30), max_size=8), st.booleans(), st.booleans()), min_size=1, max_size=12
    )
)
async def test_any_split_gives_the_same_readings(tmp_path_factory: pytest.TempPathFactory, calls: Any) -> None:
    """However readings are split, repeated and ordered, over restarts: each once, and the ledger balances."""
    folder = tmp_path_factory.mktemp("split")
    received, expected = 0, set()
    for numbers, single, _ in calls:
        received += len(numbers)
        expected |= set(numbers)
        del single
    position = 0
    while position < len(calls):
        async with ingestion(folder) as system:
            while position < len(calls):
                numbers, single, restart = calls[position]
                position += 1
                items = [reading(n, **({"eventId": f"e{n}"} if n % 3 == 0 else {})) for n in numbers]
                if single:
                    for item in items:
                        assert (await system.http.post(ONE, json=item)).status_code == 201
                else:
                    assert (await system.http.post(BATCH, json=items)).json()["received"] == len(items)
                if restart:
                    break
    async with ingestion(folder) as system:
        logged = await system.logged()
        assert sorted(int(m.timestamp) // 1000 - 1_777_629_600 for m in logged) == sorted(expected)
        ledger = await system.ledger()
        assert ledger["received"] == received
        assert ledger["accepted"] == ledger["queued"] == len(expected)


async def test_a_broken_disk_is_an_answer_and_not_a_silence(system: Ingestion) -> None:
    def break_down(_: apsw.Connection, __: Sequence[object]) -> Sequence[object]:
        raise apsw.IOError("disk I/O error")

    with pytest.raises(WriterStopped):
        await system.writer.run(break_down, None)
    for path, body in ((ONE, GOOD), (BATCH, [GOOD])):
        answer = await system.http.post(path, json=body)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await system.http.get("/actuator/health")).json()["components"]["log"]["status"] == "DOWN"
    assert (await system.http.get("/actuator/health/liveness")).status_code == 200


async def test_a_dead_letter_sent_again_does_not_stop_the_next_start(tmp_path: Path) -> None:
    async with ingestion(tmp_path) as system:
        await system.http.post(ONE, json=GOOD)
        foreign = b'{"deviceId":7,"energyConsumed":1,"timestamp":"2026-05-01T11:00:00Z"}'
        for value in (b"poison", foreign, b"[null]"):
            await system.log.append(ENERGY_USAGE, [Message(None, value, readings=1)])
    async with ingestion(tmp_path) as system:
        assert (await system.http.post(ONE, json=GOOD)).json()["status"] == "duplicate"
        assert (await system.ledger())["queued"] == 4


async def test_the_figures_of_the_ledger_are_metrics(tmp_path: Path) -> None:
    async with ingestion(tmp_path) as system:
        await system.http.post(BATCH, json=[GOOD, GOOD, {}])
    async with ingestion(tmp_path) as system:
        await system.http.post(ONE, json=GOOD)
        page = (await system.http.get("/actuator/prometheus")).text
        for outcome, count in (("received", 4), ("accepted", 1), ("duplicate", 2), ("rejected", 1)):
            assert f'energy_tracker_ingestion_readings{{outcome="{outcome}"}} {count}.0' in page
