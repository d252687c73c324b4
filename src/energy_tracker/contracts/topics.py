"""Names of the topics and of the groups that consume them (wire contract, version 1)."""

ENERGY_USAGE = "energy-usage"
ENERGY_USAGE_BY_OWNER = "energy-usage-by-owner"
ENERGY_USAGE_STATE = "energy-usage-state"
ENERGY_INTAKE = "energy-intake"
ENERGY_ALERTS = "energy-alerts"
ENERGY_ALERT_EPISODES = "energy-alert-episodes"

DEAD_LETTER_SUFFIX = ".dlt"

USAGE_GROUP = "usage-service"
ALERT_GROUP = "alert-service"


def dead_letter_topic(topic: str) -> str:
    """Return the topic that takes what `topic`'s consumers could not use."""
    return topic + DEAD_LETTER_SUFFIX
