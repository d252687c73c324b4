"""Alerts, as the original's table names them, their mails, and the consumer's positions."""

import sqlalchemy as sa

from energy_tracker.storage import revisions

revision = "0001"
down_revision = None


def upgrade() -> None:
    revisions.create_table(
        "alert",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("sent", sa.Boolean, nullable=False),
        sa.Column("created_at", revisions.instant(), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("rule_name", sa.String(64), nullable=False),
        sa.Column("device_id", sa.BigInteger, nullable=True),
        sa.Column("opened_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=True),
        sa.Column("acknowledged_at_ms", sa.BigInteger, nullable=True),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("threshold_kwh", sa.Double, nullable=True),
        sa.Column("energy_consumed_kwh", sa.Double, nullable=True),
    )
    revisions.create_index("alert_by_user", "alert", ["user_id", "opened_at_ms", "id"])
    revisions.create_index("alert_by_time", "alert", ["opened_at_ms", "id"])
    revisions.create_table(
        "mail",
        sa.Column("id", revisions.identity(), primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(190), nullable=False),
        sa.Column("alert_id", sa.String(128), nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("recipient", sa.String(254), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("text_body", sa.Text, nullable=False),
        sa.Column("html_body", sa.Text, nullable=False),
        sa.Column("answers", sa.String(190), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at_ms", sa.BigInteger, nullable=False),
        sa.Column("last_error", sa.String(500), nullable=True),
        sa.Column("sent_at_ms", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("message_id", name="mail_message_id"),
    )
    revisions.create_index("mail_by_due", "mail", ["state", "next_attempt_at_ms"])
    revisions.create_index("mail_by_alert", "mail", ["alert_id", "id"])
    revisions.create_index("mail_by_user", "mail", ["user_id"])
    revisions.create_table(
        "alert_position",
        sa.Column("partition_number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("log_offset", sa.BigInteger, nullable=False),
    )
