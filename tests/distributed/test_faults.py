"""Services killed and paused under load: nothing that was acknowledged is lost or doubled, each mail sent once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import pytest
import pytest_asyncio
from tests.support.kafka import members_of
from tests.support.load import Load
from tests.support.processes import SERVICES, Stack, stack_on
from tests.support.servers import VARIABLES, Servers
from tests.support.smtp import MailServer, mail_server

pytestmark = [pytest.mark.servers(*VARIABLES), pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Ordeal:
    """Services under load, with two more usage-services that do not run yet, and who gets their mails."""

    stack: Stack
    load: Load
    mail: MailServer

    async def judge(self, *, by: str = "usage") -> None:
        """Look whether all is as if nothing had happened."""
        await self.stack.ready()
        await self.load.check(by=by)
        # a mail whose sending was cut off is nobody else's for two minutes
        await self.stack.until(self._all_told, "everyone who is to be warned was", patience_s=180.0)
        first: dict[str, str] = {}
        for message in self.mail.messages:
            before = first.setdefault(str(message["Message-ID"]), message.as_string())
            assert before == message.as_string(), "a repeat is the same mail"
        assert len(first) == len(self.load.warned), "one mail for each episode"
        peaks = {each.name: round(each.peak_mib) for each in self.stack.processes.values() if each.wanted}
        assert max(peaks.values()) < 250, peaks

    async def _all_told(self) -> bool:
        return len(set(self.mail.message_ids)) >= len(self.load.warned)

    async def members(self) -> dict[str, int]:
        """Return how many partitions each member of usage-service's group has."""
        return await asyncio.to_thread(members_of, self.stack.kafka, "usage-service")

    async def shares(self, *counts: int) -> None:
        """Wait until the partitions are shared so."""

        async def so() -> bool:
            return sorted((await self.members()).values()) == sorted(counts)

        await self.stack.until(so, f"the partitions are shared as {counts}")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ordeal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ordeal]:
    """Run the six services on the servers that the variables name."""
    folder = tmp_path_factory.mktemp("services")
    async with (
        mail_server() as mail,
        stack_on(
            Servers.named_by(os.environ),
            folder,
            more_usage=2,
            SPRING_MAIL_HOST="127.0.0.1",
            SPRING_MAIL_PORT=str(mail.port),
            ENERGY_TRACKER_ALERT_CHECK_INTERVAL="PT2S",
        ) as stack,
    ):
        await stack.start(*SERVICES)
        yield Ordeal(stack, await Load.prepare(stack), mail)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_is_killed_under_load(ordeal: Ordeal, service: str) -> None:
    load, victim = ordeal.load, ordeal.stack[service]
    home = await load.thrifty_home()
    async with load.running():
        await load.more()
        warned = asyncio.create_task(load.use_too_much(home))
        await load.more(50)
        await victim.kill()
        # Of the others none stops: what comes on Kafka is taken whoever is down.
        await load.more(500)
        await ordeal.stack.start(service)
        await load.more(200)
        await warned
    await ordeal.judge()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_hangs_under_load_and_goes_on(ordeal: Ordeal, service: str) -> None:
    load, victim = ordeal.load, ordeal.stack[service]
    home = await load.thrifty_home()
    async with load.running():
        await load.more()
        warned = asyncio.create_task(load.use_too_much(home))
        victim.signal(signal.SIGSTOP)
        try:
            await load.more(500)
        finally:
            victim.signal(signal.SIGCONT)
        await load.more(200)
        await warned
    await ordeal.judge()


async def ask_whichever(stack: Stack, user_ids: Iterable[int], *names: str) -> None:
    """Look whether each of some usage-services answers for each home, whoever looks after it."""
    for number, user_id in enumerate(user_ids):
        path = f"/api/v1/usage/{user_id}/watch"

        async def are_known(path: str = path) -> bool:
            return {(await stack.call("GET", name, path)).status_code for name in names} == {200}

        await stack.until(are_known, f"all of {names} answer for home {user_id}")
        for notices, name in enumerate(names, 10 + number):
            # while the partitions are still on their way, one is told to ask again
            changed = await stack.answered("PUT", name, path, {"noticesAMonth": notices, "mutedDeviceIds": []})
            assert changed.status_code == 200, changed.text
            for each in names:
                found = await stack.answered("GET", each, path)
                assert (found.status_code, found.json()["noticesAMonth"]) == (200, notices)


async def test_of_two_usage_services_one_is_killed_and_a_third_joins(ordeal: Ordeal) -> None:
    load, stack = ordeal.load, ordeal.stack
    home = await load.thrifty_home()
    async with load.running():
        await load.more()
        await stack.start("usage-2")
        await ordeal.shares(3, 3)
        await ask_whichever(stack, [*load.homes, *load.warned], "usage", "usage-2")
        await load.more()
        warned = asyncio.create_task(load.use_too_much(home))
        await stack["usage-2"].kill()
        await load.more()
        await stack.start("usage-3")
        await ordeal.shares(3, 3)
        await load.more()
        await warned
    await ordeal.judge()
    await load.check(by="usage-3")
    async with load.running():
        await stack["usage-3"].stop()
        await ordeal.shares(6)
        await load.more()
    await ordeal.judge()


async def test_a_usage_service_that_was_thought_dead_comes_back_under_load(ordeal: Ordeal) -> None:
    load, stack = ordeal.load, ordeal.stack
    await stack.start("usage-2")
    await ordeal.shares(3, 3)
    async with load.running():
        await load.more()
        stack["usage"].signal(signal.SIGSTOP)
        try:
            await ordeal.shares(6)
            await load.more(600)
        finally:
            stack["usage"].signal(signal.SIGCONT)
        await ordeal.shares(3, 3)
        await load.more()
    await ordeal.judge()
    await load.check(by="usage-2")
    await stack["usage-2"].stop()
    await ordeal.shares(6)


async def test_all_are_killed_at_once_and_start_in_any_order(ordeal: Ordeal) -> None:
    load, stack = ordeal.load, ordeal.stack
    home = await load.thrifty_home()
    async with load.running():
        warned = asyncio.create_task(load.use_too_much(home))
        await load.more()
        await asyncio.gather(*(stack[service].kill() for service in SERVICES))
        await stack.start(*reversed(SERVICES))
        await load.more()
        await warned
    await ordeal.judge()
