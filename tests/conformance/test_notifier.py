"""What every notifier promises, and what the one over SMTP makes of a server that misbehaves."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.alert import START_MS, transition
from tests.support.certificates import Authority
from tests.support.smtp import Behaviour, MailServer, mail_server, mute_server

from energy_tracker.services.alert.adapters.memory import MemoryNotifier
from energy_tracker.services.alert.adapters.outbox import OutboxNotifier
from energy_tracker.services.alert.adapters.smtp import SmtpNotifier
from energy_tracker.services.alert.model.mails import (
    Deferred,
    Delivered,
    Held,
    Mail,
    MailPolicy,
    MailSettings,
    Refused,
    message_id,
)
from energy_tracker.services.alert.model.rules import changes_of
from energy_tracker.services.alert.ports import Notifier

TIMEOUT_S = 0.3


def a_mail(**changes: object) -> Mail:
    (change,) = changes_of([transition(**changes)], {}, policy=MailPolicy(), now_ms=START_MS)
    return change.mails[0]


def settings(server: MailServer, **changes: object) -> MailSettings:
    members: dict[str, object] = {"host": "127.0.0.1", "port": server.port, "timeout_s": 5.0} | changes
    return MailSettings(**members)  # type: ignore[arg-type]  # the members are named as its fields


@asynccontextmanager
async def a_notifier(kind: str) -> AsyncIterator[Notifier]:
    if kind == "smtp":
        async with mail_server() as server:
            yield SmtpNotifier(settings(server))
    else:
        yield MemoryNotifier() if kind == "memory" else OutboxNotifier()


@pytest.mark.parametrize("kind", ["memory", "outbox", "smtp"])
async def test_a_mail_is_delivered_or_held_and_a_repeat_of_it_too(kind: str):
    async with a_notifier(kind) as notifier:
        outcomes = [await notifier.send(a_mail()), await notifier.send(a_mail())]
    assert outcomes == ([Delivered(), Delivered()] if notifier.delivers else [Held(), Held()])


async def test_the_message_is_as_the_contract_has_it():
    async with mail_server() as server:
        assert await SmtpNotifier(settings(server, sender="no-reply@home.test")).send(a_mail()) == Delivered()
    (message,) = server.messages
    assert message["From"] == "Energy Tracker <no-reply@home.test>"
    assert message["To"] == "ada@example.org"
    assert message["Subject"] == "Energy Usage Alert for User 1"
    assert message["Message-ID"] == message_id("high-usage-1-1", "opened")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.timestamp() * 1000 == START_MS
    assert message["List-Id"]
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    for body in (text.get_content(), html.get_content()):
        for said in ("The last hour is above the threshold.", "1.5 kWh", "2.25 kWh", "2026-03-01 13:00:00", "Zurich"):
            assert said in body
        assert "http" not in body


async def test_a_repeat_is_the_same_to_the_byte():
    async with mail_server() as server:
        for _ in range(2):
            await SmtpNotifier(settings(server)).send(a_mail())
    assert server.taken[0] == server.taken[1]


async def test_a_later_mail_answers_the_first():
    (first, second) = changes_of([transition(), transition(version=2)], {}, policy=MailPolicy(), now_ms=START_MS)
    async with mail_server() as server:
        for mail in (*first.mails, *second.mails):
            await SmtpNotifier(settings(server)).send(mail)
    opened, ended = server.messages
    assert ended["References"] == ended["In-Reply-To"] == opened["Message-ID"]
    assert ended["Subject"] == "Energy usage is back to normal for User 1"
    assert opened["References"] is None


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("<img src=x onerror=alert(1)>", "<img"),
        ("Ada\r\nBcc: all@example.org\r\n\r\nHello", "\nBcc"),
        ("\u202eadA\u2066", "\u202e"),
        ("a\x00b\x1b[31m", "\x1b"),
    ],
)
async def test_names_are_inert(name: str, absent: str):
    mail = a_mail(user_name=name, message=f"About {name}", device_id=4, device_name=name)
    async with mail_server() as server:
        assert await SmtpNotifier(settings(server)).send(mail) == Delivered()
    (message,) = server.messages
    assert [header.lower() for header in message.keys()].count("bcc") == 0  # noqa: SIM118 - repeated headers count
    assert server.recipients == ["ada@example.org"]
    html = message.get_body(("html",))
    assert html is not None
    assert absent not in html.get_content()
    assert "\r\n" + absent.strip() not in message["Subject"]


async def test_names_of_all_scripts_arrive():
    name = "Zoë 李小龍 مريم 👩‍🔬"
    async with mail_server() as server:
        await SmtpNotifier(settings(server, sender_name="Énergie")).send(a_mail(user_name=name))
    (message,) = server.messages
    for kind in ("plain", "html"):
        body = message.get_body((kind,))
        assert body is not None
        assert name in body.get_content()
    assert "Énergie" in message["From"]


@pytest.mark.parametrize("address", ["zoë@example.org", "ada@bücher.example"])
async def test_an_international_address_is_reached(address: str):
    async with mail_server() as server:
        assert await SmtpNotifier(settings(server)).send(a_mail(email=address)) == Delivered()
    assert server.recipients in (["zoë@example.org"], ["ada@xn--bcher-kva.example"])


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        ("recipient 550", Refused("550 5.1.1 No such mailbox")),
        ("content 554", Refused("554 5.6.0 We do not like this")),
        ("recipient 450", Deferred("450 4.2.0 Greylisted", whole_server=False)),
        ("content 452", Deferred("452 4.3.1 Out of memory", whole_server=False)),
        ("recipient 421", Deferred("421 4.3.2 Going down", whole_server=True)),
        ("recipient 530", Deferred("530 5.7.0 Authentication required", whole_server=True)),
        ("sender 550", Deferred("550 5.7.1 We do not know this sender", whole_server=True)),
    ],
)
async def test_an_answer_is_understood(behaviour: Behaviour, outcome: object):
    async with mail_server() as server:
        server.plan(behaviour)
        assert await SmtpNotifier(settings(server)).send(a_mail()) == outcome
    assert server.taken == []


@pytest.mark.parametrize("behaviour", ["drop before data", "drop before answering", "silent", "silent after data"])
async def test_a_connection_that_ends_or_hangs_leaves_the_mail_to_be_sent_again(behaviour: Behaviour):
    async with mail_server() as server:
        server.plan(behaviour)
        notifier = SmtpNotifier(settings(server, timeout_s=TIMEOUT_S if "silent" in behaviour else 5.0))
        outcome = await notifier.send(a_mail())
        assert isinstance(outcome, Deferred)
        assert outcome.whole_server
        assert await notifier.send(a_mail()) == Delivered()
    assert len(set(server.message_ids)) == 1


async def test_a_server_that_is_not_there_is_waited_for():
    async with mail_server() as server:
        gone = settings(server)
    outcome = await SmtpNotifier(gone).send(a_mail())
    assert isinstance(outcome, Deferred)
    assert outcome.whole_server


async def test_a_server_that_says_nothing_is_given_up_in_time():
    async with mute_server() as server:
        began_s = time.monotonic()
        outcome = await SmtpNotifier(settings(server, timeout_s=TIMEOUT_S)).send(a_mail())
        assert time.monotonic() - began_s < TIMEOUT_S + 2
    assert outcome == Deferred("the server did not answer within 0.3 s", whole_server=True)
    assert server.conversations == 1


async def test_a_mail_that_was_taken_is_delivered_however_long_the_goodbye_takes():
    async with mail_server() as server:
        server.plan("silent at the goodbye")
        outcome = await SmtpNotifier(settings(server, timeout_s=1.0)).send(a_mail())
    assert outcome == Delivered()
    assert len(server.taken) == 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("tls"))


ACCESS = {"username": "ada", "password": "open sesame"}


@pytest.mark.parametrize("security", ["starttls", "tls", "auto"])
async def test_the_conversation_is_encrypted_and_logged_in(authority: Authority, security: str):
    offered = "tls" if security == "tls" else "starttls"
    access = ACCESS if offered == "starttls" else {}
    async with mail_server(tls=authority.server(), security=offered, login=offered == "starttls") as server:
        trusting = settings(server, security=security, ca_file=authority.file, **access)
        assert await SmtpNotifier(trusting).send(a_mail()) == Delivered()
    assert len(server.taken) == 1
    assert set(server.logins) == ({"ada"} if access else set())


@pytest.mark.parametrize("access", [{"password": "wrong"}, {"username": "eve"}, {"password": "w\u00f6rong"}])
async def test_a_log_in_that_is_refused_is_said_and_concerns_all_mails(authority: Authority, access: dict[str, str]):
    async with mail_server(tls=authority.server(), security="starttls", login=True) as server:
        wrong = settings(server, security="starttls", ca_file=authority.file, **(ACCESS | access))
        outcome = await SmtpNotifier(wrong).send(a_mail())
    assert isinstance(outcome, Deferred)
    assert outcome.whole_server
    assert outcome.reason.startswith("535")
    assert server.taken == []


@pytest.mark.parametrize("security", ["starttls", "tls", "auto"])
@pytest.mark.parametrize("wrong", ["unknown authority", "other authority", "other name", "expired"])
async def test_a_server_that_cannot_prove_who_it_is_gets_neither_mail_nor_password(
    authority: Authority, tmp_path: Path, security: str, wrong: str
):
    shown = {"other name": authority.server("127.0.0.2"), "expired": authority.server(days=-1)}
    trusted = {"unknown authority": None, "other authority": Authority.make(tmp_path, "other").file}
    offered = "tls" if security == "tls" else "starttls"
    async with mail_server(tls=shown.get(wrong, authority.server()), security=offered) as server:
        mistrusting = settings(server, security=security, ca_file=trusted.get(wrong, authority.file), **ACCESS)
        outcome = await SmtpNotifier(mistrusting).send(a_mail())
    assert isinstance(outcome, Deferred)
    assert outcome.whole_server
    assert "certificate" in outcome.reason.lower()
    assert (server.logins, server.conversations) == ([], 0)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_trusted_certificates_that_cannot_be_read_are_named(tmp_path: Path, content: str | None):
    file = tmp_path / "authority.pem"
    if content is not None:
        file.write_text(content)
    async with mail_server() as server:
        outcome = await SmtpNotifier(settings(server, ca_file=file)).send(a_mail())
    assert isinstance(outcome, Deferred)
    assert outcome.whole_server
    assert str(file) in outcome.reason


async def test_nothing_is_sent_in_the_clear_where_starttls_is_required():
    async with mail_server() as server:
        outcome = await SmtpNotifier(settings(server, security="starttls")).send(a_mail())
    assert isinstance(outcome, Deferred)
    assert server.conversations == 0


def test_a_password_is_not_shown():
    assert "sesame" not in repr(MailSettings(password="open sesame"))
