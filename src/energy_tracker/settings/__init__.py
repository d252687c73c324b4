"""Settings: one typed tree, read once at start from the environment. Only the command line and the wiring read it."""

from energy_tracker.settings.loading import InvalidConfiguration, WrongVariable, load_settings
from energy_tracker.settings.tree import (
    AdviserSettings,
    AlertSettings,
    IngestionSettings,
    MailSettings,
    NetworkSettings,
    OllamaAdviser,
    OutboxOnly,
    PortSettings,
    RetentionSettings,
    RulesAdviser,
    Settings,
    SimulationSettings,
    SmtpMail,
    UsageSettings,
)

__all__ = [
    "AdviserSettings",
    "AlertSettings",
    "IngestionSettings",
    "InvalidConfiguration",
    "MailSettings",
    "NetworkSettings",
    "OllamaAdviser",
    "OutboxOnly",
    "PortSettings",
    "RetentionSettings",
    "RulesAdviser",
    "Settings",
    "SimulationSettings",
    "SmtpMail",
    "UsageSettings",
    "WrongVariable",
    "load_settings",
]
