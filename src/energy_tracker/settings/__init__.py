"""Settings: one typed tree, read once at start from the environment. Only the command line and the wiring read it."""

from energy_tracker.settings.backends import (
    DatasourceSettings,
    InfluxReadings,
    KafkaLog,
    LogSettings,
    MysqlDatasource,
    ReadingsSettings,
    SqliteDatasource,
    SqliteLog,
    SqliteReadings,
)
from energy_tracker.settings.loading import InvalidConfiguration, load_settings
from energy_tracker.settings.outside import (
    AdviserSettings,
    MailSettings,
    OllamaAdviser,
    OutboxOnly,
    RulesAdviser,
    SmtpMail,
)
from energy_tracker.settings.secrets import WrongVariable
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
from energy_tracker.settings.tree import Settings

__all__ = [
    "AdviserSettings",
    "AlertSettings",
    "DatasourceSettings",
    "InfluxReadings",
    "IngestionSettings",
    "InvalidConfiguration",
    "KafkaLog",
    "LogSettings",
    "MailSettings",
    "MysqlDatasource",
    "NetworkSettings",
    "OllamaAdviser",
    "OutboxOnly",
    "PeerSettings",
    "PortSettings",
    "ReadingsSettings",
    "RetentionSettings",
    "RulesAdviser",
    "Settings",
    "SimulationSettings",
    "SmtpMail",
    "SqliteDatasource",
    "SqliteLog",
    "SqliteReadings",
    "UsageSettings",
    "WrongVariable",
    "load_settings",
]
