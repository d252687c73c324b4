"""Settings of what is optional outside: a mail server, and a language model."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from energy_tracker.settings.forms import (
    Duration,
    Host,
    MailAddress,
    OllamaAddress,
    PeerPort,
    ReadableFile,
    Secret,
    Section,
    Text,
)
from energy_tracker.settings.variables import Form, setting

MailTimeout = Annotated[Duration, Field(le=timedelta(seconds=90)), Form("an ISO-8601 duration of at most PT90S")]
"""An attempt may take no longer: see the decision `a-mail-goes-out-twice-only-in-a-crash`."""


class OutboxOnly(Section):
    """No mail server: mails stay in the outbox, where they can be read."""

    kind: Literal["outbox"] = "outbox"


class SmtpMail(Section):
    """The mail server; without `SPRING_MAIL_HOST`, mails stay in the outbox, where they can be read."""

    kind: Literal["smtp"] = "smtp"
    host: Host = setting("SPRING_MAIL_HOST", "The mail server; setting it turns mail on.")
    port: PeerPort = setting("SPRING_MAIL_PORT", "Its port.", default=25)
    security: Literal["auto", "none", "starttls", "tls"] = setting(
        "ENERGY_TRACKER_MAIL_SECURITY",
        "`tls` from the first byte, `starttls` or nothing sent, `auto`: STARTTLS where the server offers it, `none`.",
        default="auto",
    )
    ca_file: ReadableFile | None = setting(
        "ENERGY_TRACKER_MAIL_CA_FILE",
        "Certificates (PEM) that vouch for the server.",
        default=None,
        shown="those of the system",
    )
    username: Text | None = setting(
        "ENERGY_TRACKER_MAIL_USERNAME",
        "Name to log in with.",
        default=None,
        shown="no log-in",
        alias="SPRING_MAIL_USERNAME",
    )
    password: Annotated[Secret | None, Field(validate_default=True)] = setting(
        "ENERGY_TRACKER_MAIL_PASSWORD",
        "Password to log in with; needs `starttls` or `tls`.",
        default=None,
        alias="SPRING_MAIL_PASSWORD",
    )
    sender: MailAddress = setting(
        "ENERGY_TRACKER_MAIL_FROM", "Address that the mails come from.", default="no-reply@localhost"
    )
    timeout: MailTimeout = setting(
        "ENERGY_TRACKER_MAIL_TIMEOUT",
        "How long the server may take for one mail before it is tried again later.",
        default=timedelta(seconds=30),
        shown="PT30S",
    )

    @field_validator("ca_file")
    @classmethod
    def _with_encryption(cls, file: ReadableFile | None, info: ValidationInfo) -> ReadableFile | None:
        if file is not None and info.data.get("security") == "none":
            message = "it is only used with encryption; set ENERGY_TRACKER_MAIL_SECURITY to tls, starttls or auto"
            raise ValueError(message)
        return file

    @field_validator("password")
    @classmethod
    def _with_user_name_and_encryption(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        username = info.data.get("username")
        if (username is None) != (password is None):
            message = (
                "a user name and a password go together; set both of ENERGY_TRACKER_MAIL_USERNAME and this, or none"
            )
            raise ValueError(message)
        if password is not None and info.data.get("security") not in {"starttls", "tls"}:
            message = "a password is only sent encrypted; set ENERGY_TRACKER_MAIL_SECURITY to starttls or tls"
            raise ValueError(message)
        return password


class RulesAdviser(Section):
    """Advice by rules, with no model."""

    kind: Literal["rules"] = "rules"


class OllamaAdviser(Section):
    """The language model that words advice; without `SPRING_AI_OLLAMA_BASE_URL`, rules do."""

    kind: Literal["ollama"] = "ollama"
    base_url: OllamaAddress = setting(
        "SPRING_AI_OLLAMA_BASE_URL", "Address of an Ollama server; setting it turns it on."
    )
    model: Text = setting("OLLAMA_MODEL", "Name of the model there.", default="deepseek-r1")
    deadline: Duration = setting(
        "ENERGY_TRACKER_ADVISER_DEADLINE",
        "How long the model may take in all; then the rules answer.",
        default=timedelta(seconds=60),
        shown="PT1M",
    )


MailSettings = OutboxOnly | SmtpMail
AdviserSettings = RulesAdviser | OllamaAdviser
