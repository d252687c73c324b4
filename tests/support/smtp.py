"""A real SMTP server on the loopback interface that misbehaves on demand."""

# ruff: noqa: ARG002, N802 - the hooks of aiosmtpd have its names and arguments

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Literal

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

Behaviour = Literal[
    "good",
    "recipient 421",
    "recipient 450",
    "recipient 530",
    "recipient 550",
    "content 452",
    "content 554",
    "sender 550",
    "drop before answering",
    "drop before data",
    "silent",
    "silent after data",
    "silent at the goodbye",
]
"""What the server does with one mail. `drop before answering`: it has taken the mail, and the client cannot know."""

_ANSWERS_TO_RECIPIENTS = {
    "recipient 421": "421 4.3.2 Going down",
    "recipient 450": "450 4.2.0 Greylisted",
    "recipient 530": "530 5.7.0 Authentication required",
    "recipient 550": "550 5.1.1 No such mailbox",
}


@dataclass
class MailServer:
    """The server's state: what it will do with the next mails (good when nothing is planned), and what it has taken."""

    port: int = 0
    planned: deque[Behaviour] = field(default_factory=deque)
    taken: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    conversations: int = 0
    logins: list[str] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def messages(self) -> list[EmailMessage]:
        """The mails that were taken, parsed."""
        return [message_from_bytes(content, policy=policy.default) for content in self.taken]  # type: ignore[misc]  # the policy makes EmailMessages

    @property
    def message_ids(self) -> list[str]:
        return [str(message["Message-ID"]) for message in self.messages]

    def plan(self, *behaviours: Behaviour) -> None:
        self.planned.extend(behaviours)

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.conversations += 1
        session.behaviour = self.planned.popleft() if self.planned else "good"
        if session.behaviour == "sender 550":
            return "550 5.7.1 We do not know this sender"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if session.behaviour in _ANSWERS_TO_RECIPIENTS:
            return _ANSWERS_TO_RECIPIENTS[session.behaviour]
        if session.behaviour == "drop before data":
            server.transport.abort()
        if session.behaviour == "silent":
            await self.released.wait()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if session.behaviour == "content 452":
            return "452 4.3.1 Out of memory"
        if session.behaviour == "content 554":
            return "554 5.6.0 We do not like this"
        content = envelope.original_content
        assert content is not None
        self.taken.append(content)
        self.recipients.extend(envelope.rcpt_tos)
        if session.behaviour == "drop before answering":
            server.transport.abort()
        if session.behaviour == "silent after data":
            await self.released.wait()
        return "250 Taken"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if getattr(session, "behaviour", "good") == "silent at the goodbye":
            await self.released.wait()
        return "221 Bye"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        return AuthResult(success=(data.login, data.password) == (b"ada", b"open sesame"), handled=False)


@asynccontextmanager
async def mail_server(
    server: MailServer | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    security: Literal["none", "starttls", "tls"] = "none",
    login: bool = False,
) -> AsyncIterator[MailServer]:
    """Run a server; one given with a port comes up on that port again, with all that it has."""
    server = server or MailServer()
    server.released.clear()
    loop = asyncio.get_running_loop()
    sessions: list[SMTP] = []

    def session() -> SMTP:
        made = SMTP(
            server,
            loop=loop,
            hostname="mail.test",
            enable_SMTPUTF8=True,
            tls_context=tls if security == "starttls" else None,
            authenticator=server.authenticate if login else None,
            auth_required=login,
            auth_require_tls=security == "starttls",
        )
        sessions.append(made)
        return made

    listener = await loop.create_server(
        session, "127.0.0.1", server.port, ssl=tls if security == "tls" else None, reuse_address=True
    )
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.released.set()
        listener.close()
        for made in sessions:
            if made.transport is not None:
                made.transport.abort()
        await listener.wait_closed()
        handlers = [made._handler_coroutine for made in sessions if made._handler_coroutine is not None]
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


@asynccontextmanager
async def mute_server() -> AsyncIterator[MailServer]:
    """Run a server that takes connections and never says a word."""
    server = MailServer()

    def accept() -> asyncio.Protocol:
        server.conversations += 1
        return asyncio.Protocol()

    listener = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()
