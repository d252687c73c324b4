"""Users, as the original's table has them, and the version that counts over all of them."""

import sqlalchemy as sa

from energy_tracker.storage import revisions

revision = "0001"
down_revision = None


def upgrade() -> None:
    revisions.create_table(
        "user",
        sa.Column("id", revisions.identity(), primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("surname", sa.String(200), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("address", sa.String(500), nullable=False),
        sa.Column("alerting", sa.Boolean, nullable=False),
        sa.Column("energy_alerting_threshold", sa.Double, nullable=True),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("email_key", sa.String(762), nullable=True),
        sa.Column("search_key", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("email_key", name="user_email_key"),
        sa.UniqueConstraint("version", name="user_by_version"),
    )
    revisions.create_counter("user")
