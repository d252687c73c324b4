"""The wire contract, read line by line by a client that knows nothing but its text; energies computed by hand."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.clock import VirtualClock
from tests.support.smtp import mail_server
from tests.support.system import WholeSystem, system_on

WEDNESDAY = datetime(2026, 3, 18, 12, tzinfo=UTC)
DAY = "2026-03-17T"  # the day before

JAVA_USER = {
    "id": None,
    "name": "Ann",
    "surname": "Lee",
    "email": "ann@example.org",
    "address": "1 Main Street",
    "alerting": True,
    "energyAlertingThreshold": 5,
}
JAVA_DEVICE = {"id": None, "name": "Heater", "type": "HEATER", "location": "Hall", "userId": 1}


async def buckets(system: WholeSystem, user: int, begin: str, end: str, **query: Any) -> dict[str, list[dict]]:
    """Return the buckets with something in them, by device name; the home's are under `total`."""
    answer = await system.get("usage", f"/api/v1/usage/{user}/series", **{"from": begin, "to": end}, **query)
    found = {device["name"]: device["buckets"] for device in answer["devices"]} | {"total": answer["total"]}
    for each in found.values():
        assert all((b["coverage"] == 0) == (b["importKwh"] is None and b["exportKwh"] is None) for b in each)
    return {name: [b for b in each if b["coverage"]] for name, each in found.items()}


def imports(found: list[dict]) -> dict[str, float]:
    return {b["start"][8:16]: b["importKwh"] for b in found}


def values(device: int, field: str, *pairs: tuple[str, float], day: str = DAY) -> list[dict]:
    return [{"deviceId": device, field: amount, "timestamp": f"{day}{time}Z"} for time, amount in pairs]


async def total_kwh(system: WholeSystem, user: int, days: int = 3) -> dict[str, float | None]:
    answer = await system.get("usage", f"/api/v1/usage/{user}", days=days)
    return {device["name"]: device["energyConsumed"] for device in answer["devices"]}


