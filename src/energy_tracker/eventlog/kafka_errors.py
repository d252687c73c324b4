# ruff: noqa: SLF001 - librdkafka publishes its own error codes under names that begin with an underscore
"""What Kafka's client complains of, in sentences that say what to check; never a secret."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from energy_tracker.eventlog.port import LogUnavailable
from energy_tracker.kit.problems import Problem

log = logging.getLogger(__name__)

END_OF_PARTITION = KafkaError._PARTITION_EOF
TIMED_OUT = KafkaError._TIMED_OUT
MESSAGE_TIMED_OUT = KafkaError._MSG_TIMED_OUT

GONE = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})
"""A broker has closed the connection, or cannot be reached."""

PARTITIONS_MOVED = frozenset(
    {
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._FENCED,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNKNOWN_MEMBER_ID,
    }
)
"""Why an offset cannot be committed where its partition has, or may have, another consumer by now."""

_DETAIL_LIMIT = 300


class LogMisconfigured(LogUnavailable):
    """The broker turns this client away; waiting alone will not help."""

    title = "The log is not set up rightly"


class MessageTooLarge(Problem):
    """The broker takes no message of this size."""

    status = 413
    title = "The message is too large for the log"


class Complaints:
    """Remembers what a client last complained of: a time-out alone would not say that the password is wrong.

    A complaint is logged once, until the broker has answered or something else is wrong. `note` runs in the client's
    thread.
    """

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._last: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """Take a complaint that belongs to no call (librdkafka's `error_cb`)."""
        last, self._last = self._last, error
        if last is not None and error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._last = last  # it follows from the complaint before it, which says more
        elif last is None or last.code() != error.code():
            log.warning("%s", self.problem(error).detail)

    def forget(self) -> None:
        """Say that the broker has answered."""
        if self._last is not None:
            log.info("Kafka at %s answers again", self._servers)
        self._last = None

    @contextmanager
    def about_settings(self) -> Iterator[None]:
        """Raise `LogMisconfigured` where a client cannot even be made of its settings."""
        try:
            yield
        except KafkaException as error:
            raise self.problem(error) from error

    def problem(self, error: BaseException | KafkaError | None = None) -> Problem:
        """Return the problem to raise for an error of a call, or for what was complained of last."""
        reason = _kafka_error(error)
        if self._last is not None and (reason is None or reason.code() in _WAITED_IN_VAIN):
            reason = self._last
        return _problem(reason, error, self._servers)


def _kafka_error(error: BaseException | KafkaError | None) -> KafkaError | None:
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return error.args[0]
    return error if isinstance(error, KafkaError) else None


def _problem(reason: KafkaError | None, error: Any, servers: str) -> Problem:
    if reason is None:
        return LogUnavailable(f"Kafka at {servers} does not answer{f': {error}'[:_DETAIL_LIMIT] if error else ''}.")
    code, text = reason.code(), reason.str()[:_DETAIL_LIMIT].rstrip(".")
    if code in _TOO_LARGE:
        return MessageTooLarge(f"Kafka takes no message that large: {text}.")
    in_vain = code == KafkaError._TRANSPORT and ("ssl/tls alert" in text or "state SSL_HANDSHAKE" in text)
    advice = _NO_TRUST if in_vain else _ADVICE.get(code)
    if advice is not None:
        return LogMisconfigured(f"Kafka at {servers} {advice} It says: {text}.")
    return LogUnavailable(f"Kafka at {servers} cannot be used now: {text}.")


LED_OTHERWISE = frozenset(
    {KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION}
)
"""Another broker leads the partition than the client believes, or none does yet."""

LOST = LED_OTHERWISE | {KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC}
"""The client does not know who leads the partition, and may never again: one that was told once that nobody does, as
while a broker starts, can stay with that (librdkafka #5430). A new client knows."""

PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
    }
)
"""What a consumer waits out: it goes on by itself once the brokers are there again."""

_WAITED_IN_VAIN = frozenset(
    {
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
    }
)

_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})

_REFUSED_LOGIN = (
    "refuses the login: check ENERGY_TRACKER_KAFKA_USERNAME, ENERGY_TRACKER_KAFKA_PASSWORD and "
    "ENERGY_TRACKER_KAFKA_SASL_MECHANISM."
)
_NO_TRUST = (
    "and this client do not trust each other: check ENERGY_TRACKER_KAFKA_CA_FILE, the name in the broker's "
    "certificate, ENERGY_TRACKER_KAFKA_CERTIFICATE_FILE, and whether that port speaks ENERGY_TRACKER_KAFKA_SECURITY."
)
_NOT_ALLOWED = "does not allow this user to do that: check the broker's access control lists."

_ADVICE = {
    KafkaError._AUTHENTICATION: _REFUSED_LOGIN,
    KafkaError.SASL_AUTHENTICATION_FAILED: _REFUSED_LOGIN,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: _REFUSED_LOGIN,
    KafkaError._SSL: _NO_TRUST,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: _NOT_ALLOWED,
    KafkaError.GROUP_AUTHORIZATION_FAILED: _NOT_ALLOWED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: _NOT_ALLOWED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: _NOT_ALLOWED,
    KafkaError._INVALID_ARG: (
        "cannot be asked with these settings: check ENERGY_TRACKER_KAFKA_CA_FILE, "
        "ENERGY_TRACKER_KAFKA_CERTIFICATE_FILE, ENERGY_TRACKER_KAFKA_KEY_FILE and ENERGY_TRACKER_KAFKA_SASL_MECHANISM."
    ),
    KafkaError._RESOLVE: "cannot be found under that name: check SPRING_KAFKA_BOOTSTRAP_SERVERS.",
}
