"""The six services as processes of their own: a household's energy, foreign clients, poison, alerts and advice."""

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from tests.support.foreign import JavaProducer, java_event, records
from tests.support.mailpit import SERVERS as MAIL_SERVERS
from tests.support.mailpit import mailpit, unique_address
from tests.support.processes import SERVICES, Stack, ago, stack_on
from tests.support.servers import VARIABLES, Servers
from tests.support.truth import DAY_MS, PRECISION_KWH, Truth, iso, spread

pytestmark = [
    pytest.mark.servers(*VARIABLES, *MAIL_SERVERS, "ENERGY_TEST_OLLAMA", "ENERGY_TEST_OLLAMA_MODEL"),
    pytest.mark.asyncio(loop_scope="module"),
]

BATCH = 5_000
BEGIN_MS = (
    round((datetime.now(UTC) - timedelta(days=9)).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()) * 1000
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Run the six services on the servers that the variables name."""
    servers = Servers.named_by(os.environ)
    async with (
        mailpit() as mail,
        stack_on(
            servers,
            tmp_path_factory.mktemp("services"),
            SPRING_MAIL_HOST=mail.host,
            SPRING_MAIL_PORT=str(mail.port),
            SPRING_AI_OLLAMA_BASE_URL=os.environ["ENERGY_TEST_OLLAMA"],
            OLLAMA_MODEL=os.environ["ENERGY_TEST_OLLAMA_MODEL"],
            ENERGY_TRACKER_ADVISER_DEADLINE="PT15S",  # whoever waits here is patient for 30 s
            ENERGY_TRACKER_USAGE_UNKNOWN_DEVICE_PATIENCE="PT12S",
            ENERGY_TRACKER_ALERT_CHECK_INTERVAL="PT2S",
        ) as made,
    ):
        await made.start()
        yield made


async def ledger_of(stack: Stack) -> dict[str, int]:
    return await stack.caught_up()


def change(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return which counts of the ledger have changed, and by how much."""
    return {name: after[name] - before[name] for name in before if after[name] != before[name]}


async def days_of(stack: Stack, user: int, days: int) -> dict[int, dict[int, float]]:
    """Return kWh by day (ms) and device."""
    query = {"from": iso(BEGIN_MS), "to": iso(BEGIN_MS + days * DAY_MS), "resolution": "day"}
    answer = await stack.get("usage", f"/api/v1/usage/{user}/series", **query)
    return {
        device["id"]: {
            round(datetime.fromisoformat(bucket["start"]).timestamp() * 1000): bucket["importKwh"]
            for bucket in device["buckets"]
            if bucket["importKwh"] is not None
        }
        for device in answer["devices"]
    }


def close(found: dict[int, float], expected: dict[int, Fraction]) -> None:
    assert found.keys() == expected.keys()
    wrong = {day: (found[day], float(kwh)) for day, kwh in expected.items() if abs(found[day] - kwh) > PRECISION_KWH}
    assert not wrong


async def test_a_households_energy_per_device_and_day_is_the_sum_of_what_was_sent(stack: Stack) -> None:
    chance = random.Random(7)
    user = await stack.add_user(timeZone="UTC")
    kinds = ("interval", "register", "power")
    devices = {kind: await stack.add_device(user, name=kind, kind=kind, maxHold="PT5M") for kind in kinds}
    sent: list[dict[str, Any]] = []
    truth = Truth()
    registers: dict[int, int] = {}
    powers: list[tuple[int, int]] = []
    register_wh = 1_234_567
    for minute in range(1, 7 * 24 * 60 + 1):
        time_ms = BEGIN_MS + minute * 60_000
        wh, watts = chance.randint(0, 40), chance.choice((0, 0, 85, 1_200))
        truth.took(devices["interval"], time_ms, wh)
        sent.append({"deviceId": devices["interval"], "timestamp": iso(time_ms), "energyConsumed": wh / 1000})
        if minute % 5 == 0:
            register_wh += chance.randint(0, 200)
            registers[time_ms] = register_wh
            sent.append({"deviceId": devices["register"], "timestamp": iso(time_ms), "registerKwh": register_wh / 1000})
        if minute % 3 == 0 and (minute // 600) % 3:  # now and then it says nothing for ten hours
            powers.append((time_ms, watts))
            sent.append({"deviceId": devices["power"], "timestamp": iso(time_ms), "powerW": watts})
    before = await stack.caught_up()
    for at in range(0, len(sent), BATCH):
        answer = await stack.send(*sent[at : at + BATCH])
        assert (answer["accepted"], answer["duplicate"], answer["rejected"]) == (answer["received"], 0, 0)
    stored = await stack.caught_up()
    assert change(before, stored) == dict.fromkeys(("received", "accepted", "stored"), len(sent))

    times = sorted(registers)
    steps = [(time, Fraction(registers[time] - registers[earlier], 1000)) for earlier, time in pairwise(times)]
    by_day = {
        devices["interval"]: spread(truth.intervals[devices["interval"]].items(), DAY_MS),
        devices["register"]: spread([(times[0], Fraction()), *steps], DAY_MS),
        devices["power"]: power_by_day(powers, hold_ms=300_000),
    }
    found = await days_of(stack, user, 8)
    for device, expected in by_day.items():
        close(found[device], expected)
    figures = await stack.get("usage", f"/api/v1/usage/{user}", days=20)
    chance.shuffle(sent)
    for at in range(0, len(sent), BATCH):
        answer = await stack.send(*sent[at : at + BATCH])
        assert answer["rejected"] == 0
    again = await stack.caught_up()
    assert change(stored, again) == dict.fromkeys(("received", "duplicate"), len(sent)), "all of them are repeats"
    assert await days_of(stack, user, 8) == found
    assert await stack.get("usage", f"/api/v1/usage/{user}", days=20) == figures


def power_by_day(powers: list[tuple[int, int]], *, hold_ms: int) -> dict[int, Fraction]:
    sums: dict[int, Fraction] = {}
    following = [time for time, _ in powers[1:]] + [powers[-1][0] + hold_ms]
    for (time, watts), after in zip(powers, following, strict=True):
        at, end = time, min(after, time + hold_ms)
        while at < end:
            day = at // DAY_MS * DAY_MS
            until = min(end, day + DAY_MS)
            sums[day] = sums.get(day, Fraction()) + Fraction(watts * (until - at), 3_600_000_000)
            at = until
    return sums


@pytest.mark.parametrize("old", [True, False], ids=["decimal seconds", "ISO"])
async def test_the_originals_producer_and_a_plain_query_work_unchanged(stack: Stack, old: bool) -> None:
    chance = random.Random(9)
    user = await stack.add_user(timeZone="UTC")
    devices = [await stack.add_device(user), await stack.add_device(await stack.add_user(timeZone="UTC"))]
    truth = Truth()
    values = []
    for number in range(1_000):
        for device in devices:
            time_ms, wh = BEGIN_MS + number * 61_003, chance.randint(0, 99)
            truth.took(device, time_ms, wh)
            values.append(java_event(device, wh / 1000, time_ms, old=old))
    chance.shuffle(values)
    before = await stack.caught_up()
    await JavaProducer(stack).send_until_taken(values)
    stored = await stack.caught_up()
    assert change(before, stored) == dict.fromkeys(("received", "accepted", "stored"), len(values))
    for device in devices:
        sums = await stack.flux(
            f'from(bucket: "{stack.bucket}") |> range(start: 0) |> filter(fn: (r) => '
            f'r._measurement == "energy_usage" and r._field == "energyConsumed" and r.deviceId == "{device}") |> sum()'
        )
        total = float(dict(zip(sums[0], sums[1], strict=True))["_value"])
        assert total == pytest.approx(float(truth.total_kwh(device)), abs=PRECISION_KWH)
    await truth.check_figures(stack, user, devices[:1])

    await JavaProducer(stack).send_until_taken(values)
    again = await stack.caught_up()
    assert change(stored, again) == dict.fromkeys(("received", "duplicate"), len(values))
    await truth.check_figures(stack, user, devices[:1])


def poison_for(device: int) -> dict[str, bytes | None]:
    """What anyone may have written: nothing of it is a reading."""
    good = {"deviceId": device, "energyConsumed": 0.1, "timestamp": ago(hours=5)}

    def with_(**fields: Any) -> bytes:
        return json.dumps(good | fields).encode()

    def without(name: str) -> bytes:
        return json.dumps({key: value for key, value in good.items() if key != name}).encode()

    return {
        "null": None,
        "empty": b"",
        "bad UTF-8": b'{"deviceId": "\xff\xfe"}',
        "not JSON": b"energy?",
        "cut off": with_()[:-9],
        "a number": b"12",
        "a text": b'"reading"',
        "null in JSON": b"null",
        "device null": with_(deviceId=None),
        "no device": without("deviceId"),
        "no energy": without("energyConsumed"),
        "no time": without("timestamp"),
        "device as a text": with_(deviceId="seven"),
        "device too large": with_(deviceId=2**63),
        "energy as a text": with_(energyConsumed="0.1"),
        "energy true": with_(energyConsumed=True),
        "energy negative": with_(energyConsumed=-1),
        "energy infinite": with_(energyConsumed=1).replace(b'"energyConsumed": 1', b'"energyConsumed": 1e999'),
        "NaN": with_(energyConsumed=1).replace(b'"energyConsumed": 1', b'"energyConsumed": NaN'),
        "no zone": with_(timestamp="2026-01-01T10:00:00"),
        "no such day": with_(timestamp="2026-02-30T10:00:00Z"),
        "the year 5138": with_(timestamp="5138-01-01T00:00:00Z"),
        "1970": with_(timestamp=0),
        "two amounts": with_(registerKwh=3),
        "unknown direction": with_(direction="sideways"),
        "nested": b"[" * 100_000,
        "5 000 digits": b'{"deviceId": ' + b"9" * 5_000 + b"}",
        "NUL": b"\x00" * 30,
    }


async def test_poison_of_every_sort_is_set_aside_and_stops_nothing(stack: Stack) -> None:
    user = await stack.add_user(timeZone="UTC")
    device = await stack.add_device(user)
    poison, truth = poison_for(device), Truth()
    values: list[bytes | None] = []
    for number, bad in enumerate(poison.values()):
        for offset in range(3):
            time_ms = BEGIN_MS + (number * 3 + offset) * 60_000
            truth.took(device, time_ms, number)
            values.append(java_event(device, number / 1000, time_ms))
        values.insert(-1, bad)
    before = await stack.caught_up()
    taken_before = await records(stack, "energy-usage")
    assert set(await JavaProducer(stack).send(values)) == {None}
    stored = await stack.caught_up()
    expected = {"received": len(values), "accepted": len(values), "stored": truth.readings, "deadLettered": len(poison)}
    assert change(before, stored) == expected
    await truth.check_figures(stack, user, [device])

    known = {(each.partition, each.offset) for each in taken_before}
    original = {
        (each.partition, each.offset): each.value
        for each in await records(stack, "energy-usage")
        if (each.partition, each.offset) not in known
    }
    dead = await records(stack, "energy-usage.dlt")
    found: dict[bytes, bytes | None] = {}
    for letter in dead:
        assert letter.headers["dead-letter-reason"].strip()
        assert letter.headers["dead-letter-topic"] == b"energy-usage"
        place = int(letter.headers["dead-letter-partition"]), int(letter.headers["dead-letter-offset"])
        if place in original:
            assert (original[place] or b"") == (letter.value or b""), "the original bytes, at the position that is said"
            found[letter.value or b""] = letter.headers["dead-letter-reason"]
    assert found.keys() == {value or b"" for value in poison.values()}
    listed = await stack.get("usage", "/actuator/deadletters", limit=100)
    assert len(listed["items"]) >= len(poison)


async def test_a_device_that_is_registered_late_gets_its_readings(stack: Stack) -> None:
    user = await stack.add_user(timeZone="UTC")
    device = await stack.add_device(user) + 1  # the next one, which does not exist yet
    truth = Truth()
    for number in range(10):
        truth.took(device, BEGIN_MS + number * 600_000, 50)
    values = [java_event(device, 0.05, time_ms) for time_ms in truth.intervals[device]]
    before = await stack.caught_up()
    await JavaProducer(stack).send_until_taken(values)

    async def all_wait() -> bool:
        return change(before, await stack.get("usage", "/api/v1/ledger")).get("queued") == len(values)

    await stack.until(all_wait, "the readings of the unknown device are parked")
    assert await stack.add_device(user) == device
    stored = await stack.caught_up()
    assert change(before, stored) == dict.fromkeys(("received", "accepted", "stored"), len(values))
    await truth.check_figures(stack, user, [device])


async def test_a_device_that_nobody_registers_becomes_dead_letters_and_can_be_replayed(stack: Stack) -> None:
    user = await stack.add_user(timeZone="UTC")
    device = await stack.add_device(user) + 1
    truth = Truth()
    truth.took(device, BEGIN_MS, 50)
    before = await stack.caught_up()
    await JavaProducer(stack).send_until_taken([java_event(device, 0.05, BEGIN_MS)])
    dead = await stack.caught_up()
    assert change(before, dead) == {"received": 1, "accepted": 1, "deadLettered": 1}
    letter = (await records(stack, "energy-usage.dlt"))[-1]
    assert letter.body["deviceId"] == device
    assert await stack.add_device(user) == device
    replayed = await stack.call("POST", "usage", "/actuator/deadletters/replay", {"offsets": [letter.offset]})
    assert replayed.status_code in {200, 202}, replayed.text

    async def taken() -> bool:
        ledger = await stack.get("usage", "/api/v1/ledger")
        assert ledger["balanced"], ledger
        return change(before, ledger) == {"received": 1, "accepted": 1, "stored": 1}

    await stack.until(taken, "the replayed reading is stored")
    await truth.check_figures(stack, user, [device])


async def test_high_usage_is_one_mail_one_episode_and_one_message_for_foreign_consumers(stack: Stack) -> None:
    address = unique_address()
    user = await stack.add_user(energyAlertingThreshold=2.0, email=address)
    device = await stack.add_device(user)
    for minutes, kwh in ((40, 0.1), (20, 1.5), (10, 0.75)):
        reading = {"deviceId": device, "energyConsumed": kwh, "timestamp": ago(minutes=minutes)}
        answer = await stack.call("POST", "ingestion", "/api/v1/ingestion", reading)
        assert (answer.status_code, answer.json()["status"]) == (201, "accepted")
        repeat = await stack.call("POST", "ingestion", "/api/v1/ingestion", reading)
        assert (repeat.status_code, repeat.json()["status"]) == (201, "duplicate")
    episode = (await stack.episodes(user, 1))[0]
    assert (episode["state"], episode["threshold"], episode["rule"]) == ("open", 2.0, "high-usage")
    async with mailpit() as mail:
        (message,) = await mail.mails_to(address)
        assert message["Subject"] == f"Energy Usage Alert for User {user}"
        body = message.get_body(("plain",))
        assert body is not None
        text = str(body.get_content())
        assert episode["message"] in text
        assert "2 kWh" in text or "2.0 kWh" in text, text

    async def told() -> bool:
        return (await stack.episodes(user, 1))[0]["sent"] is True

    await stack.until(told, "the episode is shown as sent")
    told_others = [each.body for each in await records(stack, "energy-alerts") if each.body["userId"] == user]
    (alert,) = told_others
    assert (alert["threshold"], alert["email"], alert["message"]) == (2.0, address, episode["message"])
    assert 2.0 < alert["energyConsumed"] <= 2.35
    assert isinstance(alert["id"], str | int)
    acknowledged = await stack.call("POST", "alert", f"/api/v1/alert/{episode['id']}/acknowledge")
    assert (acknowledged.status_code, acknowledged.json()["state"]) == (200, "acknowledged")
    assert await stack.get("alert", f"/api/v1/alert/user/{user}/count") == {"count": 1}


async def test_insight_answers_with_facts_and_no_invented_number(stack: Stack) -> None:
    user = await stack.add_user(timeZone="UTC")
    device = await stack.add_device(user, type="REFRIGERATOR")
    now_ms = round(datetime.now(UTC).timestamp() * 1000)
    await stack.send(
        *(
            {"deviceId": device, "energyConsumed": 0.02, "timestamp": iso(now_ms - number * 900_000)}
            for number in range(4 * 24 * 6)
        )
    )
    await stack.caught_up()
    expected = await stack.get("usage", f"/api/v1/usage/{user}", days=3)
    for call in ("overview", "saving-tips"):
        answer = await stack.get("insight", f"/api/v1/insight/{call}/{user}")
        assert answer["userId"] == user
        assert answer["tips"]
        assert answer["energyUsage"] > 0
        assert all({"id", "value", "unit", "period", "how"} <= fact.keys() for fact in answer["facts"])
    assert expected["devices"][0]["energyConsumed"] > 0


async def test_errors_are_problems_as_in_one_process(stack: Stack) -> None:
    user = await stack.add_user()
    cases = [
        ("GET", "user", "/api/v1/user/999999", None, 404),
        ("GET", "user", "/api/v1/user/1%27%20OR%201=1--", None, 404),
        ("PUT", "device", "/api/v1/device/999999", {"name": "x", "type": "TV", "location": "", "userId": user}, 404),
        ("DELETE", "device", "/api/v1/device/999999", None, 404),
        ("POST", "device", "/api/v1/device", {"name": "x", "type": "TV", "location": "", "userId": 999999}, 422),
        ("POST", "user", "/api/v1/user", {"name": "x", "is_admin": True}, 422),
        ("GET", "usage", "/api/v1/usage/999999", None, 404),
        *(("GET", "usage", f"/api/v1/usage/{user}?days={days}", None, 422) for days in ("0", "-1", "1000000000", "x")),
        ("GET", "usage", f"/api/v1/usage/{user}/series?from=1926-01-01T00:00:00Z&resolution=hour", None, 422),
        ("GET", "alert", "/api/v1/alert/not-there", None, 404),
        ("POST", "alert", "/api/v1/alert/not-there/acknowledge", None, 404),
        ("GET", "insight", "/api/v1/insight/overview/999999", None, 404),
        ("POST", "ingestion", "/api/v1/ingestion", {}, 422),
        ("POST", "ingestion", "/api/v1/ingestion", {"deviceId": 1, "energyConsumed": "1", "timestamp": ago()}, 422),
        ("POST", "ingestion", "/api/v1/ingestion", {"deviceId": 1, "energyConsumed": 1, "timestamp": 1}, 422),
        ("GET", "ingestion", "/nowhere", None, 404),
        ("DELETE", "usage", "/api/v1/ledger", None, 405),
    ]
    for method, service, path, body, status in cases:
        answer = await stack.call(method, service, path, body)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.headers["content-type"] == "application/problem+json", path
        assert {"type", "title", "status", "detail"} <= answer.json().keys()
    for service in SERVICES:
        health = await stack.call("GET", service, "/actuator/health")
        assert (health.status_code, health.json()["status"]) == (200, "UP")


async def test_a_changed_zone_and_a_deleted_user_reach_every_service(stack: Stack) -> None:
    user = await stack.add_user(timeZone="UTC")
    device = await stack.add_device(user)
    await stack.send({"deviceId": device, "energyConsumed": 1, "timestamp": iso(BEGIN_MS + 20 * 3_600_000)})
    await stack.caught_up()
    body = (await stack.call("GET", "user", f"/api/v1/user/{user}")).json()
    await stack.call("PUT", "user", f"/api/v1/user/{user}", body | {"timeZone": "Asia/Kathmandu"})
    span = {"from": iso(BEGIN_MS), "to": iso(BEGIN_MS + 3 * DAY_MS), "resolution": "day"}

    async def in_nepal() -> bool:
        answer = await stack.get("usage", f"/api/v1/usage/{user}/series", **span)
        return bool(answer["timeZone"] == "Asia/Kathmandu")

    await stack.until(in_nepal, "the zone has changed", patience_s=10)
    assert (await stack.call("DELETE", "user", f"/api/v1/user/{user}")).status_code == 204

    async def gone() -> bool:
        answers = await asyncio.gather(
            stack.call("GET", "usage", f"/api/v1/usage/{user}"),
            stack.call("GET", "insight", f"/api/v1/insight/overview/{user}"),
        )
        return [each.status_code for each in answers] == [404, 404]

    await stack.until(gone, "the user is gone everywhere", patience_s=60)


async def test_no_service_has_grown(stack: Stack) -> None:
    peaks = {process.name: round(process.peak_mib) for process in stack.processes.values()}
    assert max(peaks.values()) < 250, peaks
    stack.check_alive()
