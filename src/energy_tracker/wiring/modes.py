"""The two modes: all services in one process on SQLite, or each in a process of its own on shared backends."""

from collections.abc import Iterator
from typing import Final

from energy_tracker.settings import InvalidConfiguration, Settings, WrongVariable

SERVICES: Final = ("user", "device", "ingestion", "usage", "alert", "insight")
_WITH_DATABASE: Final = frozenset({"user", "device", "alert"})
_WITH_LOG: Final = frozenset({"ingestion", "usage", "alert"})
_PEERS: Final = {"user_url": "USER_SERVICE_URL", "device_url": "DEVICE_SERVICE_URL", "usage_url": "USAGE_SERVICE_URL"}


def refuse_other_backends(settings: Settings) -> None:
    """Raise `InvalidConfiguration` where settings name what the one process that runs all services does not use."""
    errors = tuple(WrongVariable(name, _only_served(name, what, by)) for name, what, by in _named(settings))
    if errors:
        raise InvalidConfiguration(errors)


def _named(settings: Settings) -> Iterator[tuple[str, str, str]]:
    if settings.datasource.kind != "sqlite":
        yield "SPRING_DATASOURCE_URL", "MySQL", "user, device and alert"
    if settings.log.kind != "sqlite":
        yield "SPRING_KAFKA_BOOTSTRAP_SERVERS", "Kafka", "ingestion, usage and alert"
    if settings.readings.kind != "sqlite":
        yield "INFLUX_URL", "InfluxDB", "usage"
    for field, name in _PEERS.items():
        if field in settings.peers.model_fields_set:
            yield name, "a service in another process", "the others"


def _only_served(name: str, what: str, by: str) -> str:
    return (
        f"names {what}, but one process for all services, as `up` runs it, is on SQLite alone. Unset {name}, or start "
        f"each service with `energy-tracker serve` (it is used by {by}); `--at` leads other commands to running ones"
    )


def uses_database(service: str) -> bool:
    """Return whether a service keeps something in the database of users, devices and alerts."""
    return service in _WITH_DATABASE


def uses_log(service: str) -> bool:
    """Return whether a service writes to the log or reads it."""
    return service in _WITH_LOG


def uses_folder(service: str, settings: Settings) -> bool:
    """Return whether a service, in a process of its own, keeps files in the data folder."""
    return uses_database(service) and settings.datasource.kind == "sqlite"
