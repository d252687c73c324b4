"""What the errors of a database mean: busy, down, full, damaged, or a transaction that had no effect."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import exc

from energy_tracker.kit.problems import StorageFull, TemporarilyUnavailable

# Of MySQL and MariaDB, by their names in the manuals.
_UNDONE = frozenset(
    {
        1020,  # ER_CHECKREAD: the row has changed since this transaction began
        1205,  # ER_LOCK_WAIT_TIMEOUT
        1213,  # ER_LOCK_DEADLOCK
        1412,  # ER_TABLE_DEF_CHANGED: a table was made or changed since this transaction began
    }
)
_LOST = frozenset({1053})  # ER_SERVER_SHUTDOWN; SQLAlchemy knows the others
_REFUSED = frozenset(
    {
        1044,  # ER_DBACCESS_DENIED_ERROR
        1045,  # ER_ACCESS_DENIED_ERROR
        1049,  # ER_BAD_DB_ERROR
        1130,  # ER_HOST_NOT_PRIVILEGED
        1142,  # ER_TABLEACCESS_DENIED_ERROR
        1698,  # ER_ACCESS_DENIED_NO_PASSWORD_ERROR
        3118,  # ER_ACCOUNT_HAS_BEEN_LOCKED
        3159,  # ER_SECURE_TRANSPORT_REQUIRED
    }
)
_NO_CONNECTION_LEFT = frozenset({1040, 1203, 1226})
_TAKES_NO_WRITES = frozenset({1290, 1792, 1836})
_FULL = frozenset({1021, 1114})  # ER_DISK_FULL, ER_RECORD_FILE_FULL
_FULL_WORDS = "No space left on device"
# Out of memory or threads, a network error, an interrupted or too long statement, an error of the storage engine.
_OVERWHELMED = frozenset({1030, 1037, 1038, 1041, 1135, 1158, 1159, 1160, 1161, 1317, 1969, 3024})
_OF_THE_CLIENT = range(2000, 3000)  # numbers that the driver gives: there was no answer


class DatabaseDamaged(TemporarilyUnavailable):
    """The database file is not one, or is corrupt; it is left as it is."""

    title = "The database is damaged"


class DatabaseRefuses(TemporarilyUnavailable):
    """There is no such database, or the login is not allowed to use it: somebody has to set it up."""

    title = "The database refuses"


class TransactionUndone(TemporarilyUnavailable):
    """Another transaction was in the way, or the connection was lost before the commit: nothing has happened.

    The same transaction may be run again at once (`storage.whole_transactions`).
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retry_after_s=1)


@dataclass(slots=True)
class Attempt:
    """How far a transaction has come. Once it is `committing`, a lost connection may have done it or not."""

    committing: bool = False


@contextmanager
def database_problems() -> Iterator[Attempt]:
    """Turn the errors of a database that is down, busy, full or damaged into the problems that say so.

    An `sqlalchemy.exc.IntegrityError` passes: the repository knows what it means.
    """
    attempt = Attempt()
    try:
        yield attempt
    except exc.TimeoutError as error:
        raise TemporarilyUnavailable("The database is busy.") from error
    except exc.IntegrityError:
        raise
    except (exc.OperationalError, exc.InterfaceError, exc.DatabaseError) as error:
        raise _problem_of(error, attempt) from error


def _problem_of(error: exc.DBAPIError, attempt: Attempt) -> Exception:
    name = getattr(error.orig, "sqlite_errorname", "")
    problem = _sqlite_problem(name) if name else _server_problem(error, attempt)
    return problem or error


def _server_problem(error: exc.DBAPIError, attempt: Attempt) -> Exception | None:  # noqa: PLR0911 - a table
    number, words = _number_and_words(error)
    if number in _FULL or _FULL_WORDS in words:
        return StorageFull("The disk that holds the database is full; make room, and it goes on by itself.")
    if number in _UNDONE:
        return TransactionUndone("Other changes of the database were in the way.")
    if error.connection_invalidated or number in _LOST:
        message = "The connection to the database was lost."
        return TemporarilyUnavailable(message) if attempt.committing else TransactionUndone(message)
    if number in _REFUSED:
        return DatabaseRefuses(f"The database refuses: {words}.", retry_after_s=60)
    if number in _NO_CONNECTION_LEFT:
        return TemporarilyUnavailable("The database takes no further connection.")
    if number in _TAKES_NO_WRITES:
        return TemporarilyUnavailable("The database takes no changes at present.")
    if number in _OF_THE_CLIENT and "SSL" in words:
        return DatabaseRefuses(f"The database and this service do not agree on TLS: {words}.", retry_after_s=60)
    unanswered = number is None or number in _OF_THE_CLIENT or number in _OVERWHELMED
    if unanswered and isinstance(error, (exc.OperationalError, exc.InterfaceError)):
        return TemporarilyUnavailable("The database does not answer.")
    return None


def _number_and_words(error: exc.DBAPIError) -> tuple[int | None, str]:
    arguments = error.orig.args if error.orig is not None else ()
    number = arguments[0] if arguments and isinstance(arguments[0], int) else None
    return number, " ".join(str(each) for each in arguments[1:]).rstrip(".")


def _sqlite_problem(name: str) -> Exception | None:
    """Return the problem that SQLite's extended error name means; None: a mistake in a statement."""
    if name.startswith("SQLITE_FULL"):
        return StorageFull("The disk that holds the database is full; make room, and it goes on by itself.")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return DatabaseDamaged("The database file is damaged; run `energy-tracker doctor`.", retry_after_s=60)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return TemporarilyUnavailable("The database is locked by another process.")
    if name.startswith("SQLITE_READONLY"):
        return TemporarilyUnavailable("The database file cannot be written to.")
    if name.startswith(("SQLITE_ERROR", "SQLITE_TOOBIG", "SQLITE_RANGE", "SQLITE_MISUSE")):
        return None
    return TemporarilyUnavailable("The database does not answer.")
