"""Answers of alert-service (wire contract, version 1). Energies in kWh, instants in ISO-8601."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from energy_tracker.kit.wire import WireAnswer

AlertState = Literal["open", "acknowledged", "ended"]
MailState = Literal["queued", "sent", "suppressed", "held"]
MailKind = Literal["opened", "reminder", "ended"]

ABSENT = Field(exclude_if=lambda member: member is None)
"""A member without a value is left out of the answer."""


class AlertAnswer(WireAnswer):
    """An episode: one stretch of time in which one rule was broken. Members without a value are absent.

    `sent`: a mail about it has gone out. `state` is `ended` from the end on, whether anybody acknowledged it or not.
    """

    id: str
    user_id: int
    device_id: Annotated[int | None, ABSENT] = None
    rule: str
    state: AlertState
    opened_at: datetime
    ended_at: Annotated[datetime | None, ABSENT] = None
    acknowledged_at: Annotated[datetime | None, ABSENT] = None
    message: str
    threshold: Annotated[float | None, ABSENT] = None
    energy_consumed: Annotated[float | None, ABSENT] = None
    sent: bool


class AlertPage(WireAnswer):
    """A page of episodes, newest first; `next` is the cursor of the following page, or null."""

    items: list[AlertAnswer]
    next: str | None


class AlertCount(WireAnswer):
    """How many episodes there are."""

    count: int


class MailAnswer(WireAnswer):
    """A mail of the outbox.

    `queued`: to be sent, or tried again at `nextAttemptAt`; `sent`: taken by the mail server; `held`: there is no mail
    server; `suppressed`: not sent, and will not be, for the reason in `lastError`.
    """

    id: int
    alert_id: str
    user_id: int
    kind: MailKind
    to: str
    subject: str
    text: str
    state: MailState
    attempts: int
    last_error: str | None
    message_id: str
    created_at: datetime
    next_attempt_at: datetime | None
    sent_at: datetime | None


class MailPage(WireAnswer):
    """A page of the outbox, newest first; `next` is the cursor of the following page, or null."""

    items: list[MailAnswer]
    next: str | None