async def test_the_originals_client_gets_what_it_expects(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        call = system.call
        created = await call("POST", "user", "/api/v1/user/create", JAVA_USER)
        assert created.status_code == 201
        assert JAVA_USER.items() - {("id", None)} <= created.json().items()
        user = created.json()["id"]
        assert isinstance(user, int)
        again = await call("POST", "user", "/api/v1/user", JAVA_USER | {"email": "ANN@example.org"})
        assert again.status_code == 409
        assert (await call("GET", "user", f"/api/v1/user/{user}")).json() == created.json()
        zoned = await call("PUT", "user", f"/api/v1/user/{user}", JAVA_USER | {"timeZone": "Asia/Kathmandu"})
        assert zoned.json()["timeZone"] == "Asia/Kathmandu"
        put = await call("PUT", "user", f"/api/v1/user/{user}", JAVA_USER | {"id": user, "surname": "Kim"})
        assert (put.status_code, put.json()["surname"], put.json()["timeZone"]) == (200, "Kim", "Asia/Kathmandu")
        stale = await call(
            "PUT", "user", f"/api/v1/user/{user}", JAVA_USER, headers={"If-Match": zoned.headers["etag"]}
        )
        assert stale.status_code == 412

        made = await call("POST", "device", "/api/v1/device/create", JAVA_DEVICE)
        assert (made.status_code, made.json()["kind"], made.json()["maxHold"]) == (201, "interval", "PT5M")
        device = made.json()["id"]
        power = {"kind": "power", "maxHold": "PT1M", "silentAfter": "PT1H", "ratedPower": 2000}
        assert (await call("PUT", "device", f"/api/v1/device/{device}", JAVA_DEVICE | power)).status_code == 200
        kept = await call("PUT", "device", f"/api/v1/device/{device}", JAVA_DEVICE | {"name": "Oven", "id": device})
        assert (kept.status_code, kept.json()["name"]) == (200, "Oven")
        assert power.items() <= kept.json().items()
        assert [each["id"] for each in await system.get("device", f"/api/v1/device/user/{user}")] == [device]
        assert await system.get("device", "/api/v1/device/user/77") == []

        await system.look_around()
        reading = {"deviceId": device, "energyConsumed": 1, "timestamp": system.ago(minutes=1)}
        assert (await call("POST", "ingestion", "/api/v1/ingestion", reading)).status_code == 201
        repeat = await call("POST", "ingestion", "/api/v1/ingestion", reading)
        assert (repeat.status_code, repeat.json()["status"]) == (201, "duplicate")
        await system.caught_up()
        usage = await system.get("usage", f"/api/v1/usage/{user}", days=3)
        expected = {"id": device, "name": "Oven", "type": "HEATER", "location": "Hall", "userId": user}
        assert usage["userId"] == user
        assert (expected | {"energyConsumed": 1.0}).items() <= usage["devices"][0].items()
        for insight in ("overview", "saving-tips"):
            answer = await system.get("insight", f"/api/v1/insight/{insight}/{user}")
            assert (answer["userId"], answer["energyUsage"]) == (user, 1.0)
            assert answer["tips"]
            assert all({"id", "value", "unit", "period", "how"} <= fact.keys() for fact in answer["facts"])

        for service, path in (("device", f"device/{device}"), ("user", f"user/{user}")):
            assert (await call("DELETE", service, f"/api/v1/{path}")).status_code == 204
            for method, body in (
                ("GET", None),
                ("DELETE", None),
                ("PUT", JAVA_USER if service == "user" else JAVA_DEVICE),
            ):
                gone = await call(method, service, f"/api/v1/{path}", body)
                assert (gone.status_code, gone.headers["content-type"]) == (404, "application/problem+json")


async def test_lists_are_paged_without_gaps_or_repeats(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        user = await system.add_user()
        devices = [await system.add_device(user, name=f"Plug {number}") for number in range(5)]
        await system.send(*values(devices[0], "energyConsumed", *((f"10:{m:02d}:00", 0.1) for m in range(7))))
        await system.caught_up()
        for service, path, count in (("device", "/api/v1/device", 5), ("usage", f"/api/v1/usage/{user}/readings", 7)):
            seen, cursor = [], {}
            while True:
                page = await system.get(service, path, limit=2, **cursor)
                assert len(page["items"]) <= 2
                seen += page["items"]
                if page["next"] is None:
                    break
                cursor = {"cursor": page["next"]}
            assert len(seen) == len({str(each) for each in seen}) == count
        times = [each["timestamp"] for each in seen]
        assert times == sorted(times)


async def test_an_interval_is_spread_over_its_time(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        user = await system.add_user(timeZone="UTC")
        meter = await system.add_device(user, name="meter")
        sub = await system.add_device(user, name="sub", parentId=meter)
        solar = await system.add_device(user, name="solar", direction="export")
        await system.send(
            *values(meter, "energyConsumed", ("20:07:00", 0.3), ("20:37:00", 0.6)),
            *values(meter, "energyConsumed", ("00:37:00", 4.8), day="2026-03-18T"),
            {
                "deviceId": meter,
                "energyConsumed": 1,
                "timestamp": "2026-03-18T06:00:00Z",
                "since": "2026-03-18T06:30:00+01:00",
            },
            {"deviceId": meter, "energyConsumed": 0.5, "direction": "export", "timestamp": f"{DAY}20:37:00Z"},
            *values(sub, "energyConsumed", ("20:10:00", 0.1)),
            *values(solar, "energyConsumed", ("20:15:00", 2.0)),
        )
        await system.caught_up()
        found = await buckets(system, user, f"{DAY}20:00:00Z", "2026-03-18T07:00:00Z", resolution="hour")
        # 0.3 in 20:00-20:15; 0.6 in 20:07-20:37; 1.2 an hour from 20:37 to 00:37; 1 in 05:30-06:00
        hours = {"17T20:00": 1.36, "17T21:00": 1.2, "17T22:00": 1.2, "17T23:00": 1.2, "18T00:00": 0.74, "18T05:00": 1.0}
        assert imports(found["meter"]) == pytest.approx(hours)
        assert imports(found["total"]) == pytest.approx(hours), "a sub-meter is in its parent already"
        assert [b["estimatedKwh"] for b in found["meter"]] == pytest.approx([0.46, 1.2, 1.2, 1.2, 0.74, 0.0])
        assert [b["coverage"] for b in found["meter"]] == pytest.approx([1, 1, 1, 1, 37 / 60, 0.5])
        assert imports(found["sub"]) == {"17T20:00": 0.1}
        assert (found["solar"][0]["exportKwh"], found["solar"][0]["importKwh"]) == (2.0, None)
        assert found["total"][0]["exportKwh"] == 2.5
        days = await buckets(system, user, f"{DAY}00:00:00Z", "2026-03-19T00:00:00Z", resolution="day")
        assert imports(days["total"]) == pytest.approx({"17T00:00": 4.96, "18T00:00": 1.74})
        weeks = await buckets(system, user, "2026-03-09T00:00:00Z", "2026-03-23T00:00:00Z", resolution="week")
        assert imports(weeks["total"]) == pytest.approx({"16T00:00": 6.7}), "weeks begin on Monday"
        assert (await total_kwh(system, user, days=1))["meter"] == pytest.approx(6.7)

        before = await system.call("GET", "user", f"/api/v1/user/{user}")
        moved = before.json() | {"timeZone": "Asia/Kathmandu"}
        assert (await system.call("PUT", "user", f"/api/v1/user/{user}", moved)).status_code == 200
        await system.pass_time(10)
        days = await buckets(system, user, "2026-03-16T18:15:00Z", "2026-03-18T18:15:00Z", resolution="day")
        assert imports(days["total"]) == pytest.approx({"17T18:15": 6.7}), "midnight is at 18:15 of UTC"


async def test_registers_are_read_as_people_read_them(tmp_path: Path) -> None:
    def quarters(*amounts: float) -> list[tuple[str, float]]:
        return [(f"{n // 4:02d}:{n % 4 * 15:02d}:00", amount) for n, amount in enumerate(amounts)]

    # what the register showed each quarter of an hour, and the energy that it means
    cases = {
        "baseline": ([41.0], 0.0),
        "plain": ([100.0, 100.5, 101.0], 1.0),
        "glitch": ([397.11, 0.0, 413.50, 414.0], 16.89),
        "short glitch": ([3.737, 0.0, 3.746, 3.75], 0.013),
        "jitter": ([215.7, 215.695, 215.7, 215.695, 215.7, 215.695, 215.7], 0.0),
        "jitter and use": ([10.0, 10.3, 10.295, 10.6], 0.6),
        "reset": ([102.0, 102.5, 0.2, 0.4, 0.6, 0.8], 1.3),
        "rollover": ([9999.0, 9999.5, 0.0, 0.5, 1.0], 2.0),
        "swap": ([500.0, 500.5, 123.0, 123.5, 124.0], 1.5),
    }
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        user = await system.add_user(timeZone="UTC")
        for name, (amounts, _) in cases.items():
            device = await system.add_device(user, name=name, kind="register")
            await system.send(*values(device, "registerKwh", *quarters(*amounts)))
        await system.caught_up()
        measured = await total_kwh(system, user)
        assert {name: measured[name] or 0.0 for name in cases} == pytest.approx(
            {name: kwh for name, (_, kwh) in cases.items()}
        )


async def test_a_power_holds_until_the_next_and_no_longer_than_it_may(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        user = await system.add_user(timeZone="UTC")
        plug = await system.add_device(user, name="plug", kind="power")
        await system.send(*values(plug, "powerW", ("10:00:00", 1000), ("10:03:00", 2000), ("10:58:00", 600)))
        await system.caught_up()
        found = await buckets(system, user, f"{DAY}00:00:00Z", f"{DAY}12:00:00Z")
        # 1 kW for 3 min, 2 kW for 5 of 55 min, 0.6 kW for 5 min, of which 3 are in the next hour
        assert imports(found["plug"]) == pytest.approx({"17T10:00": 0.05 + 1 / 6 + 0.02, "17T11:00": 0.03})
        assert [b["coverage"] for b in found["plug"]] == pytest.approx([10 / 60, 3 / 60])


async def test_every_figure_can_be_computed_again_from_its_explanation(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        user = await system.add_user(timeZone="UTC")
        devices = {
            kind: await system.add_device(user, kind=kind, name=kind) for kind in ("interval", "register", "power")
        }
        await system.send(
            *values(devices["interval"], "energyConsumed", ("01:00:00", 0.3), ("04:20:00", 3.3), ("05:00:00", 0.1)),
            *values(
                devices["register"], "registerKwh", ("01:00:00", 5), ("03:00:00", 0), ("04:10:00", 5.7), ("06:00:00", 8)
            ),
            *values(devices["power"], "powerW", ("02:58:00", 1234.5), ("04:00:00", 777), ("04:14:59", 10)),
        )
        await system.caught_up()
        for begin, end in (("00:00", "12:00"), ("03:00", "04:15")):
            span = {"from": f"{DAY}{begin}:00Z", "to": f"{DAY}{end}:00Z"}
            for device in devices.values():
                answer = await system.get("usage", f"/api/v1/usage/{user}/explain", deviceId=device, **span)
                again_mj = sum(step["withinMj"] for stream in answer["streams"] for step in stream["steps"])
                assert answer["importKwh"] == pytest.approx(again_mj / 3.6e9, abs=1e-9)


async def test_no_order_repetition_or_lateness_changes_an_answer(tmp_path: Path) -> None:
    chance = random.Random(5)
    quarters = [f"{hour:02d}:{minute:02d}:00" for hour in range(8) for minute in (0, 15, 30, 45)]
    register = [round(9_997 + number * 0.2, 3) % 10_000 for number in range(len(quarters))]

    def readings(devices: list[int]) -> list[dict]:
        return [
            *values(devices[0], "energyConsumed", *((time, 0.1 + n % 3 / 10) for n, time in enumerate(quarters))),
            *values(devices[1], "registerKwh", *zip(quarters, register, strict=True)),
            *values(devices[2], "powerW", *((time, 100.0 * (n % 5)) for n, time in enumerate(quarters))),
        ]

    async def answers(folder: Path, seed: int | None) -> list[Any]:
        clock = VirtualClock(WEDNESDAY)
        async with system_on(folder, clock) as system:
            user = await system.add_user(timeZone="Europe/Berlin")
            devices = [await system.add_device(user, name=k, kind=k) for k in ("interval", "register", "power")]
            sent = readings(devices)
            if seed is not None:
                sent = sent + chance.sample(sent, 20)
                chance.shuffle(sent)
            half = len(sent) // 2
            for at in range(0, half, 7):
                await system.send(*sent[at : min(at + 7, half)])
        async with system_on(folder, clock) as system:
            for each in sent[half:]:
                assert (await system.call("POST", "ingestion", "/api/v1/ingestion", each)).status_code == 201
            await system.caught_up()
            ledger = await system.get("usage", "/api/v1/ledger")
            assert (ledger["accepted"], ledger["stored"], ledger["balanced"]) == (96, 96, True)
            span = {"from": f"{DAY}00:00:00Z", "to": "2026-03-18T00:00:00Z"}
            found = [await system.get("usage", f"/api/v1/usage/{user}/series", **span)]
            path = f"/api/v1/usage/{user}/explain"
            receipts = [await system.get("usage", path, deviceId=device, **span) for device in devices]
            for reading in (
                reading for receipt in receipts for part in receipt["streams"] for reading in part["readings"]
            ):
                del reading["receivedAt"]  # when it came is what differs
            return found + receipts

    orderly = await answers(tmp_path / "orderly", None)
    assert await answers(tmp_path / "shuffled", 1) == orderly


async def test_a_reading_shows_at_once(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        user = await system.add_user(timeZone="Asia/Kolkata")
        device = await system.add_device(user, name="kettle")
        now_ms = system.clock.now_ms()
        await system.send({"deviceId": device, "energyConsumed": 0.25, "timestamp": system.ago()})
        async with asyncio.timeout(5):
            while (await total_kwh(system, user))["kettle"] is None:
                await system.clock.settle()
        assert system.clock.now_ms() == now_ms, "nothing waits for a clock"
        for resolution in ("hour", "day", "week", "month"):
            answer = await system.get("usage", f"/api/v1/usage/{user}/series", resolution=resolution)
            assert answer["total"][-1]["importKwh"] == 0.25
        assert (await system.get("insight", f"/api/v1/insight/overview/{user}"))["energyUsage"] == 0.25


async def test_the_ledger_is_balanced_at_every_moment(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        user = await system.add_user()
        devices = [await system.add_device(user, name=f"{n}") for n in range(4)]
        working = True

        async def send(device: int) -> None:
            chance = random.Random(device)
            for _ in range(25):
                second = chance.randrange(3_000)
                good = {"deviceId": device, "energyConsumed": 0.1, "timestamp": system.ago(seconds=second)}
                await system.send(good, good, good | {"energyConsumed": -1}, good | {"deviceId": 999})

        async def look() -> int:
            looks = 0
            while working:
                ledger = await system.get("usage", "/api/v1/ledger")
                assert ledger["balanced"], ledger
                assert ledger["received"] == ledger["accepted"] + ledger["duplicate"] + ledger["rejected"], ledger
                assert ledger["accepted"] == ledger["stored"] + ledger["queued"] + ledger["deadLettered"], ledger
                looks += 1
            return looks

        looking = asyncio.create_task(look())
        await asyncio.gather(*(send(device) for device in devices))
        working = False
        assert await looking > 3
        await system.pass_time(310)
        await system.caught_up()
        ledger = await system.get("usage", "/api/v1/ledger")
        assert (ledger["received"], ledger["rejected"], ledger["queued"]) == (400, 100, 0)


async def test_high_usage_is_told_once_above_and_ends_below(tmp_path: Path) -> None:
    async with (
        mail_server() as server,
        system_on(
            tmp_path, VirtualClock(WEDNESDAY), SPRING_MAIL_HOST="127.0.0.1", SPRING_MAIL_PORT=str(server.port)
        ) as system,
    ):
        home = await system.add_user(energyAlertingThreshold=2.0)
        others = [
            await system.add_user(energyAlertingThreshold=0),
            await system.add_user(energyAlertingThreshold=None),
            await system.add_user(energyAlertingThreshold=1.0, alerting=False),
        ]
        device = await system.add_device(home)
        large = [await system.add_device(other) for other in others]
        await system.send(
            *({"deviceId": each, "energyConsumed": 9, "timestamp": system.ago(minutes=1)} for each in large)
        )

        def interval(kwh: float, **ago: float) -> dict[str, Any]:
            begun = timedelta(**ago) + timedelta(minutes=1)
            since = system.ago(seconds=begun.total_seconds())
            return {"deviceId": device, "energyConsumed": kwh, "timestamp": system.ago(**ago), "since": since}

        await system.send(interval(1.0, minutes=30), interval(1.0, minutes=5))
        await system.caught_up()
        await system.pass_time(20)
        assert await system.get("alert", f"/api/v1/alert/user/{home}") == [], "exactly the threshold is not above it"
        await system.send(interval(0.001, seconds=5))
        episode = (await system.episodes(home, 1))[0]
        assert {
            "id",
            "userId",
            "rule",
            "state",
            "openedAt",
            "message",
            "threshold",
            "energyConsumed",
            "sent",
        } <= episode.keys()
        assert (episode["state"], episode["threshold"]) == ("open", 2.0)
        assert 2.0 < episode["energyConsumed"] <= 2.001, "what the hour held when it passed the threshold"

        async def mailed() -> bool:
            return len(server.taken) >= 1

        await system.until(mailed)
        mail = server.messages[0]
        assert mail["Subject"] == f"Energy Usage Alert for User {home}"
        text = str(mail.get_body(("plain",)).get_content())
        assert episode["message"] in text
        assert "2.0 kWh" in text or "2 kWh" in text, text
        assert await system.get("alert", f"/api/v1/alert/user/{home}/count") == {"count": 1}
        acknowledged = await system.call("POST", "alert", f"/api/v1/alert/{episode['id']}/acknowledge")
        assert (acknowledged.status_code, acknowledged.json()["state"]) == (200, "acknowledged")

        await system.pass_time(31 * 60)  # the first kWh is older than the hour now
        ended = await system.episodes(home, 1, state="ended")
        assert ended[0]["id"] == episode["id"]
        assert ended[0]["endedAt"] is not None
        for other in others:
            assert await system.get("alert", f"/api/v1/alert/user/{other}") == []


async def test_the_simulation_starts_and_stops_once(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        await system.add_device(await system.add_user())
        path = "/api/v1/ingestion/simulation"
        for call, status, runs in (
            ("stop", 409, False),
            ("start", 202, True),
            ("start", 409, True),
            ("stop", 200, False),
        ):
            assert (await system.call("POST", "ingestion", f"{path}/{call}")).status_code == status
            assert (await system.get("ingestion", f"{path}/status"))["running"] is runs


async def test_a_shellys_status_is_a_reading(tmp_path: Path) -> None:
    gen1 = {"relays": [{"ison": True}], "meters": [{"power": 120.5, "is_valid": True, "total": 60_000}]}
    gen2 = {"id": 0, "apower": 50.1, "aenergy": {"total": 1_500.0, "by_minute": [0, 0, 0], "minute_ts": 1_773_835_000}}
    async with system_on(tmp_path, VirtualClock(WEDNESDAY)) as system:
        user = await system.add_user()
        for body, field, kwh in ((gen1, "total", 1.0), (gen2, "aenergy", 1.5)):
            device = await system.add_device(user, kind="register", name=field)
            answer = await system.call("POST", "ingestion", f"/api/v1/ingestion/shelly/{device}", body)
            assert answer.status_code == 201, answer.text
            await system.caught_up()
            read = await system.get("usage", f"/api/v1/usage/{user}/readings", deviceId=device)
            assert [each["registerKwh"] for each in read["items"]] == [kwh]  # 60 000 watt-minutes, 1 500 Wh
