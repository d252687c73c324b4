"""Settings of the backends: each is a union tagged by `kind`, and chosen by the variable that it cannot do without."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from energy_tracker.settings.forms import (
    Brokers,
    Duration,
    InfluxAddress,
    ReadableFile,
    Secret,
    SecretAddress,
    Section,
    Text,
    TopicPrefix,
)
from energy_tracker.settings.variables import Form, setting

_SCHEMES = ("jdbc:mysql://", "jdbc:mariadb://", "mysql://", "mariadb://")
_WITH_TLS = frozenset({"tls", "sasl_tls"})
_WITH_PASSWORD = frozenset({"sasl_plaintext", "sasl_tls"})

Partitions = Annotated[int, Field(ge=1, le=1_000), Form("a whole number, 1 to 1000")]
Replicas = Annotated[int, Field(ge=1, le=100), Form("a whole number, 1 to 100")]
BucketRetention = Annotated[Duration, Field(ge=timedelta(hours=1)), Form("an ISO-8601 duration of an hour or more")]


class SqliteDatasource(Section):
    """Users, devices and alerts in a file of the data folder."""

    kind: Literal["sqlite"] = "sqlite"


class MysqlDatasource(Section):
    """Users, devices and alerts in MySQL or MariaDB; without `SPRING_DATASOURCE_URL`, in a file of the data folder."""

    kind: Literal["mysql"] = "mysql"
    url: SecretAddress = setting(
        "SPRING_DATASOURCE_URL",
        "The database, as a JDBC address; setting it turns MySQL or MariaDB on. Used by `serve user`, `serve device` "
        "and `serve alert`.",
    )
    username: Text | None = setting(
        "SPRING_DATASOURCE_USERNAME", "Name to log in with.", default=None, shown="that of the address"
    )
    password: Secret | None = setting("SPRING_DATASOURCE_PASSWORD", "Password to log in with.", default=None)

    @field_validator("url")
    @classmethod
    def _of_a_known_kind(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().lower().startswith(_SCHEMES):
            message = f"it begins with none of {', '.join(_SCHEMES)}; only MySQL and MariaDB are supported"
            raise ValueError(message)
        return url


class SqliteLog(Section):
    """The log between the services in a file of the data folder."""

    kind: Literal["sqlite"] = "sqlite"


class KafkaLog(Section):
    """The log between the services in Kafka; without `SPRING_KAFKA_BOOTSTRAP_SERVERS`, in a file of the data folder."""

    kind: Literal["kafka"] = "kafka"
    bootstrap_servers: Brokers = setting(
        "SPRING_KAFKA_BOOTSTRAP_SERVERS",
        "Brokers to ask first; setting it turns Kafka on. Used by `serve ingestion`, `serve usage` and `serve alert`.",
    )
    partitions: Partitions = setting(
        "ENERGY_TRACKER_KAFKA_PARTITIONS",
        "Partitions of the topics, fixed when they are made; so many usage-services can share the work.",
        default=6,
    )
    replication: Replicas = setting(
        "ENERGY_TRACKER_KAFKA_REPLICATION", "Brokers that keep each partition, fixed when it is made.", default=1
    )
    topic_prefix: TopicPrefix = setting(
        "ENERGY_TRACKER_KAFKA_TOPIC_PREFIX",
        "Stands before the names of topics, groups and transactions; with it, several installations share a cluster.",
        default="",
        shown="none",
    )
    security: Literal["plaintext", "tls", "sasl_plaintext", "sasl_tls"] = setting(
        "ENERGY_TRACKER_KAFKA_SECURITY",
        "How brokers are spoken to: with `tls` encrypted, with `sasl_…` by a user name and a password.",
        default="plaintext",
    )
    ca_file: ReadableFile | None = setting(
        "ENERGY_TRACKER_KAFKA_CA_FILE",
        "Certificates (PEM) that vouch for the brokers.",
        default=None,
        shown="those of the system",
    )
    certificate_file: ReadableFile | None = setting(
        "ENERGY_TRACKER_KAFKA_CERTIFICATE_FILE",
        "Certificate (PEM) that the service shows to the brokers.",
        default=None,
        shown="none",
    )
    key_file: Annotated[ReadableFile | None, Field(validate_default=True)] = setting(
        "ENERGY_TRACKER_KAFKA_KEY_FILE", "Private key (PEM) of that certificate.", default=None, shown="none"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = setting(
        "ENERGY_TRACKER_KAFKA_SASL_MECHANISM",
        "How the password is shown to the brokers; `PLAIN` without TLS sends it as it is.",
        default="SCRAM-SHA-512",
    )
    username: Text | None = setting(
        "ENERGY_TRACKER_KAFKA_USERNAME", "Name to log in with.", default=None, shown="no log-in"
    )
    password: Annotated[Secret | None, Field(validate_default=True)] = setting(
        "ENERGY_TRACKER_KAFKA_PASSWORD", "Password to log in with; needs `sasl_plaintext` or `sasl_tls`.", default=None
    )

    @field_validator("ca_file", "certificate_file")
    @classmethod
    def _with_encryption(cls, file: ReadableFile | None, info: ValidationInfo) -> ReadableFile | None:
        if file is not None and info.data.get("security", "tls") not in _WITH_TLS:
            message = "it is only used with encryption; set ENERGY_TRACKER_KAFKA_SECURITY to tls or sasl_tls"
            raise ValueError(message)
        return file

    @field_validator("key_file")
    @classmethod
    def _with_certificate(cls, file: ReadableFile | None, info: ValidationInfo) -> ReadableFile | None:
        if "certificate_file" in info.data and (file is None) != (info.data["certificate_file"] is None):
            message = (
                "a certificate and its key go together; set both of ENERGY_TRACKER_KAFKA_CERTIFICATE_FILE and this, "
                "or none"
            )
            raise ValueError(message)
        return file

    @field_validator("password")
    @classmethod
    def _with_user_name_and_sasl(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if not {"username", "security"} <= info.data.keys():
            return password  # those are told
        given = {info.data["username"] is not None, password is not None}
        if given != {info.data["security"] in _WITH_PASSWORD}:
            message = (
                "ENERGY_TRACKER_KAFKA_USERNAME and this are needed with ENERGY_TRACKER_KAFKA_SECURITY=sasl_plaintext "
                "or sasl_tls, and have no effect otherwise"
            )
            raise ValueError(message)
        return password


class SqliteReadings(Section):
    """Readings in a file of the data folder."""

    kind: Literal["sqlite"] = "sqlite"


class InfluxReadings(Section):
    """Readings in InfluxDB 2; without `INFLUX_URL`, in a file of the data folder. Used by `serve usage`."""

    kind: Literal["influx"] = "influx"
    url: InfluxAddress = setting("INFLUX_URL", "Address of the server; setting it turns InfluxDB on; it needs Kafka.")
    token: Secret = setting("INFLUX_TOKEN", "Token that may read and write the bucket.")
    org: Text = setting("INFLUX_ORG", "Organisation that the bucket belongs to.")
    bucket: Text = setting("INFLUX_BUCKET", "The bucket; made where it is missing.", default="usage-bucket")
    retention: BucketRetention | None = setting(
        "ENERGY_TRACKER_INFLUX_RETENTION",
        "How long a bucket that is made keeps its readings.",
        default=None,
        shown="for ever",
    )


DatasourceSettings = SqliteDatasource | MysqlDatasource
LogSettings = SqliteLog | KafkaLog
ReadingsSettings = SqliteReadings | InfluxReadings
