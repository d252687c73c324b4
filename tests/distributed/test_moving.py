"""Moving between the modes on real servers: killed half-way, started again, used, and moved back."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.clock import VirtualClock
from tests.support.processes import PATIENCE_S, PROGRAM, Stack, ago, stack_on
from tests.support.servers import VARIABLES, Servers
from tests.support.system import WholeSystem, system_on

from energy_tracker.cli import exits
from energy_tracker.eventlog.kafka_members import members_of

pytestmark = [pytest.mark.servers(*VARIABLES)]

HOMES = 3
READINGS = 400


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A new installation, of which nothing runs."""
    (tmp_path / "services").mkdir()
    # The folder was used at some other time: what waits in it is to wait here, too.
    patient = {"ENERGY_TRACKER_USAGE_UNKNOWN_DEVICE_PATIENCE": "P3650D"}
    async with stack_on(Servers.named_by(os.environ), tmp_path / "services", **patient) as made:
        yield made


class Moving:
    """The command, in a process of its own."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self.environment = stack.environment | {"ENERGY_TRACKER_HOME": str(home)}

    async def start(self, direction: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, "move", direction, "--json"),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, direction: str, *, code: int = exits.OK) -> dict[str, Any]:
        """Run it to its end, and return what it says."""
        process = await self.start(direction)
        async with asyncio.timeout(PATIENCE_S):
            said, notes = await process.communicate()
        assert process.returncode == code, (process.returncode, said.decode()[-3000:], notes.decode()[-3000:])
        document: dict[str, Any] = json.loads(said)
        return document

    async def run_until(self, direction: str, note: str) -> None:
        """Kill it when it has said something like this; one that has ended by then is fine."""
        process = await self.start(direction)
        assert process.stderr is not None
        async with asyncio.timeout(PATIENCE_S):
            while line := await process.stderr.readline():
                if note in line.decode():
                    break
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.communicate()


async def lived_in(folder: Path) -> dict[str, Any]:
    """Make a data folder that has been used; return what its services answer."""
    clock = VirtualClock()
    async with system_on(folder, clock) as system:
        users = [await system.add_user(energyAlertingThreshold=1.0) for _ in range(HOMES)]
        await system.add_user(name="Gone")
        for user_id in users:
            for kind in ("interval", "power"):
                device_id = await system.add_device(user_id, kind=kind)
                await system.send(*(_reading(system, device_id, kind, number) for number in range(READINGS)))
        await system.send(_reading(system, 1, "interval", 0), {"deviceId": 1})
        await system.send({"deviceId": 99, "energyConsumed": 1.0, "timestamp": system.ago(minutes=1)})
        await system.send({"deviceId": 1, "energyConsumed": 3.0, "timestamp": system.ago(seconds=30)})
        await system.episodes(users[0], 1)
        deleted = await system.call("DELETE", "user", f"/api/v1/user/{system.users[-1]}")
        assert deleted.is_success
        await system.pass_time(30)
        answers = {str(user_id): await system.get("usage", f"/api/v1/usage/{user_id}") for user_id in users}
        outbox = await system.get("alert", "/api/v1/alert/outbox")
        return {
            "users": users,
            "usage": answers,
            "ledger": await system.get("usage", "/api/v1/ledger"),
            "alerts": (await system.get("alert", "/api/v1/alert"))["items"],
            "mails": [mail["messageId"] for mail in outbox["items"]],
            "devices": await system.get("device", "/api/v1/device"),
        }


def _reading(system: WholeSystem, device_id: int, kind: str, number: int) -> dict[str, Any]:
    amount = {"energyConsumed": 0.001 + number / 7_000} if kind == "interval" else {"powerW": 40.0 + number / 3}
    return {"deviceId": device_id, "timestamp": system.ago(hours=2 * READINGS - 2 * number, seconds=1), **amount}


async def test_a_folder_moves_to_services_and_back(stack: Stack, tmp_path: Path) -> None:
    home, back = tmp_path / "home", tmp_path / "back"
    was = await lived_in(home)
    moving = Moving(stack, home)
    for note in ("Table user", "Device 5", "totals of the ledger"):
        await moving.run_until("to-services", note)
    report = await moving.run("to-services")
    assert report["same"], report
    again = await moving.run("to-services")
    assert (again["same"], again["carried"]) == (True, False)

    await stack.start("user", "device", "ingestion", "usage", "alert")
    ledger = await stack.get("usage", "/api/v1/ledger")
    assert ledger == was["ledger"]
    alerts = (await stack.get("alert", "/api/v1/alert"))["items"]
    assert [alert["id"] for alert in alerts] == [alert["id"] for alert in was["alerts"]]
    outbox = await stack.get("alert", "/api/v1/alert/outbox")
    assert [mail["messageId"] for mail in outbox["items"]] == was["mails"], "nobody is told again"
    assert await stack.get("device", "/api/v1/device") == was["devices"]

    refused = await moving.run("to-services", code=exits.FAILED)
    assert "running" in refused["title"]

    new = await stack.add_device(was["users"][0], kind="interval")
    assert new == 1 + max(device["id"] for device in was["devices"]["items"])
    known = {"deviceId": 1, "energyConsumed": 1.0, "timestamp": ago(minutes=5)}
    await stack.send({"deviceId": new, "energyConsumed": 1.5, "timestamp": ago(minutes=4)}, known)
    await stack.until(lambda: _has_stored(stack, was["ledger"]["stored"] + 2), "two more readings are stored")
    for name in ("user", "device", "ingestion", "usage", "alert"):
        await stack[name].stop()

    differs = await moving.run("to-services", code=exits.FAILED)
    assert (differs["same"], differs["carried"]) == (False, False)
    homeward = Moving(stack, back)
    await homeward.run_until("to-folder", "Device 3")
    report = await homeward.run("to-folder")
    assert report["same"], report
    assert report["ledger"]["target"]["stored"] == was["ledger"]["stored"] + 2
    assert sorted(path.name for path in back.glob("*.db*")) == ["log.db", "readings.db", "relational.db"]
    taken = await homeward.run("to-folder", code=exits.FAILED)
    assert "not empty" in taken["title"]

    async with system_on(back, VirtualClock()) as system:
        assert (await system.get("usage", "/api/v1/ledger"))["stored"] == was["ledger"]["stored"] + 2
        assert (await system.get("usage", "/api/v1/ledger"))["balanced"]


async def _has_stored(stack: Stack, stored: int) -> bool:
    return bool((await stack.get("usage", "/api/v1/ledger"))["stored"] == stored)


async def test_a_usage_service_that_starts_meanwhile_ends_the_move(stack: Stack, tmp_path: Path) -> None:
    home = tmp_path / "home"
    await lived_in(home)
    moving = Moving(stack, home)
    process = await moving.start("to-services")
    await stack["usage"].spawn()
    async with asyncio.timeout(PATIENCE_S):
        await process.communicate()
    assert process.returncode in {exits.FAILED, exits.UNREACHABLE, exits.OK}
    assert await members_of(stack.kafka, "usage-service") <= 1
    await stack["usage"].stop()
    assert (await moving.run("to-services"))["same"]


async def test_nothing_is_written_over_what_others_have_stored(stack: Stack, tmp_path: Path) -> None:
    home = tmp_path / "home"
    await lived_in(home)
    await stack.start("user")
    await stack.add_user(name="Somebody else")
    await stack["user"].stop()
    refused = await Moving(stack, home).run("to-services", code=exits.FAILED)
    assert "not empty" in refused["title"]
    assert "user" in refused["detail"]
