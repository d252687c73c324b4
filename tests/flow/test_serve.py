"""Each service in a process of its own: it starts without the others, ends when told to, and says what it needs."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL
from tests.support.command_line import CommandLine
from tests.support.relational import new_database

from energy_tracker.kit.clock import SystemClock
from energy_tracker.settings import InvalidConfiguration, load_settings
from energy_tracker.wiring.folder import FolderInUse
from energy_tracker.wiring.http_server import PortTaken
from energy_tracker.wiring.modes import SERVICES
from energy_tracker.wiring.serving import serving
from energy_tracker.wiring.serving_alone import RunningAlone, serving_alone

PROGRAM = (sys.executable, "-c", "from energy_tracker.cli.main import main; main()")
NOBODY = "http://127.0.0.1:9"
NO_PEERS = {f"{name}_SERVICE_URL": f"{NOBODY}/api" for name in ("USER", "DEVICE", "USAGE")}
PATIENCE_S = 120.0
OTHER_NAME = {"Host": "usage-service:8083"}


def environment(home: Path, **variables: str) -> dict[str, str]:
    ports = {f"ENERGY_TRACKER_{service.upper()}_PORT": "0" for service in SERVICES}
    return {"ENERGY_TRACKER_HOME": str(home), **ports, **NO_PEERS, **variables}


@asynccontextmanager
async def alone(service: str, home: Path, **variables: str) -> AsyncIterator[tuple[RunningAlone, httpx.AsyncClient]]:
    settings = load_settings(environment(home, **variables))
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving_alone(service, settings=settings, clock=SystemClock()))
        http = httpx.AsyncClient(base_url=running.url, trust_env=False)
        yield running, await stack.enter_async_context(http)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - what happens elsewhere has no event to wait for
            await asyncio.sleep(0.02)


async def serve(*words: str, **variables: str) -> asyncio.subprocess.Process:
    kept = {name: text for name, text in os.environ.items() if "ENERGY" not in name and "SPRING" not in name}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *PROGRAM, "serve", *words, env=kept | variables, stdout=pipe, stderr=pipe
    )


async def said(process: asyncio.subprocess.Process) -> str:
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert out == b""
    return err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_serves_until_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    process = await serve("insight", **environment(tmp_path / "home"))
    assert process.stderr is not None
    lines = []
    async with asyncio.timeout(PATIENCE_S):
        while b"listens at" not in (lines or [b""])[-1]:
            lines.append(await process.stderr.readline())
    url = lines[-1].decode().split()[-1]
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        assert (await http.get("/actuator/info")).json()["app"]["name"] == "insight-service"
        assert (await http.get("/api/v1/insight/overview/1")).status_code == 503, "user-service is not there"
    process.send_signal(number)
    assert "insight-service has stopped" in await said(process)
    assert process.returncode == 0
    assert not (tmp_path / "home").exists(), "a service without files needs no folder"


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("console",), 2, "no web console in this version"),
        (("users",), 2, "user, device, ingestion, usage, alert or insight"),
        (("alert",), 4, "SPRING_KAFKA_BOOTSTRAP_SERVERS"),
        (("ingestion",), 4, "SPRING_KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
async def test_what_cannot_be_served_is_said(tmp_path: Path, words: tuple[str, ...], code: int, named: str) -> None:
    process = await serve(*words, **environment(tmp_path))
    assert named in await said(process)
    assert process.returncode == code


async def test_user_and_device_start_in_any_order_and_find_each_other(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    user_url = f"http://127.0.0.1:{port}/api/v1/user"
    device = {"name": "Fridge", "type": "REFRIGERATOR", "location": "", "userId": 1}
    async with alone("device", tmp_path / "device", USER_SERVICE_URL=user_url) as (_, devices):

        async def answered() -> bool:
            return (await devices.get("/actuator/health")).status_code == 200

        await until(answered)
        assert (await devices.post("/api/v1/device", json=device)).status_code == 201, "user 1 is taken on trust"
        async with alone("user", tmp_path / "user", ENERGY_TRACKER_USER_PORT=str(port)) as (_, users):

            async def created() -> bool:
                body = {"name": "Ada", "surname": "L", "email": "ada@example.org", "address": "", "alerting": False}
                answer = await users.post("/api/v1/user", json=body | {"energyAlertingThreshold": 0})
                return answer.status_code == 201

            await until(created)
            assert (await devices.post("/api/v1/device", json=device)).status_code == 201
            refused = await devices.post("/api/v1/device", json=device | {"userId": 99})
            assert refused.status_code == 422, refused.text


async def test_a_folder_and_a_port_belong_to_one(tmp_path: Path) -> None:
    async with alone("user", tmp_path / "home") as (running, _):
        with pytest.raises(FolderInUse):
            await serve_in_vain("device", tmp_path / "home")
        port = running.url.rpartition(":")[2]
        with pytest.raises(PortTaken, match="ENERGY_TRACKER_USER_PORT"):
            await serve_in_vain("user", tmp_path / "other", ENERGY_TRACKER_USER_PORT=port)


async def serve_in_vain(service: str, home: Path, **variables: str) -> None:
    async with alone(service, home, **variables):
        pytest.fail("it was served")


async def test_other_services_call_a_service_by_its_name_where_that_is_allowed(tmp_path: Path) -> None:
    async with alone("insight", tmp_path) as (_, http):
        assert (await http.get("/actuator/health/liveness", headers=OTHER_NAME)).status_code == 421
    allowed = {"ENERGY_TRACKER_ALLOW_UNAUTHENTICATED_NETWORK": "yes", "ENERGY_TRACKER_HOST": "0.0.0.0"}  # noqa: S104 - as in a container
    async with alone("insight", tmp_path, **allowed) as (running, _), httpx.AsyncClient(trust_env=False) as http:
        url = running.url.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - where the container is reached
        assert (await http.get(f"{url}/actuator/health/liveness", headers=OTHER_NAME)).status_code == 200


@pytest.mark.parametrize(
    ("service", "missing"),
    [
        ("ingestion", "SPRING_KAFKA_BOOTSTRAP_SERVERS"),
        ("alert", "SPRING_KAFKA_BOOTSTRAP_SERVERS"),
        ("usage", "INFLUX_URL"),
    ],
)
async def test_what_a_service_needs_is_named_before_it_listens(tmp_path: Path, service: str, missing: str) -> None:
    kafka = {"SPRING_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"} if service == "usage" else {}
    with pytest.raises(InvalidConfiguration, match=missing):
        await serve_in_vain(service, tmp_path, **kafka)


async def test_the_address_of_a_database_is_checked_before_it_listens(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="SPRING_DATASOURCE_URL") as caught:
        await serve_in_vain("user", tmp_path, SPRING_DATASOURCE_URL="jdbc:mysql://me:hunter2@h:0/x")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("service", "part", "variables"),
    [
        ("user", "database", {"SPRING_DATASOURCE_URL": "jdbc:mysql://me@127.0.0.1:9/energy_tracker"}),
        ("ingestion", "log", {"SPRING_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}),
    ],
)
async def test_a_part_that_is_down_is_named_and_the_service_ends_at_once_when_told_to(
    tmp_path: Path, service: str, part: str, variables: dict[str, str]
) -> None:
    async with alone(service, tmp_path, **variables) as (_, http):
        health: dict[str, Any] = {}

        async def explained() -> bool:
            answer = await http.get("/actuator/health")
            assert answer.status_code == 503
            health.update(answer.json()["components"])
            return part in health and "not answered yet" not in str(health)

        await until(explained)
        assert health[part]["status"] == "DOWN"
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 3


@pytest.mark.servers("ENERGY_TEST_MYSQL")
async def test_a_database_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    async with new_database("mysql") as url:
        late = url.set(database=f"{url.database}_late")
        async with alone("user", tmp_path, **datasource(late)) as (_, http):

            async def refused() -> bool:
                return "Unknown database" in (await http.get("/actuator/health")).text

            await until(refused)
            await execute(url, f"CREATE DATABASE {late.database}")
            try:

                async def up() -> bool:
                    return (await http.get("/actuator/health")).status_code == 200

                await until(up)
                assert (await http.get("/api/v1/user")).json()["items"] == []
            finally:
                await execute(url, f"DROP DATABASE {late.database}")


def datasource(url: URL) -> dict[str, str]:
    return {
        "SPRING_DATASOURCE_URL": f"jdbc:mysql://{url.host}:{url.port}/{url.database}",
        "SPRING_DATASOURCE_USERNAME": str(url.username),
        "SPRING_DATASOURCE_PASSWORD": str(url.password),
    }


async def execute(url: URL, statement: str) -> None:
    from sqlalchemy import text

    from energy_tracker.storage.sql import create_engine, write_transaction

    engine = create_engine(url)
    try:
        async with write_transaction(engine) as connection:
            await connection.execute(text(statement))
    finally:
        await engine.dispose()


async def test_commands_speak_to_services_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = {f"ENERGY_TRACKER_{service.upper()}_PORT": "0" for service in SERVICES}
    settings = load_settings({"ENERGY_TRACKER_HOME": str(tmp_path / "there"), **ports})
    async with serving(settings=settings, clock=SystemClock()) as running:
        for service, url in running.urls.items():
            monkeypatch.setenv(f"ENERGY_TRACKER_{service.upper()}_PORT", url.rpartition(":")[2])
        here, at = CommandLine(tmp_path / "here"), ("--at", "http://127.0.0.1")
        user = await asyncio.to_thread(here.ask, *at, "users", "create", "--name", "Me", "--email", "me@example.org")
        monkeypatch.setenv("ENERGY_TRACKER_SERVICES_AT", "http://127.0.0.1")
        listed = await asyncio.to_thread(here.ask, "users", "list")
        assert [each["id"] for each in listed] == [user["id"]]
        refused = await asyncio.to_thread(here.run, "backup", str(tmp_path / "b.tar.gz"), code=1)
        assert "data folder" in refused.stderr
    assert not (tmp_path / "here").exists()
    gone = await asyncio.to_thread(here.run, "users", "list", code=3)
    assert "user-service does not answer" in gone.stderr
