"""The tree of settings: every field names its variable, its meaning, its default."""

import difflib
import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)

from energy_tracker.kit.instants import NO_ZONE_NAMES, parse_duration, zone_names
from energy_tracker.settings.variables import Form, setting

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*", re.ASCII)
_MAIL_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]]+@[A-Za-z0-9.-]+", re.ASCII)
_PLACEHOLDERS = frozenset({"changeme", "change-me", "default", "example", "password", "secret", "admin", "xxx"})


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


def _web_address(url: str) -> str:
    message = "it is not an address such as http://127.0.0.1:11434"
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
WebAddress = Annotated[str, AfterValidator(_web_address), Form("an address such as http://127.0.0.1:11434")]
MailAddress = Annotated[str, AfterValidator(_mail_address), Form("a mail address")]
Secret = Annotated[SecretStr, AfterValidator(_no_placeholder), Form("a secret, never shown")]
LogLevel = Literal["debug", "info", "warning", "error"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class NetworkSettings(_Section):
    """Where the services listen."""

    allow_unauthenticated_network: Switch = setting(
        "ENERGY_TRACKER_ALLOW_UNAUTHENTICATED_NETWORK",
        "There are no accounts yet: whoever reaches the ports can read and delete everything. "
        "`yes` says that this is known, and that listening beyond this machine is wanted all the same.",
        default=False,
    )
    host: Host = setting(
        "ENERGY_TRACKER_HOST",
        "The address to listen on. Any other than a loopback one is refused, unless "
        "`ENERGY_TRACKER_ALLOW_UNAUTHENTICATED_NETWORK` allows it.",
        default="127.0.0.1",
    )

    @field_validator("host")
    @classmethod
    def _loopback_unless_allowed(cls, host: str, info: ValidationInfo) -> str:
        if host == "localhost" or info.data.get("allow_unauthenticated_network"):
            return host
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            message = (
                f"{host} can be reached from other machines, and there are no accounts yet; use 127.0.0.1, "
                "or set ENERGY_TRACKER_ALLOW_UNAUTHENTICATED_NETWORK=yes if everyone there may read and delete all data"
            )
            raise ValueError(message)
        return host


class PortSettings(_Section):
    """The port of each service."""

    model_config = ConfigDict(validate_default=True)  # one that is set may be the default of another

    user: Port = setting("ENERGY_TRACKER_USER_PORT", "Port of user-service.", default=8080)
    device: Port = setting("ENERGY_TRACKER_DEVICE_PORT", "Port of device-service.", default=8081)
    ingestion: Port = setting("ENERGY_TRACKER_INGESTION_PORT", "Port of ingestion-service.", default=8082)
    usage: Port = setting("ENERGY_TRACKER_USAGE_PORT", "Port of usage-service.", default=8083)
    alert: Port = setting("ENERGY_TRACKER_ALERT_PORT", "Port of alert-service.", default=8084)
    insight: Port = setting("ENERGY_TRACKER_INSIGHT_PORT", "Port of insight-service.", default=8085)
    console: Port = setting("ENERGY_TRACKER_CONSOLE_PORT", "Port of the web console.", default=8000)

    @field_validator("*")
    @classmethod
    def _of_one_service_only(cls, port: int, info: ValidationInfo) -> int:
        taken = [name for name, other in info.data.items() if other == port != 0]
        if taken:
            message = f"{port} is also the port of {taken[0]}-service; each needs one of its own"
            raise ValueError(message)
        return port


class IngestionSettings(_Section):
    """How much ingestion-service takes at once."""

    body_bytes: Count = setting(
        "ENERGY_TRACKER_INGESTION_BODY_BYTES",
        "Largest body of a request in bytes, as sent and unpacked; a larger one gets 413.",
        default=8_000_000,
    )
    batch_items: Annotated[Count, Field(le=10_000), Form("a whole number, 1 to 10000")] = setting(
        "ENERGY_TRACKER_INGESTION_BATCH_ITEMS", "Most readings in one batch; more get 413.", default=10_000
    )
    waiting_readings: Count = setting(
        "ENERGY_TRACKER_INGESTION_WAITING_READINGS",
        "Most readings that may wait in memory for the log; what comes beyond gets 429 with Retry-After.",
        default=100_000,
    )
    max_lag: Count = setting(
        "ENERGY_TRACKER_INGESTION_MAX_LAG",
        "Most readings that may wait in the log for usage-service; what comes beyond gets 429 with Retry-After.",
        default=1_000_000,
    )


class UsageSettings(_Section):
    """How usage-service treats what it cannot place."""

    unknown_device_patience: Duration = setting(
        "ENERGY_TRACKER_USAGE_UNKNOWN_DEVICE_PATIENCE",
        "How long a reading of a device that nobody knows waits for its registration before it is dead-lettered.",
        default=timedelta(minutes=5),
        shown="PT5M",
    )


class RetentionSettings(_Section):
    """How long the log keeps what every service has dealt with. Raw readings are kept for ever."""

    log: Duration = setting(
        "ENERGY_TRACKER_LOG_RETENTION",
        "How long a message stays in the log after the slowest reader has used it.",
        default=timedelta(days=7),
        shown="P7D",
    )
    dead_letters: Duration = setting(
        "ENERGY_TRACKER_DEAD_LETTER_RETENTION",
        "How long a message that could not be used is kept, with its reason.",
        default=timedelta(days=30),
        shown="P30D",
    )


class AlertSettings(_Section):
    """When people are told."""

    check_interval: Duration = setting(
        "ENERGY_TRACKER_ALERT_CHECK_INTERVAL",
        "Time between two checks for what no reading tells of, such as a silent device.",
        default=timedelta(seconds=10),
        shown="PT10S",
    )
    remind_after: Duration | None = setting(
        "ENERGY_TRACKER_ALERT_REMIND_AFTER",
        "Sends one reminder of an episode that has stayed open, unacknowledged, for so long.",
        default=None,
        shown="no reminders",
    )


class OutboxOnly(_Section):
    """No mail server: mails stay in the outbox, where they can be read."""

    kind: Literal["outbox"] = "outbox"


class SmtpMail(_Section):
    """The mail server; without `SPRING_MAIL_HOST`, mails stay in the outbox, where they can be read."""

    kind: Literal["smtp"] = "smtp"
    host: Host = setting("SPRING_MAIL_HOST", "The mail server; setting it turns mail on.")
    port: PeerPort = setting("SPRING_MAIL_PORT", "Its port.", default=25)
    security: Literal["auto", "none", "starttls", "tls"] = setting(
        "ENERGY_TRACKER_MAIL_SECURITY",
        "`tls` from the first byte, `starttls` or nothing sent, `auto`: STARTTLS where the server offers it, `none`.",
        default="auto",
    )
    username: Text | None = setting(
        "ENERGY_TRACKER_MAIL_USERNAME", "Name to log in with.", default=None, shown="no log-in"
    )
    password: Annotated[Secret | None, Field(validate_default=True)] = setting(
        "ENERGY_TRACKER_MAIL_PASSWORD", "Password to log in with; needs `starttls` or `tls`.", default=None
    )
    sender: MailAddress = setting(
        "ENERGY_TRACKER_MAIL_FROM", "Address that the mails come from.", default="no-reply@localhost"
    )
    timeout: Duration = setting(
        "ENERGY_TRACKER_MAIL_TIMEOUT",
        "How long the server may take for one mail before it is tried again later.",
        default=timedelta(seconds=30),
        shown="PT30S",
    )

    @field_validator("password")
    @classmethod
    def _with_user_name_and_encryption(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        username = info.data.get("username")
        if (username is None) != (password is None):
            message = (
                "a user name and a password go together; set both of ENERGY_TRACKER_MAIL_USERNAME and this, or none"
            )
            raise ValueError(message)
        if password is not None and info.data.get("security") not in {"starttls", "tls"}:
            message = "a password is only sent encrypted; set ENERGY_TRACKER_MAIL_SECURITY to starttls or tls"
            raise ValueError(message)
        return password


class RulesAdviser(_Section):
    """Advice by rules, with no model."""

    kind: Literal["rules"] = "rules"


class OllamaAdviser(_Section):
    """The language model that words advice; without `SPRING_AI_OLLAMA_BASE_URL`, rules do."""

    kind: Literal["ollama"] = "ollama"
    base_url: WebAddress = setting("SPRING_AI_OLLAMA_BASE_URL", "Address of an Ollama server; setting it turns it on.")
    model: Text = setting("OLLAMA_MODEL", "Name of the model there.", default="deepseek-r1")
    deadline: Duration = setting(
        "ENERGY_TRACKER_ADVISER_DEADLINE",
        "How long the model may take in all; then the rules answer.",
        default=timedelta(seconds=60),
        shown="PT1M",
    )


class SimulationSettings(_Section):
    """What the simulation of ingestion-service sends once it is started."""

    requests_per_interval: Count = setting(
        "ENERGY_TRACKER_SIMULATION_REQUESTS_PER_INTERVAL", "Readings sent in each interval.", default=10
    )
    interval_ms: Count = setting("ENERGY_TRACKER_SIMULATION_INTERVAL_MS", "Length of an interval in ms.", default=1000)
    parallel_threads: Annotated[Count, Field(le=256), Form("a whole number, 1 to 256")] = setting(
        "ENERGY_TRACKER_SIMULATION_PARALLEL_THREADS", "Requests under way at the same time.", default=2
    )
    seed: Seed = setting("ENERGY_TRACKER_SIMULATION_SEED", "The same seed gives the same readings.", default=1)


MailSettings = OutboxOnly | SmtpMail
AdviserSettings = RulesAdviser | OllamaAdviser


class Settings(_Section):
    """What holds for the whole."""

    home: Folder = setting(
        "ENERGY_TRACKER_HOME",
        "The data folder; made where it is missing.",
        default=Path("~/.local/share/energy-tracker"),
        shown="energy-tracker in the XDG data directory",
    )
    default_time_zone: TimeZoneName = setting(
        "ENERGY_TRACKER_DEFAULT_TIME_ZONE", "Time zone of users who have none of their own.", default="UTC"
    )
    log_level: LogLevel = setting("ENERGY_TRACKER_LOG_LEVEL", "How much the services write to the log.", default="info")
    network: NetworkSettings = NetworkSettings()
    ports: PortSettings = PortSettings()
    ingestion: IngestionSettings = IngestionSettings()
    usage: UsageSettings = UsageSettings()
    retention: RetentionSettings = RetentionSettings()
    alerts: AlertSettings = AlertSettings()
    mail: MailSettings = Field(default=OutboxOnly(), discriminator="kind")
    adviser: AdviserSettings = Field(default=RulesAdviser(), discriminator="kind")
    simulation: SimulationSettings = SimulationSettings()
