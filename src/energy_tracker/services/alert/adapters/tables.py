"""The tables of alert-service, as its migrations leave them, and the way between rows and the model."""

from typing import Any, get_args

import sqlalchemy as sa

from energy_tracker.services.alert.model.episodes import Episode
from energy_tracker.services.alert.model.mails import Mail, MailKind, MailState
from energy_tracker.storage.sql import IDENTITY

_metadata = sa.MetaData()

ALERT = sa.Table(
    "alert",
    _metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("user_id", sa.BigInteger),
    sa.Column("sent", sa.Boolean),
    sa.Column("created_at", sa.DateTime),
    sa.Column("version", sa.BigInteger),
    sa.Column("rule_name", sa.String(64)),
    sa.Column("device_id", sa.BigInteger),
    sa.Column("opened_at_ms", sa.BigInteger),
    sa.Column("ended_at_ms", sa.BigInteger),
    sa.Column("acknowledged_at_ms", sa.BigInteger),
    sa.Column("message", sa.Text),
    sa.Column("threshold_kwh", sa.Double),
    sa.Column("energy_consumed_kwh", sa.Double),
)

MAIL = sa.Table(
    "mail",
    _metadata,
    sa.Column("id", IDENTITY, primary_key=True, autoincrement=True),
    sa.Column("message_id", sa.String(190)),
    sa.Column("alert_id", sa.String(128)),
    sa.Column("user_id", sa.BigInteger),
    sa.Column("kind", sa.String(16)),
    sa.Column("recipient", sa.String(254)),
    sa.Column("subject", sa.String(300)),
    sa.Column("text_body", sa.Text),
    sa.Column("html_body", sa.Text),
    sa.Column("answers", sa.String(190)),
    sa.Column("created_at_ms", sa.BigInteger),
    sa.Column("state", sa.String(16)),
    sa.Column("attempts", sa.Integer),
    sa.Column("next_attempt_at_ms", sa.BigInteger),
    sa.Column("last_error", sa.String(500)),
    sa.Column("sent_at_ms", sa.BigInteger),
)

POSITION = sa.Table(
    "alert_position",
    _metadata,
    sa.Column("partition_number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("log_offset", sa.BigInteger),
)

MAX_ERROR = 500
_KINDS: dict[str, MailKind] = {kind: kind for kind in get_args(MailKind)}
_STATES: dict[str, MailState] = {state: state for state in get_args(MailState)}


def episode_row(episode: Episode) -> dict[str, Any]:
    """Return the columns that a transition decides."""
    return {
        "user_id": episode.user_id,
        "version": episode.version,
        "rule_name": episode.rule,
        "device_id": episode.device_id,
        "opened_at_ms": episode.opened_at_ms,
        "ended_at_ms": episode.ended_at_ms,
        "message": episode.message,
        "threshold_kwh": episode.threshold_kwh,
        "energy_consumed_kwh": episode.energy_consumed_kwh,
    }


def episode_of(row: sa.Row[Any]) -> Episode:
    """Return the episode of a row of `ALERT`."""
    return Episode(
        id=row.id,
        version=row.version,
        user_id=row.user_id,
        rule=row.rule_name,
        opened_at_ms=row.opened_at_ms,
        message=row.message,
        device_id=row.device_id,
        ended_at_ms=row.ended_at_ms,
        threshold_kwh=row.threshold_kwh,
        energy_consumed_kwh=row.energy_consumed_kwh,
        acknowledged_at_ms=row.acknowledged_at_ms,
        sent=bool(row.sent),
    )


def mail_row(mail: Mail) -> dict[str, Any]:
    """Return the columns of a mail, without its number."""
    return {
        "message_id": mail.message_id,
        "alert_id": mail.episode_id,
        "user_id": mail.user_id,
        "kind": mail.kind,
        "recipient": mail.recipient,
        "subject": mail.subject,
        "text_body": mail.text,
        "html_body": mail.html,
        "answers": mail.answers,
        "created_at_ms": mail.created_at_ms,
        "state": mail.state,
        "attempts": mail.attempts,
        "next_attempt_at_ms": mail.next_attempt_at_ms,
        "last_error": mail.last_error,
        "sent_at_ms": mail.sent_at_ms,
    }


def mail_of(row: sa.Row[Any]) -> Mail:
    """Return the mail of a row of `MAIL`."""
    return Mail(
        id=row.id,
        message_id=row.message_id,
        episode_id=row.alert_id,
        user_id=row.user_id,
        kind=_KINDS[row.kind],
        recipient=row.recipient,
        subject=row.subject,
        text=row.text_body,
        html=row.html_body,
        answers=row.answers,
        created_at_ms=row.created_at_ms,
        state=_STATES[row.state],
        attempts=row.attempts,
        next_attempt_at_ms=row.next_attempt_at_ms,
        last_error=row.last_error,
        sent_at_ms=row.sent_at_ms,
    )
