"""The tree of settings: every field names its variable, its meaning, its default."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from energy_tracker.settings.backends import (
    DatasourceSettings,
    LogSettings,
    ReadingsSettings,
    SqliteDatasource,
    SqliteLog,
    SqliteReadings,
)
from energy_tracker.settings.forms import Folder, LogLevel, Section, ServicesAddress, TimeZoneName
from energy_tracker.settings.outside import AdviserSettings, MailSettings, OutboxOnly, RulesAdviser
from energy_tracker.settings.services import (
    AlertSettings,
    IngestionSettings,
    NetworkSettings,
    PeerSettings,
    PortSettings,
    RetentionSettings,
    SimulationSettings,
    UsageSettings,
)
from energy_tracker.settings.variables import setting


class Settings(Section):
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
    services_at: ServicesAddress | None = setting(
        "ENERGY_TRACKER_SERVICES_AT",
        "Where commands find services that run elsewhere or on their own, each at its port (see Ports); `{service}` "
        "stands for the service's name, as in `http://{service}-service`.",
        default=None,
        shown="those that run on the data folder",
    )
    network: NetworkSettings = NetworkSettings()
    ports: PortSettings = PortSettings()
    ingestion: IngestionSettings = IngestionSettings()
    usage: UsageSettings = UsageSettings()
    retention: RetentionSettings = RetentionSettings()
    alerts: AlertSettings = AlertSettings()
    datasource: DatasourceSettings = Field(default=SqliteDatasource(), discriminator="kind")
    log: LogSettings = Field(default=SqliteLog(), discriminator="kind")
    readings: ReadingsSettings = Field(default=SqliteReadings(), discriminator="kind")
    peers: PeerSettings = PeerSettings()
    mail: MailSettings = Field(default=OutboxOnly(), discriminator="kind")
    adviser: AdviserSettings = Field(default=RulesAdviser(), discriminator="kind")
    simulation: SimulationSettings = SimulationSettings()

    @field_validator("readings")
    @classmethod
    def _with_the_log_in_kafka(cls, readings: ReadingsSettings, info: ValidationInfo) -> ReadingsSettings:
        log = info.data.get("log")
        if readings.kind == "influx" and log is not None and log.kind == "sqlite":
            message = (
                "readings in InfluxDB need the log in Kafka: set SPRING_KAFKA_BOOTSTRAP_SERVERS too, for "
                "`energy-tracker serve`; `energy-tracker up` keeps both in SQLite"
            )
            raise ValueError(message)
        return readings
