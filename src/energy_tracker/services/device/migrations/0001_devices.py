"""Devices, as the original's table has them, who had them when, and the version that counts over all of them."""

import sqlalchemy as sa

from energy_tracker.storage import revisions

revision = "0001"
down_revision = None


def upgrade() -> None:
    revisions.create_table(
        "device",
        sa.Column("id", revisions.identity(), primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("location", sa.String(200), nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("parent_id", sa.BigInteger, nullable=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("max_hold_ms", sa.BigInteger, nullable=False),
        sa.Column("rated_power_w", sa.Double, nullable=True),
        sa.Column("silent_after_ms", sa.BigInteger, nullable=True),
        sa.Column("search_key", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("retired_at_ms", sa.BigInteger, nullable=True),
        sa.Column("erased", sa.Boolean, nullable=False),
        sa.UniqueConstraint("version", name="device_by_version"),
    )
    revisions.create_index("device_by_user", "device", ["user_id"])
    revisions.create_index("device_by_parent", "device", ["parent_id"])
    revisions.create_table(
        "device_assignment",
        sa.Column("device_id", sa.BigInteger, sa.ForeignKey("device.id"), primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("from_ms", sa.BigInteger, nullable=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("parent_id", sa.BigInteger, nullable=True),
    )
    revisions.create_counter("device")
