"""Opening the SQLite files that `apsw` owns: how they are set up, and errors that name the file."""

from pathlib import Path

import apsw

from energy_tracker.kit.problems import TemporarilyUnavailable

_BUSY_TIMEOUT_MS = 5_000
_CHECKPOINT_PAGES = 4_000
_WAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024


class DatabaseUnreadable(TemporarilyUnavailable):
    """The file is there, but it is not a sound database; nothing of it was changed."""

    title = "A data file is damaged"


def open_for_writing(path: Path) -> apsw.Connection:
    """Open or create a database in WAL mode, every commit fsynced (`synchronous=FULL`).

    Raises `DatabaseUnreadable` where the file is damaged or cannot be opened: never a silent fresh start.
    """
    return _open(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)


def open_for_reading(path: Path) -> apsw.Connection:
    """Open an existing database read-only. Raises `DatabaseUnreadable`."""
    return _open(path, apsw.SQLITE_OPEN_READONLY)


def _open(path: Path, flags: int) -> apsw.Connection:
    connection: apsw.Connection | None = None
    try:
        connection = apsw.Connection(str(path), flags=flags)
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        if flags & apsw.SQLITE_OPEN_READWRITE:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = FULL").fetchall()
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}").fetchall()
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_SIZE_LIMIT_BYTES}").fetchall()
        connection.execute("PRAGMA temp_store = MEMORY").fetchall()
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except (apsw.NotADBError, apsw.CorruptError, apsw.CantOpenError, apsw.IOError, apsw.ReadOnlyError) as error:
        if connection is not None:
            connection.close()
        raise unreadable(path, error) from error
    return connection


def unreadable(path: Path, error: Exception) -> DatabaseUnreadable:
    """Return the error that says which file cannot be used, and why."""
    return DatabaseUnreadable(
        f"{path} cannot be used ({error}). It was left as it is; restore a backup, or move it away to begin anew."
    )
