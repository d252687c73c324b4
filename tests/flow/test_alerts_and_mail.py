"""Alerts from the log to the mailbox and the API: alert-service as it runs, on SQLite and a real mail server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.support.alert import START_MS, UserDirectory, database, message
from tests.support.clock import VirtualClock
from tests.support.smtp import MailServer, mail_server

from energy_tracker.clients.alert import AlertClient
from energy_tracker.clients.http import RemoteProblem, ServiceCalls
from energy_tracker.contracts.alerts import MailAnswer
from energy_tracker.contracts.topics import ALERT_GROUP, ENERGY_ALERT_EPISODES, dead_letter_topic
from energy_tracker.eventlog.dead_letter import read_dead_letter
from energy_tracker.eventlog.memory import MemoryEventLog
from energy_tracker.eventlog.port import Message
from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_MINUTE, to_iso
from energy_tracker.services.alert.model.mails import MailPolicy, MailSettings, message_id
from energy_tracker.wiring.alert import alert_service

PATIENCE_S = 60.0


@dataclass
class House:
    """What lives longer than a run of the service."""

    path: Path
    clock: VirtualClock = field(default_factory=VirtualClock)
    directory: UserDirectory = field(default_factory=UserDirectory)

    def __post_init__(self) -> None:
        self.log = MemoryEventLog(clock=self.clock)

    @asynccontextmanager
    async def running(self, server: MailServer | None, policy: MailPolicy | None = None) -> AsyncIterator["Running"]:
        """Run the service, with this mail server or with none."""
        mail = MailSettings() if server is None else MailSettings(host="127.0.0.1", port=server.port, timeout_s=2.0)
        async with (
            database(self.path) as engine,
            alert_service(
                engine=engine,
                log=self.log,
                directory=self.directory,
                clock=self.clock,
                mail=mail,
                policy=policy,
            ) as app,
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://alert") as http,
        ):
            calls = ServiceCalls(service="alert-service", url="http://alert/api/v1/alert", http=http, clock=self.clock)
            yield Running(self, http, AlertClient(calls), engine)


@dataclass
class Running:
    house: House
    http: httpx.AsyncClient
    client: AlertClient
    engine: AsyncEngine

    async def tell(self, *messages: Message) -> None:
        """Append transitions, and wait until they are stored."""
        await self.house.log.append(ENERGY_ALERT_EPISODES, messages)
        await until(self._is_stored)

    async def _is_stored(self) -> bool:
        return await self.house.log.lag(ENERGY_ALERT_EPISODES, group=ALERT_GROUP) == 0

    async def settled(self, number: int) -> list[MailAnswer]:
        """Wait, and let virtual time pass, until no mail is queued, and return the mails, oldest first."""

        async def none_queued() -> bool:
            page = await self.client.outbox()
            if len(page.items) == number and all(mail.state != "queued" for mail in page.items):
                return True
            await self.house.clock.advance(60)
            return False

        await until(none_queued)
        return [*reversed((await self.client.outbox()).items)]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition; the time-out only ends a test that has failed."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 - the condition is asked through the API, no event tells of it
            await asyncio.sleep(0)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "alert.db")


async def test_an_episode_is_mailed_listed_acknowledged_and_ended(house: House):
    async with mail_server() as server, house.running(server) as running:
        await running.tell(message(), message())
        (mail,) = await running.settled(1)
        assert (mail.state, mail.to, mail.subject) == ("sent", "ada@example.org", "Energy Usage Alert for User 1")
        assert await running.client.count(1, states=["open"]) == 1
        assert (await running.client.acknowledge("high-usage-1-1")).state == "acknowledged"
        await running.tell(message(version=2))
        assert [each.kind for each in await running.settled(2)] == ["opened", "ended"]
        assert (await running.client.acknowledge("high-usage-1-1")).state == "ended"
        answer = (await running.http.get("/api/v1/alert/user/1")).json()
        acknowledged_at = answer[0].pop("acknowledgedAt")
        assert acknowledged_at
        assert answer == [
            {
                "id": "high-usage-1-1",
                "userId": 1,
                "rule": "high-usage",
                "state": "ended",
                "openedAt": "2026-03-01T12:00:00Z",
                "endedAt": "2026-03-01T12:20:00Z",
                "message": "The last hour is above the threshold.",
                "threshold": 1.5,
                "energyConsumed": 2.25,
                "sent": True,
            }
        ]
        assert (await running.http.get("/api/v1/alert/user/1/count")).json() == {"count": 1}
        assert await running.client.count(1, states=["open", "acknowledged"]) == 0
    assert server.message_ids == [message_id("high-usage-1-1", "opened"), message_id("high-usage-1-1", "ended")]


async def test_whatever_the_server_does_every_mail_arrives_with_one_message_id(house: House):
    async with mail_server() as server, house.running(server) as running:
        server.plan("recipient 450", "drop before answering", "content 452", "drop before data", "sender 550")
        await running.tell(message(), message("other", user_id=2, email="bob@example.org"), message(version=2))
        mails = await running.settled(3)
    assert {mail.state for mail in mails} == {"sent"}
    assert sum(mail.attempts for mail in mails) == 3 + 5
    assert set(server.message_ids) == {mail.message_id for mail in mails}
    assert len(server.taken) == 4
    mine = [each for each in server.message_ids if each != message_id("other", "opened")]
    assert mine == sorted(mine, key=[mail.message_id for mail in mails].index)


async def test_a_refused_recipient_is_not_tried_again_and_is_shown(house: House):
    async with mail_server() as server, house.running(server) as running:
        server.plan("recipient 550")
        await running.tell(message())
        (mail,) = await running.settled(1)
    assert (mail.state, mail.attempts, mail.last_error) == ("suppressed", 1, "550 5.1.1 No such mailbox")
    assert server.taken == []


async def test_a_server_that_is_down_stops_nothing_and_gets_its_mails_when_it_is_back(house: House):
    async with mail_server() as server:
        pass
    async with house.running(server) as running:
        await running.tell(message())

        async def tried_in_vain() -> bool:
            await house.clock.advance(60)
            (mail,) = (await running.client.outbox()).items
            return mail.attempts > 2

        await until(tried_in_vain)
        assert await running.client.count(1) == 1
        health = await running.http.get("/actuator/health")
        assert health.status_code == 200
        assert "lastError" in health.json()["components"]["mail"]["details"]
        async with mail_server(server):
            (mail,) = await running.settled(1)
    assert mail.state == "sent"
    assert server.message_ids == [mail.message_id]


async def test_a_mail_that_nobody_takes_for_days_is_given_up_and_says_why(house: House):
    policy = MailPolicy(give_up_after_ms=MS_PER_DAY, first_retry_ms=MS_PER_DAY // 4, last_retry_ms=MS_PER_DAY // 4)
    async with mail_server() as server, house.running(server, policy) as running:
        server.plan(*["recipient 450"] * 50)  # type: ignore[list-item]  # a behaviour
        await running.tell(message())

        async def given_up() -> bool:
            await house.clock.advance(1800)
            (mail,) = (await running.client.outbox()).items
            return mail.state == "suppressed"

        await until(given_up)
        (mail,) = (await running.client.outbox()).items
    assert mail.last_error == "given up: 450 4.2.0 Greylisted"
    assert mail.attempts >= 5


async def test_a_reminder_goes_out_once_if_it_was_asked_for(house: House):
    policy = MailPolicy(remind_after_ms=30 * MS_PER_MINUTE)
    async with mail_server() as server, house.running(server, policy) as running:
        await running.tell(message("seen"), message("unseen"))
        await running.client.acknowledge("seen")
        mails = await running.settled(4)
        assert house.clock.now_ms() - START_MS >= 30 * MS_PER_MINUTE
    states = {(mail.alert_id, mail.kind): mail.state for mail in mails}
    assert states[("unseen", "reminder")] == "sent"
    assert states[("seen", "reminder")] == "suppressed"
    assert len(server.taken) == 3


async def test_without_a_server_mails_are_held_and_the_recent_ones_go_out_when_there_is_one(house: House):
    async with house.running(None) as running:
        await running.tell(message("old"))
        assert [mail.state for mail in await running.settled(1)] == ["held"]
        await house.clock.advance(MS_PER_DAY / 1000)
        await running.tell(message("new", opened_at=to_iso(house.clock.now_ms())))
        assert [mail.state for mail in await running.settled(2)] == ["held", "held"]
    async with mail_server() as server, house.running(server) as running:
        await house.clock.advance(60)
        old, new = await running.settled(2)
    assert (old.state, new.state) == ("suppressed", "sent")
    assert server.message_ids == [message_id("new", "opened")]


async def test_poison_is_set_aside_with_its_place_and_the_rest_goes_on(house: House):
    async with house.running(None) as running:
        await running.tell(message("a"), Message("1", b"{}"), message("b"))
        assert {each.id for each in await running.client.of_user(1)} == {"a", "b"}
    (record,) = await house.log.read(dead_letter_topic(ENERGY_ALERT_EPISODES))
    letter = read_dead_letter(record)
    assert (letter.value, letter.origin_topic, letter.origin_offset) == (b"{}", ENERGY_ALERT_EPISODES, 2)
    assert "id" in letter.reason


async def test_a_store_restored_from_a_backup_takes_again_what_came_since(house: House):
    async with house.running(None) as running:
        await running.tell(message("before"))
    backup = house.path.read_bytes()
    async with house.running(None) as running:
        await running.tell(message("since"))
    house.path.write_bytes(backup)
    async with house.running(None) as running:

        async def both() -> bool:
            return await running.client.count(1) == 2

        await until(both)


async def test_a_deleted_user_leaves_nothing_behind(house: House):
    async with mail_server() as server, house.running(server, MailPolicy()) as running:
        server.plan("recipient 450")
        await running.tell(message("mine"), message("theirs", user_id=2, email="bob@example.org"))
        await house.directory.delete(1)

        async def gone() -> bool:
            return await running.client.count(1) == 0

        await until(gone)
        await running.tell(message("mine", 2), message("mine-too"))
        mails = await running.settled(1)
        assert [mail.alert_id for mail in mails] == ["theirs"]
        assert await running.client.of_user(1) == []
    house.directory.deleted.add(2)
    async with house.running(None) as running:

        async def nothing_left() -> bool:
            return (await running.client.page()).items == []

        await until(nothing_left)


async def test_pages_lead_on_without_gaps(house: House):
    async with house.running(None) as running:
        names = [f"e{number:02}" for number in range(7)]
        await running.tell(*(message(name, user_id=1 + n % 2) for n, name in enumerate(names)))
        assert [each.id async for each in running.client.iterate()] == names[::-1]
        response = await running.http.get("/api/v1/alert/user/1?limit=3&state=open")
        found = [each["id"] for each in response.json()]
        response = await running.http.get(response.links["next"]["url"])
        assert found + [each["id"] for each in response.json()] == ["e06", "e04", "e02", "e00"]
        assert "next" not in response.links
        page = await running.client.outbox(limit=4)
        rest = await running.client.outbox(limit=4, cursor=page.next)
        assert [mail.alert_id for mail in page.items + rest.items] == names[::-1]
        assert rest.next is None


async def test_what_is_not_there_or_not_right_is_said(house: House):
    async with house.running(None) as running:
        assert (await running.http.get("/api/v1/alert/user/4711")).json() == []
        assert (await running.http.get("/api/v1/alert/user/4711/count")).json() == {"count": 0}
        for path, status in {
            "/api/v1/alert/user/abc": 404,
            "/api/v1/alert/user/99999999999999999999/count": 404,
            "/api/v1/alert/user/1?state=closed": 422,
            "/api/v1/alert/user/1?limit=0": 422,
            "/api/v1/alert/user/1?limit=100000": 422,
            "/api/v1/alert/user/1?cursor=%00": 422,
            "/api/v1/alert?cursor=%C3%A9": 422,
            "/api/v1/alert/outbox?cursor=x": 422,
            "/api/v1/alert/nothing": 404,
        }.items():
            response = await running.http.get(path)
            assert (path, response.status_code) == (path, status)
            assert response.headers["content-type"] == "application/problem+json"
        with pytest.raises(RemoteProblem, match="no alert"):
            await running.client.acknowledge("' OR 1=1--\u00e9")


async def test_metrics_and_the_document_are_there(house: House):
    async with mail_server() as server, house.running(server) as running:
        await running.tell(message())
        await running.settled(1)

        async def counted() -> bool:
            text = (await running.http.get("/actuator/prometheus")).text
            return all(
                line in text
                for line in (
                    'energy_tracker_alert_mails{state="sent"} 1.0',
                    'energy_tracker_alert_episodes{state="open"} 1.0',
                    'energy_tracker_alert_transitions_total{outcome="stored"} 1.0',
                    'energy_tracker_alert_mail_attempts_total{outcome="delivered"} 1.0',
                )
            )

        await until(counted)
        paths = (await running.http.get("/openapi.json")).json()["paths"]
        assert "/api/v1/alert/user/{userId}/count" in paths
