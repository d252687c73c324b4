"""The notifier over SMTP, and the outbox behind it, on a real Mailpit."""

from pathlib import Path

import pytest
from tests.support.alert import START_MS, database, transition
from tests.support.clock import VirtualClock
from tests.support.mailpit import SERVERS, Mailpit, mailpit, unique_address

from energy_tracker.services.alert.adapters.smtp import SmtpNotifier
from energy_tracker.services.alert.adapters.sql import SqlAlertRepository, SqlMailOutbox
from energy_tracker.services.alert.model.mails import (
    Deferred,
    Delivered,
    Mail,
    MailPolicy,
    MailSettings,
    Outcome,
    Refused,
    message_id,
)
from energy_tracker.services.alert.model.rules import changes_of
from energy_tracker.services.alert.service.mailing import Mailing

pytestmark = pytest.mark.servers(*SERVERS)


def notifier(server: Mailpit) -> SmtpNotifier:
    return SmtpNotifier(MailSettings(host=server.host, port=server.port, timeout_s=10.0))


def a_mail(recipient: str, **changes: object) -> Mail:
    told = transition(email=recipient, **changes)
    (change,) = changes_of([told], {}, policy=MailPolicy(), now_ms=START_MS)
    return change.mails[0]


async def test_a_delivered_mail_is_as_the_contract_has_it():
    recipient = unique_address()
    async with mailpit() as server:
        assert await notifier(server).send(a_mail(recipient, user_id=42)) == Delivered()
        (message,) = await server.mails_to(recipient)
    assert message["Subject"] == "Energy Usage Alert for User 42"
    assert message["From"] == "Energy Tracker <no-reply@localhost>"
    assert message["To"] == recipient
    assert message["Message-ID"] == message_id("high-usage-1-1", "opened")
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        for said in ("The last hour is above the threshold.", "1.5 kWh", "2.25 kWh"):
            assert said in body.get_content()


async def test_names_of_all_scripts_and_hostile_ones_arrive_as_they_are_meant():
    recipient, name = unique_address(), "Zoë 李小龍 مريم"
    async with mailpit() as server:
        await notifier(server).send(a_mail(recipient, user_name=f"{name}\r\nBcc: eve@example.org"))
        (message,) = await server.mails_to(recipient)
    text = message.get_body(("plain",))
    assert text is not None
    assert f"Hello {name} Bcc: eve@example.org," in text.get_content()
    assert message["Bcc"] is None


@pytest.mark.parametrize(
    ("trigger", "code", "kind"),
    [
        ("Recipient", 450, Deferred),
        ("Recipient", 421, Deferred),
        ("Recipient", 550, Refused),
        ("Sender", 451, Deferred),
        ("Sender", 550, Deferred),
    ],
)
async def test_a_refusal_is_understood(trigger: str, code: int, kind: type[Outcome]):
    async with mailpit(for_oneself=True) as server, server.refusing(trigger, code):
        outcome = await notifier(server).send(a_mail(unique_address()))
    assert isinstance(outcome, kind)
    assert isinstance(outcome, Deferred | Refused)
    assert outcome.reason.startswith(str(code))
    if isinstance(outcome, Deferred):
        assert outcome.whole_server == ((trigger, code) != ("Recipient", 450))


@pytest.mark.parametrize(("trigger", "code"), [("Recipient", 452), ("Sender", 451), ("Sender", 553)])
async def test_a_mail_that_was_refused_for_a_while_arrives_once_with_the_message_id_it_began_with(
    tmp_path: Path, trigger: str, code: int
):
    recipient, clock = unique_address(), VirtualClock()
    async with mailpit(for_oneself=True) as server, database(tmp_path / "alert.db") as engine:
        changes = changes_of([transition(email=recipient)], {}, policy=MailPolicy(), now_ms=START_MS)
        await SqlAlertRepository(engine, clock=clock).store(changes, {0: 1})
        outbox = SqlMailOutbox(engine)
        mailing = Mailing(
            outbox=outbox, notifier=notifier(server), clock=clock, policy=MailPolicy(), random=lambda: 0.5
        )
        async with server.refusing(trigger, code):
            for _ in range(3):
                assert isinstance(await mailing.send_next_mail(), Deferred)
                await clock.advance(await mailing.pause_ms() / 1000)
        assert await mailing.send_next_mail() == Delivered()
        assert await mailing.send_next_mail() is None
        (message,) = await server.mails_to(recipient)
        (mail,) = await outbox.mails(states=frozenset({"sent"}), before=None, limit=9)
    assert mail.attempts == 4
    assert message["Message-ID"] == mail.message_id == message_id("high-usage-1-1", "opened")
