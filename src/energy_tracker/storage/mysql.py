"""MySQL and MariaDB: which server a URL means, and connections that behave alike on both.

The URL is the one that Java services are given: `jdbc:mysql://host:3306/energy_tracker?sslMode=REQUIRED`. What it says
about TLS is understood; the other parameters are those of a Java driver and are passed over. How a session is set does
not depend on how the server is configured: strict, UTC, utf8mb4, no wait without an end.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from sqlalchemy import URL
from sqlalchemy.pool import PoolResetState

from energy_tracker.storage.mysql_driver import import_driver

DRIVER: Final = "mysql+asyncmy"
DEFAULT_PORT: Final = 3306
CONNECT_TIMEOUT_S: Final = 5.0
"""How long the server may take from the first packet to the end of the login."""

LOCK_WAIT_S: Final = 2
"""How long a statement waits for a row that another transaction has locked, before the transaction is run again."""

_SCHEMES = ("jdbc:mysql://", "jdbc:mariadb://", "mysql://", "mariadb://")
_SSL_MODES = {
    "DISABLED": None,
    "DISABLE": None,
    "PREFERRED": None,
    "REQUIRED": "REQUIRED",
    "TRUST": "REQUIRED",
    "VERIFY_CA": "VERIFY_CA",
    "VERIFY_IDENTITY": "VERIFY_IDENTITY",
    "VERIFY_FULL": "VERIFY_IDENTITY",
}
_SSL_FILES = {"sslca": "ssl_ca", "serversslcert": "ssl_ca", "sslcert": "ssl_cert", "sslkey": "ssl_key"}
_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS, which the server sends with every answer
_YES = frozenset({"true", "yes", "1", "required"})
# What a session must not inherit from the server's configuration. Strict: what does not fit is refused, never cut.
_SESSION = (
    "SET SESSION sql_mode='STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', time_zone='+00:00', "
    f"innodb_lock_wait_timeout={LOCK_WAIT_S}, lock_wait_timeout={LOCK_WAIT_S}, wait_timeout=28800"
)
# Reading transactions see one state; `storage.sql` gives those that write READ COMMITTED.
_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"


class Login(NamedTuple):
    """Name and password; None: none given."""

    username: str | None
    password: str | None


def mysql_url(jdbc_url: str, *, username: str | None, password: str | None) -> URL:
    """Return the URL of `storage.sql.create_engine` for the one of a Java service.

    A name and a password given apart win over those in the URL. `sslMode` (or `useSSL`, `requireSSL`,
    `verifyServerCertificate`) asks for TLS, `sslCa`, `sslCert` and `sslKey` name PEM files.
    Raises `ValueError` with a sentence that says what is wrong and never holds the password.
    """
    parts = _split(jdbc_url)
    parameters = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    in_url = _login(parts, parameters)
    name = username or in_url.username
    if not name:
        raise ValueError("The URL of the database names no user, and none is given apart.")
    host, port = _address(parts)
    return URL.create(
        DRIVER,
        username=name,
        password=password if password is not None else in_url.password,
        host=host,
        port=port,
        database=_database(parts),
        query=_tls_parameters(parameters),
    )


def _split(jdbc_url: str) -> SplitResult:
    scheme = next((each for each in _SCHEMES if jdbc_url.lower().startswith(each)), None)
    if scheme is None:
        raise ValueError(f"The URL of the database must begin with one of {', '.join(_SCHEMES)}.")
    rest = jdbc_url[len(scheme) :]
    if "#" in rest:
        raise ValueError("The URL of the database holds a `#`, which is written %23 there.")
    try:
        return urlsplit(f"mysql://{rest}")
    except ValueError:
        raise ValueError("The URL of the database cannot be read.") from None


def _login(parts: SplitResult, parameters: Mapping[str, str]) -> Login:
    written, found, _ = parts.netloc.rpartition("@")
    name, with_password, secret = written.partition(":")
    return Login(
        username=unquote(name) if found and name else parameters.get("user") or parameters.get("username"),
        password=unquote(secret) if with_password else parameters.get("password"),
    )


def _address(parts: SplitResult) -> tuple[str, int]:
    address = parts.netloc.rpartition("@")[2]
    if "," in address or "(" in address:
        raise ValueError("The URL of the database must name one host, and its port.")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("The port in the URL of the database must be a number up to 65535.") from None
    if not host:
        raise ValueError("The URL of the database names no host.")
    if port == 0:
        raise ValueError("The port in the URL of the database must not be 0.")
    return host, port or DEFAULT_PORT


def _database(parts: SplitResult) -> str:
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        raise ValueError("The URL of the database must end in the name of a database, as in mysql://host:3306/name.")
    return name


def _tls_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    files = {ours: parameters[theirs] for theirs, ours in _SSL_FILES.items() if parameters.get(theirs)}
    mode = _ssl_mode(parameters)
    if mode is None:
        return {}
    if "ssl_ca" not in files and mode != "REQUIRED" and "trustcertificatekeystoreurl" in parameters:
        raise ValueError("A Java key store cannot be read here; name the authority's certificate (PEM) with sslCa.")
    return {"ssl_mode": mode, **files}


def _ssl_mode(parameters: Mapping[str, str]) -> str | None:
    if "sslmode" in parameters:
        word = parameters["sslmode"].upper().replace("-", "_")
        if word not in _SSL_MODES:
            raise ValueError("sslMode must be DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY.")
        return _SSL_MODES[word]
    if any(parameters.get(name, "").lower() in _YES for name in ("usessl", "requiressl")):
        return "VERIFY_CA" if parameters.get("verifyservercertificate", "").lower() in _YES else "REQUIRED"
    return None


def connector(url: URL, *, statement_timeout_s: float) -> Callable[[], Awaitable[Any]]:
    """Return the function that opens a connection of the driver, logged in and with its session set.

    A statement whose answer takes longer than `statement_timeout_s` ends the connection. Raises `ValueError` where a
    file that the URL names for TLS cannot be read.
    """
    tls = _tls_context(url)
    asyncmy = import_driver()  # here, because the embedded mode has no use for it
    from asyncmy.constants.CLIENT import FOUND_ROWS

    async def connect() -> Any:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                connection = await asyncmy.connect(
                    host=url.host,
                    port=url.port or DEFAULT_PORT,
                    user=url.username,
                    # as bytes: a string would be sent as Latin-1, while the server keeps what was set as UTF-8
                    password=str(url.password or "").encode(),
                    database=url.database,
                    charset="utf8mb4",
                    client_flag=FOUND_ROWS,  # an UPDATE counts the rows that it finds, as elsewhere
                    connect_timeout=CONNECT_TIMEOUT_S,
                    read_timeout=statement_timeout_s,
                    init_command=_SESSION,
                    program_name="energy-tracker",
                    ssl=tls,
                )
                await connection.query(_ISOLATION)
        except TimeoutError as error:
            raise asyncmy.errors.OperationalError(2003, f"no answer within {CONNECT_TIMEOUT_S:g} s") from error
        return connection

    return connect


def roll_back_if_open(connection: Any, _: object, reset: PoolResetState) -> None:
    """Roll back what a connection that comes back to the pool has under way: nothing, unless something went wrong.

    To do so unasked would cost each transaction a call, and a log full of errors where the server was stopped.
    """
    if not reset.terminate_only and connection.driver_connection.server_status & _IN_TRANSACTION:
        connection.rollback()


def _tls_context(url: URL) -> ssl.SSLContext | None:
    mode = url.query.get("ssl_mode")
    if mode is None:
        return None
    files = {name: str(url.query[name]) for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in url.query}
    try:
        context = ssl.create_default_context(cafile=files.get("ssl_ca"))
        if "ssl_cert" in files:
            context.load_cert_chain(files["ssl_cert"], keyfile=files.get("ssl_key"))
    except OSError as error:  # an ssl.SSLError too
        message = f"A file that the URL of the database names for TLS cannot be used ({', '.join(files.values())})."
        raise ValueError(message) from error
    context.check_hostname = mode == "VERIFY_IDENTITY"
    context.verify_mode = ssl.CERT_NONE if mode == "REQUIRED" else ssl.CERT_REQUIRED
    return context
