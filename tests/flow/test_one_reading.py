"""One reading through everything: HTTP, log, store, usage answer, alert, mail."""

from pathlib import Path

import pytest
from tests.support.clock import VirtualClock
from tests.support.smtp import MailServer, mail_server
from tests.support.system import WholeSystem, system_on


def settings_of(server: MailServer) -> dict[str, str]:
    return {"SPRING_MAIL_HOST": "127.0.0.1", "SPRING_MAIL_PORT": str(server.port)}


async def received(system: WholeSystem, server: MailServer, count: int) -> None:
    async def enough() -> bool:
        return len(server.taken) >= count

    await system.until(enough)


async def test_from_a_reading_to_the_usage_answer(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock()) as system:
        user = await system.add_user()
        device = await system.add_device(user, name="Kettle", location="Kitchen")
        reading = {"deviceId": device, "energyConsumed": 0.25, "timestamp": system.ago(minutes=1)}
        response = await system.call("POST", "ingestion", "/api/v1/ingestion", reading)
        assert response.status_code == 201
        assert response.json()["status"] == "accepted"
        await system.caught_up()
        usage = await system.get("usage", f"/api/v1/usage/{user}", days=3)
        assert usage["devices"][0]["energyConsumed"] == 0.25
        assert usage["devices"][0]["name"] == "Kettle"


async def test_a_second_start_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with system_on(tmp_path, clock) as system:
        user = await system.add_user()
        device = await system.add_device(user, kind="register")
        await system.send({"deviceId": device, "registerKwh": 100.0, "timestamp": system.ago(minutes=30)})
    async with system_on(tmp_path, clock) as system:
        again = await system.send(
            {"deviceId": device, "registerKwh": 100.0, "timestamp": system.ago(minutes=30)},
            {"deviceId": device, "registerKwh": 100.5, "timestamp": system.ago(minutes=15)},
        )
        assert (again["accepted"], again["duplicate"]) == (1, 1)
        await system.caught_up()
        usage = await system.get("usage", f"/api/v1/usage/{user}", days=1)
        assert usage["devices"][0]["energyConsumed"] == pytest.approx(0.5)
        ledger = await system.get("usage", "/api/v1/ledger")
        assert ledger == {
            "received": 3,
            "accepted": 2,
            "duplicate": 1,
            "rejected": 0,
            "stored": 2,
            "queued": 0,
            "deadLettered": 0,
            "balanced": True,
        }


async def test_high_usage_becomes_one_episode_and_two_mails(tmp_path: Path) -> None:
    async with mail_server() as server, system_on(tmp_path, VirtualClock(), **settings_of(server)) as system:
        user = await system.add_user(energyAlertingThreshold=1.0)
        device = await system.add_device(user)
        await system.send(
            {"deviceId": device, "energyConsumed": 0.7, "timestamp": system.ago(minutes=10)},
            {"deviceId": device, "energyConsumed": 0.7, "timestamp": system.ago(minutes=1)},
        )
        episode = (await system.episodes(user, 1))[0]
        assert (episode["rule"], episode["state"]) == ("high-usage", "open")
        assert episode["energyConsumed"] == pytest.approx(1.4)
        await received(system, server, 1)
        await system.send({"deviceId": device, "energyConsumed": 0.1, "timestamp": system.ago(seconds=5)})
        await system.pass_time(3_700)
        ended = await system.episodes(user, 1, state="ended")
        assert [found["id"] for found in ended] == [episode["id"]]
        await received(system, server, 2)
        assert server.messages[0]["Subject"] == f"Energy Usage Alert for User {user}"
        assert len(await system.get("alert", f"/api/v1/alert/user/{user}")) == 1


async def test_a_threshold_that_is_met_exactly_is_not_passed(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock()) as system:
        user = await system.add_user(energyAlertingThreshold=1.4)
        device = await system.add_device(user)
        await system.send(
            {"deviceId": device, "energyConsumed": 0.7, "timestamp": system.ago(minutes=10)},
            {"deviceId": device, "energyConsumed": 0.7, "timestamp": system.ago(minutes=1)},
        )
        await system.caught_up()
        await system.pass_time(30)
        assert await system.get("alert", f"/api/v1/alert/user/{user}") == []


async def test_a_silent_device_is_noticed_and_its_return_too(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock()) as system:
        user = await system.add_user()
        device = await system.add_device(user, silentAfter="PT10M", name="Freezer")
        await system.send({"deviceId": device, "energyConsumed": 0.1, "timestamp": system.ago(minutes=1)})
        await system.caught_up()
        await system.pass_time(560)
        opened = await system.episodes(user, 1)
        assert (opened[0]["rule"], opened[0]["deviceId"], opened[0]["state"]) == ("silent-device", device, "open")
        await system.send({"deviceId": device, "energyConsumed": 0.1, "timestamp": system.ago(seconds=1)})
        await system.episodes(user, 1, state="ended")


