"""Users, as the original's table has them, and the version that counts over all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    exact = sa.String(762).with_variant(sa.String(762, collation="utf8mb4_bin"), "mysql", "mariadb")
    op.create_table(
        "user",
        sa.Column("id", identity, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("surname", sa.String(200), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("address", sa.String(500), nullable=False),
        sa.Column("alerting", sa.Boolean, nullable=False),
        sa.Column("energy_alerting_threshold", sa.Double, nullable=True),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("email_key", exact, nullable=True),
        sa.Column("search_key", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("email_key", name="user_email_key"),
        sa.UniqueConstraint("version", name="user_by_version"),
    )
    counter = op.create_table(
        "user_counter",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(counter, [{"id": 1, "version": 0}])
