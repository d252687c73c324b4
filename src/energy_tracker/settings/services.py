"""Settings of the services themselves: where they listen, how much they take, when they tell people."""

import ipaddress
from datetime import timedelta
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from energy_tracker.settings.forms import Count, Duration, Host, PeerAddress, Port, Section, Seed, Switch
from energy_tracker.settings.variables import Form, setting


class NetworkSettings(Section):
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


class PortSettings(Section):
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


class IngestionSettings(Section):
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
        "Most readings that may wait in the log for usage-service; what comes beyond gets 429 with Retry-After. "
        "Has no effect on Kafka, which keeps as much as its disks hold.",
        default=1_000_000,
    )


class UsageSettings(Section):
    """How usage-service treats what it cannot place."""

    unknown_device_patience: Duration = setting(
        "ENERGY_TRACKER_USAGE_UNKNOWN_DEVICE_PATIENCE",
        "How long a reading of a device that nobody knows waits for its registration before it is dead-lettered.",
        default=timedelta(minutes=5),
        shown="PT5M",
    )


class RetentionSettings(Section):
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


class AlertSettings(Section):
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


class SimulationSettings(Section):
    """What the simulation of ingestion-service sends once it is started."""

    requests_per_interval: Count = setting(
        "ENERGY_TRACKER_SIMULATION_REQUESTS_PER_INTERVAL", "Readings sent in each interval.", default=10
    )
    interval_ms: Count = setting("ENERGY_TRACKER_SIMULATION_INTERVAL_MS", "Length of an interval in ms.", default=1000)
    parallel_threads: Annotated[Count, Field(le=256), Form("a whole number, 1 to 256")] = setting(
        "ENERGY_TRACKER_SIMULATION_PARALLEL_THREADS", "Requests under way at the same time.", default=2
    )
    seed: Seed = setting("ENERGY_TRACKER_SIMULATION_SEED", "The same seed gives the same readings.", default=1)


class PeerSettings(Section):
    """Where a service that runs in a process of its own (`serve`) finds the others; `up` needs none of it."""

    user_url: PeerAddress = setting(
        "USER_SERVICE_URL", "user-service, with its path.", default="http://127.0.0.1:8080/api/v1/user"
    )
    device_url: PeerAddress = setting(
        "DEVICE_SERVICE_URL", "device-service, with its path.", default="http://127.0.0.1:8081/api/v1/device"
    )
    usage_url: PeerAddress = setting(
        "USAGE_SERVICE_URL", "usage-service, with its path.", default="http://127.0.0.1:8083/api/v1/usage"
    )