async def test_history_makes_episodes_without_mails(tmp_path: Path) -> None:
    async with mail_server() as server, system_on(tmp_path, VirtualClock(), **settings_of(server)) as system:
        user = await system.add_user(energyAlertingThreshold=1.0)
        live = await system.add_device(user, name="Live")
        late = await system.add_device(user, name="Late", kind="power")
        await system.send({"deviceId": live, "energyConsumed": 0.1, "timestamp": system.ago(minutes=2)})
        await system.caught_up()
        history = [
            {
                "deviceId": late,
                "powerW": 3_000.0 if 60 < minute < 180 else 50.0,
                "timestamp": system.ago(hours=30, minutes=-minute),
            }
            for minute in range(300)
        ]
        await system.send(*history)
        await system.caught_up()
        await system.pass_time(11)
        found = await system.episodes(user, 1)
        assert [(episode["state"], episode["rule"]) for episode in found] == [("ended", "high-usage")]
        assert server.taken == []


async def test_readings_of_a_device_that_is_registered_later_are_kept(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock()) as system:
        user = await system.add_user()
        await system.send({"deviceId": 1, "energyConsumed": 0.1, "timestamp": system.ago(minutes=1)})

        async def parked() -> bool:
            ledger = await system.get("usage", "/api/v1/ledger")
            return bool(ledger["queued"] == 1 and ledger["balanced"])

        await system.until(parked)
        assert await system.add_device(user) == 1
        await system.caught_up()
        usage = await system.get("usage", f"/api/v1/usage/{user}", days=1)
        assert usage["devices"][0]["energyConsumed"] == pytest.approx(0.1)


async def test_readings_of_a_device_that_nobody_registers_become_dead_letters(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock()) as system:
        await system.send({"deviceId": 99, "energyConsumed": 0.1, "timestamp": system.ago(minutes=1)})
        await system.pass_time(310)
        await system.caught_up()
        ledger = await system.get("usage", "/api/v1/ledger")
        assert (ledger["deadLettered"], ledger["stored"], ledger["balanced"]) == (1, 0, True)


async def test_a_deleted_user_takes_devices_and_readings_along(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock()) as system:
        user = await system.add_user()
        device = await system.add_device(user)
        await system.send({"deviceId": device, "energyConsumed": 0.1, "timestamp": system.ago(minutes=1)})
        await system.caught_up()
        assert (await system.call("DELETE", "user", f"/api/v1/user/{user}")).status_code == 204

        async def erased() -> bool:
            answer = await system.call("GET", "usage", f"/api/v1/usage/{user}")
            devices = await system.get("device", f"/api/v1/device/user/{user}")
            late = await system.send({"deviceId": device, "energyConsumed": 0.2, "timestamp": system.ago()})
            return answer.status_code == 404 and devices == [] and late["rejected"] == 1

        await system.until(erased)
        await system.caught_up()
        import apsw

        readings = apsw.Connection(str(tmp_path / "readings.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            assert readings.execute("SELECT count(*) FROM reading").get == 0
            assert readings.execute("SELECT count(*) FROM quarter_hour").get == 0
        finally:
            readings.close()


async def test_dead_letters_come_back_once_their_device_is_registered(tmp_path: Path) -> None:
    async with system_on(tmp_path, VirtualClock()) as system:
        user = await system.add_user()
        await system.send({"deviceId": 1, "energyConsumed": 0.1, "timestamp": system.ago(minutes=1)})
        await system.pass_time(310)
        await system.caught_up()
        offsets: list[int] = []

        async def listed() -> bool:
            page = await system.get("usage", "/actuator/deadletters")
            offsets[:] = [letter["offset"] for letter in page["items"]]
            return len(offsets) > 0

        async def replay() -> None:
            answer = await system.call("POST", "usage", "/actuator/deadletters/replay", {"offsets": offsets[:1]})
            assert (answer.status_code, answer.json()) == (200, {"replayed": 1})

        async def ledger_is(stored: int, dead_lettered: int) -> None:
            async def balanced() -> bool:
                ledger = await system.get("usage", "/api/v1/ledger")
                return (ledger["stored"], ledger["deadLettered"], ledger["balanced"]) == (stored, dead_lettered, True)

            await system.until(balanced)

        await system.until(listed)
        await replay()  # too early: it is a dead letter again
        await ledger_is(0, 1)
        assert await system.add_device(user) == 1
        await replay()
        await ledger_is(1, 0)
        await replay()  # once more changes nothing
        await system.pass_time(1)
        await ledger_is(1, 0)
        usage = await system.get("usage", f"/api/v1/usage/{user}", days=1)
        assert usage["devices"][0]["energyConsumed"] == pytest.approx(0.1)
        unknown = await system.call("POST", "usage", "/actuator/deadletters/replay", {"offsets": [10_000]})
        assert unknown.status_code == 404
        for impossible in (-1, -(2**80), 2**63):
            asked = {"offsets": [*offsets[:1], impossible]}
            refused = await system.call("POST", "usage", "/actuator/deadletters/replay", asked)
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/offsets/1")
