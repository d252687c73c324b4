"""From settings to the plain options that services take."""

from datetime import timedelta

from energy_tracker.eventlog.port import Retention
from energy_tracker.services.alert.model.mails import MailPolicy, MailSettings
from energy_tracker.services.ingestion.requests import RequestLimits
from energy_tracker.settings import OllamaAdviser, Settings, SmtpMail
from energy_tracker.wiring.ingestion import IngestionOptions
from energy_tracker.wiring.insight import AdviserOptions
from energy_tracker.wiring.usage import UsageOptions

_MS = timedelta(milliseconds=1)


def retention(settings: Settings) -> Retention:
    """Return how long the event log keeps what it has."""
    return Retention(log_ms=settings.retention.log // _MS, dead_letters_ms=settings.retention.dead_letters // _MS)


def ingestion(settings: Settings) -> IngestionOptions:
    """Return ingestion-service's options."""
    limits = RequestLimits(body_bytes=settings.ingestion.body_bytes, batch_items=settings.ingestion.batch_items)
    return IngestionOptions(limits, settings.ingestion.max_lag)


def usage(settings: Settings) -> UsageOptions:
    """Return usage-service's options."""
    return UsageOptions(
        patience_ms=settings.usage.unknown_device_patience // _MS,
        check_interval_s=settings.alerts.check_interval.total_seconds(),
    )


def mail(settings: Settings) -> MailSettings:
    """Return where mails go out; without a server they stay in the outbox."""
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
    )


def mail_policy(settings: Settings) -> MailPolicy:
    """Return when mails are due."""
    remind_after = settings.alerts.remind_after
    return MailPolicy(remind_after_ms=None if remind_after is None else remind_after // _MS)


def adviser(settings: Settings) -> AdviserOptions:
    """Return who words the advice."""
    ollama = settings.adviser
    if not isinstance(ollama, OllamaAdviser):
        return AdviserOptions()
    return AdviserOptions(ollama.base_url, ollama.model, ollama.deadline.total_seconds())
