"""A mail server that refuses, is slow, or dies after it took a mail; a model that is gone; peers that are away."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from tests.support.load import Load
from tests.support.ollama import FakeOllama, tells
from tests.support.processes import SERVICES, Stack, stack_on
from tests.support.servers import VARIABLES, Servers
from tests.support.smtp import Behaviour, MailServer, mail_server
from tests.support.truth import QUARTER_MS, iso

pytestmark = [pytest.mark.servers(*VARIABLES), pytest.mark.asyncio(loop_scope="module")]

MAIL_TIMEOUT_S = 2.0
RULES_WITHIN_S = 3.0


@dataclass
class Peers:
    """The services, and what they talk to."""

    stack: Stack
    load: Load
    mail: MailServer
    model: FakeOllama


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def peers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peers]:
    """Run the six services with a mail server and a model of the test's own."""
    async with (
        mail_server() as mail,
        FakeOllama([tells([])]) as model,
        stack_on(
            Servers.named_by(os.environ),
            tmp_path_factory.mktemp("services"),
            SPRING_MAIL_HOST="127.0.0.1",
            SPRING_MAIL_PORT=str(mail.port),
            ENERGY_TRACKER_MAIL_TIMEOUT="PT2S",
            SPRING_AI_OLLAMA_BASE_URL=model.url,
        ) as stack,
    ):
        await stack.start(*SERVICES)
        yield Peers(stack, await Load.prepare(stack), mail, model)


BAD: tuple[Behaviour, ...] = ("recipient 421", "recipient 450", "content 452", "silent", "drop before data")


async def test_a_mail_server_that_refuses_is_asked_again_and_stops_nothing(peers: Peers) -> None:
    homes = [await peers.load.thrifty_home() for _ in BAD]
    before = len(peers.mail.taken)
    peers.mail.plan(*BAD)
    async with peers.load.running():
        await asyncio.gather(*(peers.load.use_too_much(home) for home in homes))
        await peers.load.more()

        async def all_told() -> bool:
            return len(peers.mail.taken) - before >= len(homes)

        await peers.stack.until(all_told, "every mail went out in the end")
        peers.mail.released.set()
    await peers.load.check()
    assert len(set(peers.mail.message_ids)) == len(peers.mail.taken) == len(peers.load.warned)


@pytest.mark.parametrize("behaviour", ["drop before answering", "silent after data"])
async def test_a_mail_server_that_dies_after_it_took_a_mail_gets_the_same_mail_again(
    peers: Peers, behaviour: Behaviour
) -> None:
    home = await peers.load.thrifty_home()
    before = len(peers.mail.taken)
    peers.mail.released.clear()
    peers.mail.plan(behaviour)
    await peers.load.use_too_much(home)

    async def taken_twice() -> bool:
        return len(peers.mail.taken) - before >= 2

    await peers.stack.until(taken_twice, "the mail was sent again")
    peers.mail.released.set()
    first, second = peers.mail.messages[before : before + 2]
    assert first.as_string() == second.as_string(), "the same mail, under the same Message-ID"

    async def settled() -> bool:
        page = await peers.stack.get("alert", "/api/v1/alert/outbox", limit=100)
        return {mail["state"] for mail in page["items"]} == {"sent"}

    await peers.stack.until(settled, "the outbox is empty")
    assert len(peers.mail.taken) - before == 2
    assert len(set(peers.mail.message_ids)) == len(peers.load.warned)


async def test_advice_comes_from_the_rules_while_the_model_hangs_or_is_gone(peers: Peers) -> None:
    stack = peers.stack
    user = await stack.add_user(timeZone="UTC")
    device = await stack.add_device(user, type="HEATER")
    times = [round(datetime.now(UTC).timestamp() * 1000) - number * QUARTER_MS for number in range(300)]
    for time_ms in times:
        peers.load.truth.took(device, time_ms, 300)
    await stack.send(*({"deviceId": device, "energyConsumed": 0.3, "timestamp": iso(each)} for each in times))
    await stack.caught_up()
    peers.model.awake = False
    loop = asyncio.get_running_loop()
    for _ in range(2):
        began = loop.time()
        answer = await stack.get("insight", f"/api/v1/insight/saving-tips/{user}")
        assert answer["tips"]
        assert answer["energyUsage"] > 0
        assert loop.time() - began < RULES_WITHIN_S
    peers.model.awake = True


async def test_figures_are_refused_not_invented_while_usage_service_is_away(peers: Peers) -> None:
    stack = peers.stack
    user = next(iter(peers.load.homes))
    await stack["usage"].kill()
    answer = await stack.call("GET", "insight", f"/api/v1/insight/overview/{user}")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "retry-after" in answer.headers
    await stack.start("usage")
    assert (await stack.answered("GET", "insight", f"/api/v1/insight/overview/{user}")).status_code == 200


async def test_ingestion_takes_readings_while_user_and_device_service_are_away(peers: Peers) -> None:
    stack, load = peers.stack, peers.load
    await asyncio.gather(stack["user"].kill(), stack["device"].kill())
    await stack["ingestion"].stop()
    await stack.start("ingestion")
    async with load.running():
        await load.more()
        await stack.start("user", "device")
        await load.more()
    await load.check()
