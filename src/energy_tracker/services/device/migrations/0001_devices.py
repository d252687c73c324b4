"""Devices, as the original's table has them, who had them when, and the version that counts over all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "device",
        sa.Column("id", identity, primary_key=True, autoincrement=True),
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
    op.create_index("device_by_user", "device", ["user_id"])
    op.create_index("device_by_parent", "device", ["parent_id"])
    op.create_table(
        "device_assignment",
        sa.Column("device_id", sa.BigInteger, sa.ForeignKey("device.id"), primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("from_ms", sa.BigInteger, nullable=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("parent_id", sa.BigInteger, nullable=True),
    )
    counter = op.create_table(
        "device_counter",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counter, [{"id": 1, "version": 0}])
