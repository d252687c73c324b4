"""Mails in the outbox: their identity, their state, and when the next attempt is due."""

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from energy_tracker.kit.instants import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_SECOND

MailKind = Literal["opened", "reminder", "ended"]
MailState = Literal["queued", "sent", "suppressed", "held"]
MAIL_STATES: tuple[MailState, ...] = ("queued", "sent", "suppressed", "held")

MESSAGE_ID_HOST = "alerts.energy-tracker"
DIGEST_BYTES = 15  # so that no header that holds a Message-ID has to be folded: some readers stumble over that
MAX_DOUBLINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail to one recipient, written when its episode changed, so that a repeat is the same to the byte.

    Instants are ms since 1970. `attempts` counts the attempts that were begun. `id` is the position in the outbox, 0
    before it is stored. `answers` is the Message-ID of the episode's first mail, for the reader's threads.
    """

    id: int = 0
    message_id: str
    episode_id: str
    user_id: int
    kind: MailKind
    recipient: str
    subject: str
    text: str
    html: str
    created_at_ms: int
    answers: str | None = None
    state: MailState = "queued"
    attempts: int = 0
    next_attempt_at_ms: int = 0
    last_error: str | None = None
    sent_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailPolicy:
    """When mails are due, and when they are given up. All in ms.

    `remind_after_ms`: an episode that is still open and not acknowledged this long after its opening mail was queued
    gets one reminder; None: never. `news_ms`: an opening that was never attempted and is older than this when the
    end is known is told by the ending mail alone. `held_news_ms`: held mails older than this do not go out when a
    server is configured. `lease_ms`: how long a claimed mail is nobody else's. `finish_ms`: how long an attempt that
    is under way may go on when the service ends.
    """

    remind_after_ms: int | None = None
    news_ms: int = MS_PER_HOUR
    held_news_ms: int = MS_PER_DAY
    give_up_after_ms: int = 3 * MS_PER_DAY
    first_retry_ms: int = 10 * MS_PER_SECOND
    last_retry_ms: int = 30 * MS_PER_MINUTE
    lease_ms: int = 2 * MS_PER_MINUTE
    finish_ms: int = 5 * MS_PER_SECOND

    @property
    def longest_attempt_ms(self) -> int:
        """How long an attempt may take: a quarter of the lease is left for what the clocks of two processes differ."""
        return self.lease_ms * 3 // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """Where mails go out. Without a `host` they stay in the outbox, listed as held.

    `security`: `tls` from the first byte, `starttls` or nothing sent, `auto`: STARTTLS where the server offers it,
    `none`. `timeout_s` bounds the whole conversation about one mail. `ca_file` names the certificates to trust instead
    of the system's.
    """

    host: str | None = None
    port: int = 25
    security: Literal["auto", "none", "starttls", "tls"] = "auto"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sender: str = "no-reply@localhost"
    sender_name: str = "Energy Tracker"
    timeout_s: float = 30.0
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The server has taken the mail."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """The mail was not taken, or nobody knows: it is to be tried again. `whole_server`: so would any other mail be."""

    reason: str
    whole_server: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The server says for good that it does not take this mail, or this recipient."""

    reason: str


@dataclass(frozen=True, slots=True)
class Held:
    """There is no server; the mail stays listed."""


Outcome = Delivered | Deferred | Refused | Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What an attempt makes of a mail. `next_attempt_at_ms` counts where it stays queued."""

    state: MailState
    at_ms: int
    next_attempt_at_ms: int = 0
    error: str | None = None


def message_id(episode_id: str, kind: MailKind) -> str:
    """Return the Message-ID (RFC 5322, section 3.6.4) of an episode's mail: the same for the same mail, always."""
    digest = blake2b(f"{kind}|{episode_id}".encode(), digest_size=DIGEST_BYTES).hexdigest()
    return f"<{digest}.{kind}@{MESSAGE_ID_HOST}>"


def retry_delay_ms(failures: int, policy: MailPolicy, *, random: float) -> int:
    """Return the pause after so many failures: doubled each time, limited, less up to half by `random` (0 to 1)."""
    ceiling_ms = min(policy.first_retry_ms << min(max(failures - 1, 0), MAX_DOUBLINGS), policy.last_retry_ms)
    return ceiling_ms - int(ceiling_ms * random / 2)
