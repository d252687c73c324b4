"""Operations of revisions, which find their work done where an earlier run was interrupted.

MySQL and MariaDB commit each change of a table by itself. So a run that was killed leaves the first part of a revision
behind, and the next one has to go on from there: an operation does nothing where what it would make is there already.
Revisions use these and no other operations; what a released revision uses does not change its meaning.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from energy_tracker.kit.problems import Problem


class TableOfOthers(Problem):
    """The database holds a table by the name of one of ours that was made by something else; it is left alone."""

    status = 500
    title = "The database belongs to something else"


def identity() -> sa.types.TypeEngine[int]:
    """Return the type of a key that the database counts up (`storage.sql.IDENTITY`)."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def instant() -> sa.types.TypeEngine[datetime]:
    """Return the type of an instant in UTC, to the microsecond."""
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def create_table(name: str, *parts: sa.schema.SchemaItem) -> None:
    """Create a table whose texts are compared by their characters, all of them, whatever the database's collation.

    Raises `TableOfOthers` where there is a table of this name with other columns.
    """
    bind = op.get_bind()
    if sa.inspect(bind).has_table(name):
        _check_columns(name, {part.name for part in parts if isinstance(part, sa.Column)})
        return
    op.create_table(
        name,
        *parts,
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin" if getattr(bind.dialect, "is_mariadb", False) else "utf8mb4_0900_bin",
    )


def _check_columns(table: str, expected: set[str]) -> None:
    found = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    if found != expected:
        message = (
            f"The database holds a table `{table}` that Energy Tracker has not made (columns "
            f"{', '.join(sorted(found))}). Nothing was changed in it; give Energy Tracker a database of its own."
        )
        raise TableOfOthers(message)


def create_index(name: str, table: str, columns: Sequence[str]) -> None:
    """Create an index of a table."""
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns)


def create_counter(service: str) -> None:
    """Create the table of one row that counts the versions of a service's entries, and the row, at 0."""
    name = f"{service}_counter"
    create_table(
        name,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    counter = sa.table(name, sa.column("id"), sa.column("version"))
    if op.get_bind().scalar(sa.select(counter.c.id)) is None:
        op.execute(sa.insert(counter).values(id=1, version=0))
