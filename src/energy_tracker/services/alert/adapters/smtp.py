"""Mail over SMTP (RFC 5321), one connection a mail.

What a server's answer means: it has taken the mail only when it says so after DATA. A permanent refusal (5xx) of the
recipient or of the content is about this mail. Everything else (no connection, a time-out, a failed log-in, a refused
sender, 4xx) may pass or be mended, so the mail is tried again.
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
_MAX_REASON = 300


class SmtpNotifier:
    """Hands mails to one server."""

    delivers = True

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    async def send(self, mail: Mail) -> Outcome:
        """Try once to hand over a mail, within the time-out of the settings."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._converse(mail)
        except TimeoutError:
            return Deferred(f"the server did not answer within {self._settings.timeout_s:g} s", whole_server=True)
        except (aiosmtplib.SMTPException, OSError) as error:  # no connection, no trust, no log-in
            return Deferred(_reason(error), whole_server=True)
        except ValueError as error:  # what cannot be written as a mail, or as an address on the wire
            return Refused(_reason(error))

    async def _converse(self, mail: Mail) -> Outcome:
        client = self._client()
        try:
            await client.connect()
            return await self._hand_over(client, mail)
        finally:
            client.close()

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        context = ssl.create_default_context(cafile=settings.ca_file) if settings.security != "none" else None
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
        await self._say_goodbye(client)
        return Delivered()

    async def _say_goodbye(self, client: aiosmtplib.SMTP) -> None:
        """Quit; the mail is with the server already, so nothing that goes wrong here matters."""
        try:
            await client.quit(timeout=1.0)
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
    if error.code >= _PERMANENT:
        return Refused(_reason(error))
    return Deferred(_reason(error), whole_server=False)


def _reason(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        text = f"{error.code} {error.message}"
    else:
        text = str(error) or type(error).__name__
    return " ".join(text.split())[:_MAX_REASON]
