"""The forms that the values of settings have: types whose validators say in a sentence what is wrong."""

import difflib
import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from energy_tracker.kit.instants import NO_ZONE_NAMES, parse_duration, zone_names
from energy_tracker.settings.variables import Form

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*", re.ASCII)
_MAIL_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]]+@[A-Za-z0-9.-]+", re.ASCII)
_BROKER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
_HIGHEST_PORT = 65_535
_PLACEHOLDERS = frozenset(
    {
        *("changeme", "change-me", "changeit", "default", "example", "password", "secret", "admin", "root", "xxx"),
        *("token", "my-token", "my-secret-token", "my-super-secret-auth-token"),
    }
)


def _absolute(path: Path) -> Path:
    try:
        absolute = path.expanduser().absolute()
        is_file = absolute.exists() and not absolute.is_dir()
    except (OSError, RuntimeError) as error:  # RuntimeError: the ~name of nobody
        message = f"{str(path)[:200]!r} cannot be used as a folder: {str(error)[:60]}"
        raise ValueError(message) from None
    if is_file:
        message = f"{str(absolute)!r} is a file, but the data is kept in a folder"
        raise ValueError(message)
    return absolute


def _host(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if _HOST_NAME.fullmatch(host) and not host.replace(".", "").isdigit():
            return host
        message = f"{host[:80]!r} is neither an address such as 127.0.0.1 nor the name of a machine (ports are apart)"
        raise ValueError(message) from None


def _time_zone(name: str) -> str:
    try:
        if name not in NO_ZONE_NAMES:
            return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    nearest = difflib.get_close_matches(name, sorted(zone_names()), n=1)
    hint = f"; the nearest is {nearest[0]}" if nearest else ""
    message = f"{name[:80]!r} is not an IANA time zone such as Europe/Berlin{hint}"
    raise ValueError(message)


def _duration(given: object) -> object:
    return parse_duration(given) if isinstance(given, str) else given


def _web_address(example: str) -> Callable[[str], str]:
    def checked(url: str) -> str:
        message = f"it is not an address such as {example}"
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:  # its own text may hold a password
            raise ValueError(message) from None
        if not usable:
            raise ValueError(message)
        if parts.username is not None or parts.query or parts.fragment:
            message = "the address must hold no user name, password, query or fragment"
            raise ValueError(message)
        return url.rstrip("/")

    return checked


def _services_at(address: str) -> str:
    message = "it is not an address without a port such as http://127.0.0.1 or http://{service}-service"
    try:
        parts = urlsplit(address.replace("{service}", "service"))
        host = parts.hostname or ""
        usable = parts.scheme in {"http", "https"} and host and "{" not in host and parts.port is None
    except ValueError:
        raise ValueError(message) from None
    if not usable or parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(message)
    return address.rstrip("/")


def _brokers(servers: str) -> str:
    cleaned = [server.strip() for server in servers.split(",")]
    for server in cleaned:
        named = _BROKER.fullmatch(server)
        if named is None or not 0 < int(named["port"] or 9092) <= _HIGHEST_PORT:
            message = f"{server[:80]!r} is not a broker such as kafka:9092 (several are separated by commas)"
            raise ValueError(message)
    return ",".join(cleaned)


def _file(path: Path) -> Path:
    try:
        absolute = path.expanduser().absolute()
        with absolute.open("rb"):
            return absolute
    except (OSError, RuntimeError) as error:  # RuntimeError: the ~name of nobody
        why = error.strerror if isinstance(error, OSError) else str(error)[:60]
        message = f"the file {str(path)[:200]!r} cannot be read: {why}"
        raise ValueError(message) from None


def _mail_address(address: str) -> str:
    if not _MAIL_ADDRESS.fullmatch(address):
        message = f"{address[:80]!r} is not one mail address such as no-reply@example.org"
        raise ValueError(message)
    return address


def _no_placeholder(secret: SecretStr) -> SecretStr:
    if secret.get_secret_value().strip().lower() in _PLACEHOLDERS:
        message = "it holds a placeholder instead of a real secret"
        raise ValueError(message)
    return secret


Switch = Annotated[bool, Form("`yes` or `no`")]
Text = Annotated[str, Field(min_length=1, max_length=200), Form("a text of at most 200 characters")]
TopicPrefix = Annotated[
    str,
    Field(max_length=100, pattern=r"^[A-Za-z0-9._-]*$"),
    Form("at most 100 letters, digits, full stops, hyphens and underscores"),
]
Port = Annotated[int, Field(ge=0, le=65_535), Form("a port, 1 to 65535, or 0 for any free one")]
PeerPort = Annotated[int, Field(ge=1, le=65_535), Form("a port, 1 to 65535")]
Count = Annotated[int, Field(ge=1, le=10**9), Form("a whole number, 1 or more")]
Seed = Annotated[int, Field(ge=0, lt=2**63), Form("a whole number, 0 or more")]
Duration = Annotated[
    timedelta, Field(gt=timedelta(0)), BeforeValidator(_duration), Form("an ISO-8601 duration such as PT10S or P7D")
]
Folder = Annotated[Path, AfterValidator(_absolute), Form("a folder")]
Host = Annotated[str, AfterValidator(_host), Form("an address or the name of a machine")]
TimeZoneName = Annotated[str, AfterValidator(_time_zone), Form("an IANA time zone such as Europe/Berlin")]
OllamaAddress = Annotated[
    str, AfterValidator(_web_address("http://127.0.0.1:11434")), Form("an address such as http://127.0.0.1:11434")
]
InfluxAddress = Annotated[
    str, AfterValidator(_web_address("http://127.0.0.1:8086")), Form("an address such as http://127.0.0.1:8086")
]
PeerAddress = Annotated[
    str,
    AfterValidator(_web_address("http://user-service:8080/api/v1/user")),
    Form("an address with the path, such as http://user-service:8080/api/v1/user"),
]
ServicesAddress = Annotated[
    str, AfterValidator(_services_at), Form("an address without a port, such as http://127.0.0.1")
]
Brokers = Annotated[str, AfterValidator(_brokers), Form("brokers such as kafka:9092, separated by commas")]
ReadableFile = Annotated[Path, AfterValidator(_file), Form("a file that can be read")]
MailAddress = Annotated[str, AfterValidator(_mail_address), Form("a mail address")]
Secret = Annotated[SecretStr, AfterValidator(_no_placeholder), Form("a secret, never shown")]
SecretAddress = Annotated[SecretStr, Form("an address such as jdbc:mysql://mysql:3306/energy_tracker")]
LogLevel = Literal["debug", "info", "warning", "error"]


class Section(BaseModel):
    """A part of the tree; nothing that was given shows up in an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
