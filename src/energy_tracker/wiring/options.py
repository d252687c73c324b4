"""From settings to the plain options that services take.

Imports are late: a process that runs one service alone has none of the others in memory.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from energy_tracker.eventlog.port import Retention
from energy_tracker.settings import (
    InfluxReadings,
    InvalidConfiguration,
    KafkaLog,
    MysqlDatasource,
    OllamaAdviser,
    Settings,
    SmtpMail,
    WrongVariable,
)

if TYPE_CHECKING:
    from sqlalchemy import URL

    from energy_tracker.eventlog.kafka_client import KafkaOptions
    from energy_tracker.services.alert.model.mails import MailPolicy, MailSettings
    from energy_tracker.services.ingestion.requests import RequestLimits
    from energy_tracker.storage.influx import InfluxOptions
    from energy_tracker.wiring.insight import AdviserOptions
    from energy_tracker.wiring.usage import UsageOptions

_MS = timedelta(milliseconds=1)


def retention(settings: Settings) -> Retention:
    """Return how long the event log keeps what it has."""
    return Retention(log_ms=settings.retention.log // _MS, dead_letters_ms=settings.retention.dead_letters // _MS)


def limits(settings: Settings) -> "RequestLimits":
    """Return how much one request to ingestion-service may hold."""
    from energy_tracker.services.ingestion.requests import RequestLimits

    return RequestLimits(body_bytes=settings.ingestion.body_bytes, batch_items=settings.ingestion.batch_items)


def usage(settings: Settings) -> "UsageOptions":
    """Return usage-service's options."""
    from energy_tracker.wiring.usage import UsageOptions

    return UsageOptions(
        patience_ms=settings.usage.unknown_device_patience // _MS,
        check_interval_s=settings.alerts.check_interval.total_seconds(),
    )


def mail(settings: Settings) -> "MailSettings":
    """Return where mails go out; without a server they stay in the outbox."""
    from energy_tracker.services.alert.model.mails import MailSettings

    smtp = settings.mail
    if not isinstance(smtp, SmtpMail):
        return MailSettings()
    return MailSettings(
        host=smtp.host,
        port=smtp.port,
        security=smtp.security,
        username=smtp.username,
        password=None if smtp.password is None else smtp.password.get_secret_value(),
        sender=smtp.sender,
        timeout_s=smtp.timeout.total_seconds(),
        ca_file=smtp.ca_file,
    )


def mail_policy(settings: Settings) -> "MailPolicy":
    """Return when mails are due."""
    from energy_tracker.services.alert.model.mails import MailPolicy

    remind_after = settings.alerts.remind_after
    return MailPolicy(remind_after_ms=None if remind_after is None else remind_after // _MS)


def adviser(settings: Settings) -> "AdviserOptions":
    """Return who words the advice."""
    from energy_tracker.wiring.insight import AdviserOptions

    ollama = settings.adviser
    if not isinstance(ollama, OllamaAdviser):
        return AdviserOptions()
    return AdviserOptions(ollama.base_url, ollama.model, ollama.deadline.total_seconds())


def database_url(settings: Settings) -> "str | URL":
    """Return the address of the database of users, devices and alerts. Raises `InvalidConfiguration`."""
    datasource = settings.datasource
    if not isinstance(datasource, MysqlDatasource):
        return f"sqlite+aiosqlite:///{settings.home / 'relational.db'}"
    from energy_tracker.storage.mysql import mysql_url

    password = None if datasource.password is None else datasource.password.get_secret_value()
    try:
        return mysql_url(datasource.url.get_secret_value(), username=datasource.username, password=password)
    except ValueError as error:
        raise InvalidConfiguration((WrongVariable("SPRING_DATASOURCE_URL", str(error)),)) from None


def kafka(settings: Settings, *, client_id: str) -> "KafkaOptions":
    """Return how Kafka is reached. Raises `InvalidConfiguration` where no broker is named."""
    log = settings.log
    if not isinstance(log, KafkaLog):
        message = "is needed by this service, which shares its log with the others; `up` runs them all without"
        raise InvalidConfiguration((WrongVariable("SPRING_KAFKA_BOOTSTRAP_SERVERS", message),))
    from energy_tracker.eventlog.kafka_client import KafkaOptions

    kept = retention(settings)
    return KafkaOptions(
        bootstrap_servers=log.bootstrap_servers,
        security=log.security,
        ca_file=None if log.ca_file is None else str(log.ca_file),
        certificate_file=None if log.certificate_file is None else str(log.certificate_file),
        key_file=None if log.key_file is None else str(log.key_file),
        sasl_mechanism=log.sasl_mechanism,
        username=log.username,
        password=None if log.password is None else log.password.get_secret_value(),
        partitions=log.partitions,
        replication=log.replication,
        topic_prefix=log.topic_prefix,
        log_retention_ms=kept.log_ms,
        dead_letter_retention_ms=kept.dead_letters_ms,
        client_id=client_id,
    )


def influx(settings: Settings) -> "InfluxOptions":
    """Return where the bucket of the readings is. Raises `InvalidConfiguration` where none is named."""
    readings = settings.readings
    if not isinstance(readings, InfluxReadings):
        message = "is needed by usage-service in a process of its own, which keeps its readings in InfluxDB"
        raise InvalidConfiguration((WrongVariable("INFLUX_URL", message),))
    from energy_tracker.storage.influx import InfluxOptions

    return InfluxOptions(
        url=readings.url,
        token=readings.token.get_secret_value(),
        org=readings.org,
        bucket=readings.bucket,
        retention_s=None if readings.retention is None else int(readings.retention.total_seconds()),
    )
