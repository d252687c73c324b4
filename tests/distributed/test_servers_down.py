"""InfluxDB, MySQL and Kafka killed and hanging under load: what was acknowledged stays, and all go on by themselves."""

import os
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.support.load import Load
from tests.support.processes import SERVICES, Stack, stack_on
from tests.support.servers import COMMAND, OwnServers, own_servers
from tests.support.smtp import MailServer, mail_server

pytestmark = [pytest.mark.servers(COMMAND), pytest.mark.asyncio(loop_scope="module")]

LONG = bool(os.environ.get("ENERGY_TEST_LONG"))
DOWN_S = 60.0 if LONG else 5.0
"""For so long a server is away at least."""

long_only = pytest.mark.skipif(not LONG, reason="takes long: set ENERGY_TEST_LONG=1")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def servers() -> AsyncIterator[OwnServers]:
    """Start servers that may be killed."""
    async with own_servers() as own:
        yield own


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mail() -> AsyncIterator[MailServer]:
    """Run a mail server."""
    async with mail_server() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def load(servers: OwnServers, mail: MailServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Load]:
    """Run the six services on them."""
    folder = tmp_path_factory.mktemp("services")
    variables = {"SPRING_MAIL_HOST": "127.0.0.1", "SPRING_MAIL_PORT": str(mail.port)}
    async with stack_on(servers.servers, folder, **variables) as stack:
        await stack.start(*SERVICES)
        yield await Load.prepare(stack)


async def down_for_a_while(load: Load, *, ingestion_goes_on: bool) -> None:
    """Pass the time in which a server is away."""
    until = time.monotonic() + DOWN_S
    if ingestion_goes_on:
        await load.more(500)

    async def over() -> bool:
        return time.monotonic() >= until

    await load.stack.until(over, "it was away for long enough")


async def judge(load: Load, mail: MailServer) -> None:
    """Look whether all is as if nothing had happened."""
    await load.stack.ready()
    await load.check()

    async def all_told() -> bool:
        return len(set(mail.message_ids)) >= len(load.warned)

    await load.stack.until(all_told, "everyone who is to be warned was")
    assert len(set(mail.message_ids)) == len(load.warned), "one mail for each episode"
    assert set(mail.recipients) == {message["To"] for message in mail.messages}


@pytest.mark.parametrize("server", ["influxdb", "mysql", "kafka"])
async def test_a_server_is_killed_and_comes_back(
    servers: OwnServers, load: Load, mail: MailServer, server: str
) -> None:
    home = await load.thrifty_home()
    async with load.running():
        await load.more()
        await servers.kill(server)
        try:
            await down_for_a_while(load, ingestion_goes_on=server != "kafka")
            await says_that_it_is_down(load.stack, server)
        finally:
            await servers.up(server)
        await load.use_too_much(home)
        await load.more()
    await judge(load, mail)


@pytest.mark.parametrize("server", ["influxdb", "mysql", "kafka"])
async def test_a_server_hangs_and_goes_on(servers: OwnServers, load: Load, mail: MailServer, server: str) -> None:
    home = await load.thrifty_home()
    async with load.running():
        await load.more()
        await servers.pause(server)
        try:
            await down_for_a_while(load, ingestion_goes_on=server != "kafka")
        finally:
            await servers.resume(server)
        await load.use_too_much(home)
        await load.more()
    await judge(load, mail)


@long_only
async def test_all_servers_are_killed_at_once(servers: OwnServers, load: Load, mail: MailServer) -> None:
    home = await load.thrifty_home()
    async with load.running():
        await load.more()
        for server in servers.names:
            await servers.kill(server)
        await down_for_a_while(load, ingestion_goes_on=False)
        await servers.up()
        await load.use_too_much(home)
        await load.more()
    await judge(load, mail)


async def says_that_it_is_down(stack: Stack, server: str) -> None:
    """A service that needs the server says soon that it is not well, and answers 503 instead of figures."""
    service, path = {
        "influxdb": ("usage", f"/api/v1/usage/{stack.users[0]}/series"),
        "mysql": ("user", "/api/v1/user"),
        "kafka": ("usage", "/api/v1/ledger"),
    }[server]
    answer = await stack.call("GET", service, path)
    assert answer.status_code == 503, answer.text
    assert "retry-after" in answer.headers

    async def is_told() -> bool:
        return (await stack.call("GET", service, "/actuator/health")).status_code == 503

    await stack.until(is_told, f"{service}-service says that {server} is down")
