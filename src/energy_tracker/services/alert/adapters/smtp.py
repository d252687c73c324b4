"""Mail over SMTP (RFC 5321), one connection a mail.

What a server's answer means: it has taken the mail only when it says so after DATA. A permanent refusal (5xx) of the
recipient or of the content is about this mail. Everything else (no connection, a time-out, a failed log-in, a refused
sender, 4xx) may pass or be mended, so the mail is tried again. What comes after that (QUIT) changes nothing.
"""

import asyncio
import ssl
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, formataddr

import aiosmtplib

from energy_tracker.kit.instants import from_ms
from energy_tracker.services.alert.model.mails import Deferred, Delivered, Mail, MailSettings, Outcome, Refused

LIST_ID = "Energy Tracker alerts <alerts.energy-tracker.localhost>"
_PERMANENT = 500
_ABOUT_THE_SERVER = frozenset({421, 530})
"""Whatever was asked: it is shutting down (RFC 5321, section 3.8), or wants a log-in (RFC 4954, section 6)."""

_GOODBYE_S = 1.0
_MAX_REASON = 300


class SmtpNotifier:
    """Hands mails to one server."""

    delivers = True

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self._system_trust: ssl.SSLContext | None = None

    async def send(self, mail: Mail) -> Outcome:
        """Try once to hand over a mail, within the time-out of the settings."""
        client = None
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                client = self._client()
                await client.connect()
                outcome = await self._hand_over(client, mail)
            await self._say_goodbye(client)
        except TimeoutError:
            return Deferred(f"the server did not answer within {self._settings.timeout_s:g} s", whole_server=True)
        except (aiosmtplib.SMTPException, OSError) as error:  # no connection, no trust, no log-in
            return Deferred(_reason(error), whole_server=True)
        except ValueError as error:  # what cannot be written as a mail, or as an address on the wire
            return Refused(_reason(error))
        else:
            return outcome
        finally:
            if client is not None:
                client.close()

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        context = None if settings.security == "none" else self._trust()
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username,
            password=settings.password,
            local_hostname=settings.sender.rpartition("@")[2],
            timeout=settings.timeout_s,
            use_tls=settings.security == "tls",
            start_tls={"auto": None, "starttls": True, "tls": False, "none": False}[settings.security],
            tls_context=context,
        )

    def _trust(self) -> ssl.SSLContext:
        """Return what the server's certificate is checked with. Raises `OSError` that names a file of no use."""
        ca_file = self._settings.ca_file
        if ca_file is None:
            self._system_trust = self._system_trust or ssl.create_default_context()  # tens of ms, so only once
            return self._system_trust
        try:
            return ssl.create_default_context(cafile=ca_file)  # anew for each mail: a renewed file counts
        except OSError as error:
            message = f"the trusted certificates in {ca_file} cannot be read: {error.strerror or error}"
            raise OSError(message) from error

    async def _hand_over(self, client: aiosmtplib.SMTP, mail: Mail) -> Outcome:
        recipient = _wire_address(mail.recipient)
        message = compose(mail, self._settings, recipient=recipient)
        international = not recipient.isascii()
        content = message.as_bytes(policy=SMTP_POLICY.clone(utf8=international))
        options = ["SMTPUTF8", "BODY=8BITMIME"] if international else []
        try:
            await client.sendmail(self._settings.sender, [recipient], content, mail_options=options)
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refusal(error.recipients[0])
        except aiosmtplib.SMTPDataError as error:
            return _refusal(error)
        except aiosmtplib.SMTPNotSupported as error:
            return Refused(_reason(error))
        return Delivered()

    async def _say_goodbye(self, client: aiosmtplib.SMTP) -> None:
        """Quit; the server has answered about the mail already, so nothing that goes wrong here matters."""
        try:
            await client.quit(timeout=_GOODBYE_S)
        except (aiosmtplib.SMTPException, OSError):
            return


def compose(mail: Mail, settings: MailSettings, *, recipient: str) -> EmailMessage:
    """Return the mail as a message of text and HTML; the same mail gives the same message."""
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = formataddr((settings.sender_name, settings.sender))
    message["To"] = recipient
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(from_ms(mail.created_at_ms))
    message["Message-ID"] = mail.message_id
    if mail.answers is not None:
        message["In-Reply-To"] = mail.answers
        message["References"] = mail.answers
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notes in return
    message["X-Auto-Response-Suppress"] = "All"
    message["List-Id"] = LIST_ID
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{mail.message_id.strip('<>').partition('.')[0]}")
    return message


def _wire_address(address: str) -> str:
    """Return the address with its domain in ASCII (IDNA), where that is possible."""
    local, _, domain = address.rpartition("@")
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return address


def _refusal(error: aiosmtplib.SMTPResponseException) -> Outcome:
    if error.code in _ABOUT_THE_SERVER:
        return Deferred(_reason(error), whole_server=True)
    if error.code >= _PERMANENT:
        return Refused(_reason(error))
    return Deferred(_reason(error), whole_server=False)


def _reason(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        text = f"{error.code} {error.message}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())[:_MAX_REASON]
